"""A policy opened from a checkpoint, from Python."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import booted_env
import pytest
from command_line import Say

from thaw.config import InputError, Runtime
from thaw.experiment.opened_policy import open_policy
from thaw.experiment.single import run_alone, train_spec
from thaw.files.run_folder import RunFolder

HERE = "gym/booted_env:Booted-v0?label=source"
THERE = "gym/booted_env:Booted-v0?label=target"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training."""
    overrides = [
        "agent.unroll_length=5", "agent.embedding_size=8", "agent.lstm_size=8", "agent.fc_size=8",
        "agent.precision=float32", "environment.num_envs=2", "evaluation.episodes=2",
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("trained") / "run"
    spec = train_spec(HERE, steps=40, embedding="mlp", overrides=overrides)
    run_alone(spec, RunFolder(path), runtime=Runtime())
    return path


def test_source_and_target_are_made_once_each_before_it_plays(trained: Path) -> None:
    booted_env.MADE.clear()
    same = open_policy(trained, HERE, trust_code=True)
    once = booted_env.MADE.count("source")
    assert Counter(booted_env.MADE) == {"source": once}
    booted_env.MADE.clear()
    other = open_policy(trained, THERE, trust_code=True)
    assert Counter(booted_env.MADE) == {"source": once, "target": once}
    booted_env.MADE.clear()
    open_policy(trained, f"{THERE}&buttons=", trust_code=True)  # there is nothing to compare
    assert Counter(booted_env.MADE) == {"target": once}
    booted_env.MADE.clear()
    other.evaluate(num_episodes=2)
    assert set(booted_env.MADE) == {"target"}
    assert same.origin == other.origin is not None


def test_a_flavor_that_does_not_fit_is_refused(trained: Path) -> None:
    with pytest.raises(InputError, match=r"action 0 is left in .* and right in"):
        open_policy(trained, f"{THERE}&buttons=right_left", trust_code=True)
    with pytest.raises(InputError, match=r"observations of shape \(5,\), .*\(30, 20, 3\)"):
        open_policy(trained, "catch?downsample=16", trust_code=True)


def test_an_option_of_the_checkpoint_s_run_is_not_taken_for_the_user_s(finished: Path) -> None:
    pytest.importorskip("ale_py")
    run = finished / "runs/catch/pretrain/seed0"
    for flavor in ("atari/breakout", "gym/CartPole-v1"):
        with pytest.raises(InputError, match=r"'downsample'.* was trained in 'catch'; a policy"):
            open_policy(run, flavor)
    for flavor in ("atari/breakout?downsample=8", "catch?downsampl=16"):
        with pytest.raises(InputError, match=r"unknown key 'downsampl") as caught:
            open_policy(run, flavor)
        assert "That option" not in str(caught.value)


def test_it_takes_the_options_of_the_checkpoint_s_run(finished: Path) -> None:
    opened = open_policy(finished / "runs/catch/pretrain/seed0", "catch@large_ball")
    assert opened.options == {"downsample": 16, "frames_per_step": 8}
    assert opened.num_envs == 4
    changed = open_policy(
        finished / "runs/catch/pretrain/seed0", "catch", overrides=["ball_radius=20", "num_envs=3"]
    )
    assert changed.options == {"downsample": 16, "frames_per_step": 8, "ball_radius": 20}
    assert changed.num_envs == 3


def test_python_and_the_command_give_the_same_score(say: Say, finished: Path) -> None:
    run = finished / "runs/catch/pretrain/seed0"
    score = open_policy(run, "catch").evaluate(num_episodes=6, seed=3, greedy=True)
    spoken = say("evaluate", run, "catch", "--episodes", 6, "--seed", 3, "--greedy", "--json")
    assert json.loads(spoken.out) == score
    assert score["num_episodes"] == 6
    assert score["actions"] == "greedy"


def test_the_random_policy_is_opened_without_an_environment() -> None:
    opened = open_policy("random", "catch", overrides=["downsample=16", "num_envs=5"])
    assert (opened.policy, opened.origin, opened.num_envs) == (None, None, 5)
    score = opened.evaluate(num_episodes=5)
    assert score == opened.evaluate(num_episodes=5)
    assert (score["policy"], score["num_episodes"]) == ("random", 5)


def test_code_of_a_checkpoint_needs_permission(trained: Path) -> None:
    booted_env.MADE.clear()
    with pytest.raises(InputError, match=r"Booted-v0; if you trust it, pass trust_code=True$"):
        open_policy(trained, "gym/CartPole-v1")
    assert booted_env.MADE == []
    assert open_policy(trained, THERE).policy is not None


def test_numbers_that_cannot_be_are_refused(tmp_path: Path) -> None:
    opened = open_policy("random", "catch?downsample=16")
    for play in (opened.evaluate, lambda **numbers: opened.record(tmp_path / "a.mp4", **numbers)):
        with pytest.raises(InputError, match="--episodes is 0; it must be at least 1"):
            play(num_episodes=0)
        with pytest.raises(InputError, match="--seed is -1; it must be at least 0"):
            play(seed=-1)
    assert list(tmp_path.iterdir()) == []
