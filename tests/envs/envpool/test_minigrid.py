from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from envpool_games import play, short

from thaw.config.errors import InputError
from thaw.envs.families import list_flavors, make_env
from thaw.envs.spaces import action_meanings
from thaw.experiment.built_in import minigrid_quick
from thaw.experiment.check import check_suite
from thaw.experiment.execute import run
from thaw.testing import check_environment

pytest.importorskip("envpool", reason="EnvPool is not installed: pip install 'thaw[envpool]'")

EMPTY = "minigrid/MiniGrid-Empty-5x5-v0"


def test_tiles_are_one_hot_or_symbols() -> None:
    hot, symbols = play(EMPTY, 5), play(f"{EMPTY}?observation=symbols", 5)
    assert hot[0].shape == (2, 7, 7, 20)
    assert symbols[0].shape == (2, 7, 7, 3)
    for one, other in zip(hot, symbols, strict=True):
        parts = np.split(one, [11, 17], axis=-1)
        assert set(np.unique(one)) == {0, 255}
        for index, part in enumerate(parts):
            np.testing.assert_array_equal(part.argmax(-1), other[..., index])
            np.testing.assert_array_equal(part.astype(int).sum(-1), 255)


def test_the_goal_is_rewarded_and_the_step_after_it_is_a_reset() -> None:
    env = make_env(EMPTY, 1, seed=0)
    path = [2, 2, 1, 2, 2]  # two ahead, turn right, two ahead: the far corner
    rewards, ends = [], []
    for action in [*path, 2]:
        _, reward, terminated, truncated, _ = env.step(np.array([action]))
        rewards.append(float(reward[0]))
        ends.append((bool(terminated[0]), bool(truncated[0])))
    assert rewards == pytest.approx([0, 0, 0, 0, 1 - 0.9 * 5 / 100, 0])
    assert ends == [(False, False)] * 4 + [(True, False), (False, False)]
    env.close()


def test_the_step_limit_truncates() -> None:
    env = make_env(f"{EMPTY}?max_episode_steps=3", 1, seed=0)
    flags = [env.step(np.array([0]))[2:4] for _ in range(3)]
    assert [(bool(a[0]), bool(b[0])) for a, b in flags] == [(False, False)] * 2 + [(False, True)]
    env.close()


def test_an_option_of_the_task() -> None:
    env, larger = make_env(EMPTY, 1, seed=0), make_env(f"{EMPTY}?size=9", 1, seed=0)
    ahead = [env.step(np.array([2]))[0] for _ in range(4)][-1]
    further = [larger.step(np.array([2]))[0] for _ in range(4)][-1]
    assert not np.array_equal(ahead, further)
    env.close()
    larger.close()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("minigrid/MiniGrid-Emty-5x5-v0", r"did you mean 'MiniGrid-Empty-5x5-v0'"),
        (f"{EMPTY}@hard", r"no variant 'hard'"),
        (f"{EMPTY}?num_objs=3", r"no option 'num_objs'.*max_episode_steps, size"),
        (f"{EMPTY}?size=big", r"size is 'big'; it must be int"),
        (f"{EMPTY}?size=99999999999", r"EnvPool allows at most"),
        (f"{EMPTY}?observation=pixels", r"observation.*one_hot, symbols"),
    ],
)
def test_wrong_minigrid_addresses(address: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_env(address)


def test_names_of_minigrid_actions() -> None:
    env = make_env(EMPTY)
    assert action_meanings(env) == (
        "left", "right", "forward", "pickup", "drop", "toggle", "done",
    )  # fmt: skip
    env.close()


@pytest.mark.parametrize(
    "address",
    ["minigrid/MiniGrid-Empty-Random-6x6-v0", "minigrid/BabyAI-GoToRedBall-v0"],
)
def test_the_check_finds_nothing(address: str) -> None:
    check_environment(address)


def test_listing() -> None:
    assert EMPTY in list_flavors("minigrid/*")
    for address in list_flavors("MiniGrid-*Empty*"):
        make_env(address).close()


@pytest.mark.slow
def test_minigrid_quick(tmp_path: Path) -> None:
    summary = run(short("minigrid-quick"), tmp_path, num_workers=2)
    assert not summary.failed
    # Pretraining and random play on the source, two conditions on each target.
    assert len(summary.done) == 2 + 2 * 2


def test_the_transfers_fit() -> None:
    assert set(check_suite(minigrid_quick()))
