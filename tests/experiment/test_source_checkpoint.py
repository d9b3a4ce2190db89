"""A suite whose policies come from elsewhere, in place of a pretraining."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
import torch
from command_line import TINY, Say

from thaw.config.agent import AgentConfig, Branches
from thaw.config.errors import InputError
from thaw.config.strict import from_plain, parse_yaml, to_yaml
from thaw.config.suite import Suite
from thaw.experiment.plan import plan
from thaw.experiment.sources import with_sources
from thaw.experiment.suites import load_suite
from thaw.files.checkpoint import load_policy, save_checkpoint
from thaw.files.run_folder import RunFolder
from thaw.policy.policy import Policy

SOURCE, TARGET = "gym/bandit_envs:Bandit-v0", "gym/bandit_envs:Bandit-v0?goal=2"
SUITE = f"""\
name: elsewhere
transfers: [{{source: "{SOURCE}", target: "{TARGET}"}}]
conditions: [random, scratch, update_all, freeze_all]
seeds: 2
source_checkpoint: policies/seed{{seed}}
transfer_steps: 320
environment: {{num_envs: 4}}
agent: {{unroll_length: 10, learning_rate: 0.01}}
evaluation: {{episodes: 40}}
report: {{num_bins: 4}}
"""
NETWORK: dict[str, Any] = {
    "embedding": "mlp_branches", "embedding_size": 12, "head": "branches",
    "branches": Branches(policy=(6,), value=(6,)),
    "last_action_input": False, "last_reward_input": False,
}  # fmt: skip


def write_policies(folder: Path, *seeds: int, **network: Any) -> None:
    """Policies that take the source's best action."""
    for seed in seeds:
        torch.manual_seed(seed)
        policy = Policy((2,), 4, AgentConfig(**NETWORK | {"discount": 0.5} | network))
        with torch.no_grad():
            policy.head.policy.bias[0] = 9.0
        save_checkpoint(RunFolder(folder / f"seed{seed}"), policy)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_policies(tmp_path / "policies", 0, 1)
    (tmp_path / "suite.yaml").write_text(SUITE)
    return tmp_path


def digest(seed: int) -> str:
    data = Path(f"policies/seed{seed}/checkpoint/policy.safetensors").read_bytes()
    return hashlib.sha256(data).hexdigest()[:16]


def test_the_policies_are_scored_and_moved_like_pretrained_ones(here: Path, say: Say) -> None:
    words = ["--trust-code", "--workers", 1]
    spoken = say("run", "suite.yaml", "--out", "out", *words)
    assert spoken.status == 0, spoken.err
    scores = pd.read_csv(here / "out/scores.csv")
    pretrained = scores[scores["condition"] == "pretrain"]
    assert list(pretrained["steps"]) == [0, 0]
    assert (pretrained["mean_return"] > 0.9).all()
    unmoved = scores[scores["condition"] == "freeze_all"]
    assert (unmoved["mean_return"] < 0.1).all()  # the best action there is the wrong one here
    for seed in (0, 1):
        for key in (f"pretrain/seed{seed}", f"freeze_all/seed{seed}"):
            (folder,) = (path.parent for path in (here / "out/runs").rglob(f"{key}/run.json"))
            expected = load_policy(f"policies/seed{seed}")
            moved = dict(load_policy(folder).parts())
            assert all(torch.equal(moved[n], tensor) for n, tensor in expected.parts()), key
            if "pretrain" in key:
                assert RunFolder(folder).spec().source_hash == digest(seed)
            else:
                assert RunFolder(folder).result()["source_evaluation"]["mean_return"] > 0.9
    text = (here / "out/report/index.html").read_text()
    assert "no pretraining, but policies from elsewhere, 320 of each transfer" in text
    assert say("run", "suite.yaml", "--out", "out", *words).status == 0

    # The folder knows its policies; others are another experiment.
    assert say("report", "out").status == 0
    write_policies(here / "policies", 1, discount=0.25)
    spoken = say("run", "suite.yaml", "--out", "out", *words)
    assert spoken.status == 2
    assert "holds runs of another configuration" in spoken.err
    assert "source_hash" in spoken.err


def test_the_agent_is_the_checkpoint_s_where_the_suite_says_nothing(here: Path) -> None:
    agent = load_suite("suite.yaml").agent
    assert {name: getattr(agent, name) for name in NETWORK} == NETWORK
    assert (agent.discount, agent.unroll_length, agent.learning_rate) == (0.5, 10, 0.01)
    (here / "suite.yaml").write_text(
        SUITE.replace("{unroll_length", "{preset: vector, unroll_length")
    )
    agent = load_suite("suite.yaml").agent
    assert {name: getattr(agent, name) for name in NETWORK} == NETWORK
    assert (agent.discount, agent.unroll_length, agent.optimizer) == (0.99, 10, "adam")
    # A built-in suite has a network of its own, in whose place the checkpoint's stands.
    built_in = load_suite("catch-quick", ["source_checkpoint=policies/seed0"])
    assert built_in.agent.branches == NETWORK["branches"]
    assert built_in.agent.optimizer == load_suite("catch-quick").agent.optimizer
    assert built_in.pretrain_steps is None


def test_runs_know_the_hash_of_the_weights(here: Path) -> None:
    suite = with_sources(load_suite("suite.yaml"))
    again = from_plain(parse_yaml(to_yaml(suite)), Suite, "suite.yaml")
    assert plan(again) == plan(suite)
    before = {run.key: run.spec.content_hash for run in plan(suite).runs}
    write_policies(here / "policies", 1, discount=0.25)
    after = {
        run.key: run.spec.content_hash for run in plan(with_sources(load_suite("suite.yaml"))).runs
    }
    changed = {key for key in before if before[key] != after[key]}
    seed1 = {key for key in before if key.endswith("seed1")}
    assert changed == {k for k in seed1 if "random" not in k and "scratch" not in k}


def test_another_policy_in_the_place_is_noticed_by_its_run(here: Path, say: Say) -> None:
    from thaw.config.runtime import Runtime
    from thaw.training.run import execute_run

    run = plan(with_sources(load_suite("suite.yaml"))).runs[0]
    write_policies(here / "policies", 0, discount=0.25)
    with pytest.raises(InputError, match="holds another policy than when this run was planned"):
        execute_run(run.spec, RunFolder(here / "run"), Runtime(), source=run.checkpoint)
    assert not (here / "run").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "policies/seed{seed}",
            "policies/{sed}",
            "source_checkpoint has {sed}; allowed are {seed}",
        ),
        ("policies/seed{seed}", "nowhere", "source_checkpoint: 'nowhere' does not exist"),
        ("seeds: 2", "seeds: [0, 7]", "seed7' does not exist"),
        (
            "{unroll_length",
            "{embedding: mlp, unroll_length",
            "has agent.embedding mlp_branches, and the",
        ),
        (f'"{SOURCE}"', "gym/CartPole-v1", "observations"),
        ("source_checkpoint: policies/seed{seed}\n", "", "the key 'pretrain_steps' is missing"),
    ],
)
def test_wrong_policies_are_refused_before_anything_is_written(
    here: Path, say: Say, old: str, new: str, message: str
) -> None:
    assert old in SUITE
    (here / "suite.yaml").write_text(SUITE.replace(old, new))
    spoken = say("run", "suite.yaml", "--out", "out", "--trust-code")
    assert spoken.status == 2
    assert message in spoken.err
    assert spoken.err.count("\n") == 1
    assert not (here / "out").exists()


def test_one_policy_is_not_taken_for_two_sources() -> None:
    plain = parse_yaml(TINY) | {"source_checkpoint": "policy"}
    transfers = [
        {"source": "catch", "target": "catch@large_ball"},
        {"source": "catch@tiny_ball", "target": "catch"},
    ]
    with pytest.raises(InputError, match=r"one policy for the sources catch, .* put \{source\}"):
        from_plain(plain | {"transfers": transfers}, Suite, "test")
    both = plain | {"transfers": transfers, "source_checkpoint": "p/{source}/{seed}"}
    suite = from_plain(both, Suite, "test")
    assert suite.checkpoint_of(suite.transfers[1].source, 3) == "p/catch@tiny_ball/3"
    assert msgspec.structs.replace(suite).pretrain_steps is None
