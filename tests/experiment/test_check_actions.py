from __future__ import annotations

from pathlib import Path

import pytest

from thaw.cli.main import main
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.suite import Suite, Transfer
from thaw.envs.families import canonical_flavor
from thaw.envs.spaces import Spaces, check_same_actions
from thaw.experiment.check import canonical_suite, check_suite
from thaw.experiment.plan import plan

SOURCE, TARGET = Flavor("gym/source"), Flavor("gym/target")


def spaces(*names: str, num_actions: int | None = None) -> Spaces:
    return Spaces(
        observation_shape=(4,),
        observation_type="float32",
        num_actions=len(names) if num_actions is None else num_actions,
        action_meanings=names or None,
        frames_per_step=1,
    )


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        (
            spaces("NOOP", "FIRE", "LEFT"),
            spaces("NOOP", "LEFT", "UP", "DOWN"),
            r"only 'gym/source' has FIRE; only 'gym/target' has UP, DOWN\. .*remaps no actions: "
            r"choose",
        ),
        (
            spaces("LEFT", "RIGHT", "FIRE"),
            spaces("LEFT", "FIRE", "RIGHT"),
            r"action 1 is RIGHT in 'gym/source' and FIRE in 'gym/target'; action 2 is FIRE",
        ),
        (spaces("NOOP", "FIRE"), spaces("NOOP"), r"has 2 actions .* has 1.*only 'gym/source' has"),
        (spaces(num_actions=3), spaces(num_actions=4), r"has 3 actions, but 'gym/target' has 4;"),
        (spaces("NOOP"), spaces(num_actions=4), r"has 1 actions, but 'gym/target' has 4;"),
    ],
)
def test_the_actions_that_differ_are_named(there: Spaces, here: Spaces, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_same_actions(SOURCE, there, TARGET, here)


@pytest.mark.parametrize(
    ("there", "here"),
    [
        (spaces("NOOP", "FIRE"), spaces("NOOP", "FIRE")),
        (spaces(num_actions=3), spaces(num_actions=3)),
        (spaces("NOOP", "FIRE"), spaces(num_actions=2)),
    ],
)
def test_the_same_actions_pass(there: Spaces, here: Spaces) -> None:
    check_same_actions(SOURCE, there, TARGET, here)


def atari(source: str, target: str) -> Suite:
    return Suite(
        name="games",
        transfers=(Transfer(source=Flavor(source), target=Flavor(target)),),
        pretrain_steps=1,
        transfer_steps=1,
        environment={"full_action_space": False},
    )


def test_two_games_with_other_buttons() -> None:
    pytest.importorskip("envpool")
    pytest.importorskip("ale_py")
    with pytest.raises(InputError, match=r"only 'atari/freeway' has UP, DOWN"):
        check_suite(atari("atari/breakout", "atari/freeway"))
    check_suite(atari("atari/breakout", "atari/breakout@m12d0"))


def test_a_policy_is_not_moved_to_other_buttons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("envpool")
    small = [
        "--set", "agent.embedding=mlp", "--set", "agent.lstm_size=8", "--set", "agent.fc_size=8",
        "--set", "environment.num_envs=2", "--set", "evaluation.episodes=1",
        "--set", "environment.max_episode_steps=5",
    ]  # fmt: skip
    run = str(tmp_path / "run")
    source = "minigrid/MiniGrid-Empty-5x5-v0"
    assert main(["train", source, "--out", run, "--steps", "40", *small]) == 0
    capsys.readouterr()
    target = "minigrid/MiniGrid-Dynamic-Obstacles-5x5-v0"
    out = str(tmp_path / "out")
    for command in (
        ["transfer", run, target, "--rule", "update_all", "--steps", "40", "--out", out],
        ["evaluate", run, target],
        ["record", run, target, "--out", str(tmp_path / "film.mp4")],
    ):
        assert main(command) == 2
        assert "has pickup, drop, toggle, done" in capsys.readouterr().err


def test_one_game_with_two_addresses_is_pretrained_once() -> None:
    pytest.importorskip("ale_py")
    chosen = Suite(
        name="two-addresses",
        transfers=(
            Transfer(source=Flavor("atari/breakout"), target=Flavor("atari/breakout@m12d0")),
            Transfer(source=Flavor("atari/breakout@m0d0"), target=Flavor("atari/breakout@m8d1")),
        ),
        conditions=("update_all",),
        seeds=1,
        pretrain_steps=100,
        transfer_steps=100,
    )
    keys = [run.key for run in plan(canonical_suite(chosen)).runs]
    assert keys == [
        "atari/breakout/pretrain/seed0",
        "atari/breakout@m12d0/update_all/seed0",
        "atari/breakout@m8d1/update_all/seed0",
    ]
    assert canonical_flavor(Flavor("atari/breakout@m0d0?sticky=1")) == "atari/breakout?sticky=1"
    assert canonical_flavor(Flavor("catch@large_ball")) == "catch@large_ball"
