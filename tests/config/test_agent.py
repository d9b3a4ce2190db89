from __future__ import annotations

import pytest

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.run_spec import RunSpec
from thaw.config.strict import from_plain, to_plain
from thaw.config.update_rule import UpdateRule

SPEC: dict[str, object] = {
    "condition": "pretrain", "flavor": "catch", "update_rule": "scratch", "seed": 0, "steps": 100,
}  # fmt: skip


def content_hash(**settings: object) -> str:
    """Return the hash of a run whose agent has some settings."""
    return RunSpec(
        condition="pretrain", flavor=Flavor("catch"), update_rule=UpdateRule("scratch"), seed=0,
        steps=100, environment={"num_envs": 4}, agent=from_plain(settings, AgentConfig, "test"),
        results_version=3,
    ).content_hash  # fmt: skip


def test_what_came_later_leaves_the_hashes_of_earlier_runs_alone() -> None:
    """This hash was computed before agents had heads to choose from."""
    assert content_hash() == "de27c69e45e5fcab"
    assert content_hash(head="lstm", branches={}, embedding_weights=None) == content_hash()
    written = to_plain(AgentConfig())
    assert not set(AgentConfig.later) & set(written)
    assert to_plain(AgentConfig(head="linear")) == written | {"head": "linear"}


def test_pretrained_weights_count_by_their_checksum_wherever_they_lie() -> None:
    agent = {"embedding": "timm:resnet18", "embedding_weights": "a.safetensors"}
    first = content_hash(**agent, embedding_sha256="0" * 64)
    assert first == content_hash(**agent | {"embedding_weights": "/b"}, embedding_sha256="0" * 64)
    assert first != content_hash(**agent, embedding_sha256="1" * 64)
    assert first != content_hash(embedding="timm:resnet18")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"embedding_weights": "w.safetensors"}, "is for embeddings timm:NAME.*'impala_deep'"),
        ({"embedding": "timm:resnet18", "embedding_sha256": "0" * 64}, "which is not there"),
        ({"head": 3}, "agent.head: expected a word"),
        ({"branches": {"lstm": "both"}}, "agent.branches.lstm: unknown word 'both'"),
    ],
)
def test_wrong_networks_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_plain({"agent": settings} | SPEC, RunSpec, "the run")


def test_every_field_of_the_agent_decides_the_hash() -> None:
    defaults = to_plain(AgentConfig())
    other: dict[type, object] = {bool: False, int: 77, float: 0.123, str: "impala_shallow"}
    words: dict[str, object] = {
        "clock": "overlapped",
        "env_groups": 2,
        "precision": "bfloat16",
        "truncation": "bootstrap",
        "learning_rate_schedule": "constant",
        "optimizer": "adam",
    }
    hashes = {
        content_hash(**{name: words.get(name, other[type(value)])})
        for name, value in defaults.items()
    }
    assert len(hashes | {content_hash()}) == len(defaults) + 1
