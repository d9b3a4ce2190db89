"""One run by itself, from Python."""

from __future__ import annotations

import hashlib
import signal
from collections import Counter
from pathlib import Path

import booted_env
import pytest

from thaw.config import Flavor, InputError, RunSpec, Runtime, UpdateRule
from thaw.experiment.display import Display
from thaw.experiment.plan import PlannedRun
from thaw.experiment.single import run_alone, train_spec, transfer_spec
from thaw.files.run_folder import RunFolder

SMALL = (
    "agent.unroll_length=5", "agent.embedding_size=8", "agent.lstm_size=8", "agent.fc_size=8",
    "agent.precision=float32", "environment.num_envs=2", "evaluation.episodes=2",
)  # fmt: skip
HERE = "gym/booted_env:Booted-v0?label=source"
THERE = "gym/booted_env:Booted-v0?label=target"


def small_spec(steps: int = 40) -> RunSpec:
    return train_spec(HERE, steps=steps, embedding="mlp", overrides=SMALL)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training."""
    path = tmp_path_factory.mktemp("trained") / "run"
    assert run_alone(small_spec(), RunFolder(path), runtime=Runtime()).stopped_by is None
    return path


def test_a_training_is_a_suite_s_pretraining() -> None:
    spec = small_spec()
    assert (spec.condition, spec.flavor, spec.steps, spec.source) == ("pretrain", HERE, 40, None)
    assert spec.update_rule == UpdateRule("scratch")
    assert (spec.agent.embedding, spec.agent.lstm_size, spec.num_envs) == ("mlp", 8, 2)


def test_a_transfer_takes_agent_and_environment_from_the_checkpoint(trained: Path) -> None:
    rule = "embedding=source:frozen,head=random:trained"
    spec = transfer_spec(
        trained, THERE, rule, steps=50, seed=3, overrides=["agent.discount=0.5"], trust_code=True
    )
    origin = RunFolder(trained).spec()
    policy = (trained / "checkpoint" / "policy.safetensors").read_bytes()
    assert (spec.condition, spec.flavor, spec.source) == ("transfer", THERE, HERE)
    assert spec.source_hash == hashlib.sha256(policy).hexdigest()[:16]
    assert (spec.update_rule, spec.seed, spec.steps) == (rule, 3, 50)
    assert spec.environment == origin.environment
    assert (spec.agent.lstm_size, spec.agent.discount) == (8, 0.5)
    named = transfer_spec(trained, THERE, "freeze_all", steps=50, trust_code=True)
    assert (named.condition, named.steps) == ("freeze_all", 0)
    scratch = transfer_spec(trained, THERE, "scratch", steps=50, trust_code=True)
    assert (scratch.source, scratch.steps) == (None, 50)


def test_a_transfer_makes_source_and_target_once_each(trained: Path) -> None:
    booted_env.MADE.clear()
    transfer_spec(trained, HERE, "update_all", steps=50, trust_code=True)
    once = booted_env.MADE.count("source")
    assert Counter(booted_env.MADE) == {"source": once}
    booted_env.MADE.clear()
    transfer_spec(trained, THERE, "update_all", steps=50, trust_code=True)
    assert Counter(booted_env.MADE) == {"source": once, "target": once}
    booted_env.MADE.clear()
    transfer_spec(trained, THERE, "scratch", steps=50, trust_code=True)
    assert booted_env.MADE == []


@pytest.mark.parametrize(
    ("flavor", "said"),
    [
        (f"{THERE}&buttons=right_left", "action 0 is left in .* and right in"),
        (f"{THERE}&buttons=&num_actions=3", "was trained with actions: 2, .* has 3"),
        ("catch?downsample=16", r"was trained with observations of shape \(5,\)"),
    ],
)
def test_a_target_that_does_not_fit_is_refused(trained: Path, flavor: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        transfer_spec(trained, flavor, "update_all", steps=50, trust_code=True)


def test_code_of_a_checkpoint_needs_permission(trained: Path) -> None:
    booted_env.MADE.clear()
    with pytest.raises(InputError, match=r"Booted-v0; if you trust it, pass trust_code=True$"):
        transfer_spec(trained, "gym/CartPole-v1", "update_all", steps=50)
    assert booted_env.MADE == []
    assert transfer_spec(trained, THERE, "update_all", steps=50).flavor == Flavor(THERE)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_continues_and_signals_are_given_back(
    trained: Path, tmp_path: Path, signum: signal.Signals
) -> None:
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    booted_env.send_after(15, signum)
    assert run_alone(small_spec(), RunFolder(tmp_path / "run"), runtime=Runtime()) == (None, signum)
    assert 0 < RunFolder(tmp_path / "run").saved_steps() < 40
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    result, stopped_by = run_alone(small_spec(), RunFolder(tmp_path / "run"), runtime=Runtime())
    assert stopped_by is None
    assert result is not None
    assert result["steps"] == 40
    assert result == RunFolder(tmp_path / "run").result()


def test_the_bar_of_a_run_that_continues_begins_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    start = Display.start

    def noted(self: Display, run: PlannedRun, steps: int = 0) -> None:
        begun.append(steps)
        start(self, run, steps)

    monkeypatch.setattr(Display, "start", noted)
    folder = RunFolder(tmp_path / "run")
    booted_env.send_after(15, signal.SIGINT)
    run_alone(small_spec(), folder, runtime=Runtime())
    saved_steps = folder.saved_steps()
    run_alone(small_spec(), folder, runtime=Runtime())
    assert begun == [0, saved_steps]
    assert saved_steps > 0


def test_settings_that_a_single_run_does_not_have_are_refused() -> None:
    with pytest.raises(InputError, match=r"--set seeds=3: a single run has agent\.\*"):
        train_spec("catch", steps=9, overrides=["seeds=3"])
    with pytest.raises(InputError, match="--steps is 0; it must be at least 1"):
        train_spec("catch", steps=0)
