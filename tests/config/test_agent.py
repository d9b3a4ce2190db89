from __future__ import annotations

from thaw.config.agent import AgentConfig
from thaw.config.flavor import Flavor
from thaw.config.run_spec import RunSpec
from thaw.config.strict import from_plain, to_plain
from thaw.config.update_rule import UpdateRule


def content_hash(**settings: object) -> str:
    """Return the hash of a run whose agent has some settings."""
    return RunSpec(
        condition="pretrain", flavor=Flavor("catch"), update_rule=UpdateRule("scratch"), seed=0,
        steps=100, environment={"num_envs": 4}, agent=from_plain(settings, AgentConfig, "test"),
    ).content_hash  # fmt: skip


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
