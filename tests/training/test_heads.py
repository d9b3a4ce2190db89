"""Every head learns, and a run with it that was stopped goes on as if it had not been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import RUNTIME, SPEC, assert_same_outcome, changed, stop_after, transfer

from thaw.config.agent import AgentConfig, Branches
from thaw.config.flavor import Flavor
from thaw.config.presets import PRESETS
from thaw.config.run_spec import EvaluationConfig, RunSpec
from thaw.config.runtime import Runtime
from thaw.config.strict import from_plain
from thaw.config.update_rule import UpdateRule
from thaw.files.checkpoint import load_policy
from thaw.files.run_folder import RunFolder
from thaw.training.progress import Stopped
from thaw.training.run import execute_run

Settings = dict[str, dict[str, Any]]
HEADS: Settings = {
    "feedforward": {"head": "feedforward"},
    "linear": {"head": "linear"},
    "of a user": {"head": "user_head:fading"},
    "branches": {"head": "branches", "branches": Branches(policy=(8,), value=(9, 7))},
}
LSTMS: Settings = {
    f"{kind} LSTM": {
        "head": "branches",
        "branches": Branches(policy=(8,), value=(), activation="relu", lstm=kind),
    }
    for kind in ("shared", "separate", "policy")
}
HEADS |= LSTMS
OF_VECTORS: Settings = HEADS | {
    "branches of an MLP": {
        "embedding": "mlp_branches", "embedding_size": 15, "head": "branches",
        "branches": Branches(policy=(8, 8), value=(9, 7)),
    },
    "branches without an embedding": {
        "embedding": "flatten", "embedding_size": 2, "head": "branches", "branches": Branches(),
    },
}  # fmt: skip


MORE = ("shared LSTM", "policy LSTM", "branches", "branches without an embedding")


@pytest.mark.parametrize(
    "head",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in MORE)) for name in OF_VECTORS],
)
def test_every_head_learns_a_bandit(tmp_path: Path, head: str) -> None:
    agent = {**PRESETS["vector"], "embedding_size": 16, "lstm_size": 16, "fc_size": 16}
    spec = RunSpec(
        condition="pretrain",
        flavor=Flavor("gym/bandit_envs:Bandit-v0?goal=2"),
        update_rule=UpdateRule("scratch"),
        seed=0,
        steps=16 * 8 * 60,
        environment={"num_envs": 8},
        agent=from_plain(
            {**agent, "learning_rate": 2e-2, "reward_scale": 1.0}, AgentConfig, "test"
        ),
        evaluation=EvaluationConfig(episodes=100),
    )
    spec = changed(spec, agent=OF_VECTORS[head])
    result = execute_run(spec, RunFolder(tmp_path), Runtime())
    # Uniformly random play has 0.25.
    assert result["evaluation"]["mean_return"] > 0.9


@pytest.mark.parametrize("clock", ["lockstep", "overlapped"])
@pytest.mark.parametrize("head", ["feedforward", "separate LSTM"])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, head: str, clock: str) -> None:
    spec = changed(SPEC, agent=HEADS[head] | {"clock": clock})
    whole, stopped = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "stopped")
    execute_run(spec, whole, RUNTIME)
    with pytest.raises(Stopped):
        execute_run(spec, stopped, RUNTIME, should_stop=stop_after(5))
    execute_run(spec, stopped, RUNTIME)
    assert_same_outcome(stopped, whole)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("source"))
    execute_run(changed(SPEC, agent=HEADS["separate LSTM"]), folder, RUNTIME)
    return folder


@pytest.mark.parametrize(
    ("rule", "trained"),
    [
        ("freeze_embedding", {"head"}),
        ("freeze_head", {"embedding"}),
        ("reset_value", {"embedding", "head"}),
    ],
)
def test_rules_reach_the_parts_of_every_head(
    tmp_path: Path, source: RunFolder, rule: str, trained: set[str]
) -> None:
    target = RunFolder(tmp_path)
    execute_run(transfer(rule, source.spec()), target, RUNTIME, source=source.path)
    before = dict(load_policy(source.path).parts())
    moved = {
        name.split(".")[0]
        for name, tensor in load_policy(target.path).parts()
        if not torch.equal(tensor, before[name])
    }
    assert moved == trained


def test_a_remembered_state_belongs_to_its_episode(source: RunFolder) -> None:
    """Of a head with two LSTMs, whose states are side by side."""
    policy = load_policy(source.path)
    embeddings = torch.randn(1, 2, 16, generator=torch.Generator().manual_seed(0))
    first = torch.tensor([[True, False]])
    zeros, ones = policy.initial_state(2), torch.ones_like(policy.initial_state(2))
    last = (torch.zeros(1, 2, dtype=torch.int64), torch.zeros(1, 2))
    with torch.no_grad():
        new = policy.unroll(embeddings, first, *last, zeros)
        old = policy.unroll(embeddings, first, *last, ones)
    assert zeros.shape == (2, 2, 16)
    for name in ("logits", "values", "state"):
        same = getattr(new, name) == getattr(old, name)
        environment = same.movedim(1, 0)
        assert environment[0].all(), name
        assert not environment[1].all(), name


@pytest.mark.slow
@pytest.mark.parametrize("head", ["feedforward", "separate LSTM"])
def test_actors_in_other_processes_play_with_every_state(tmp_path: Path, head: str) -> None:
    pytest.importorskip("ray", reason="pip install 'thaw[ray]'")
    spec = changed(SPEC, agent=HEADS[head] | {"clock": "asynchronous", "actors": 2})
    assert execute_run(spec, RunFolder(tmp_path), RUNTIME)["steps"] >= SPEC.steps
