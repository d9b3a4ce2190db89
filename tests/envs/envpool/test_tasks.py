from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.envs.envpool.procgen import PROCGEN_ACTIONS, list_procgen
from thaw.envs.families import list_flavors, make_env
from thaw.envs.spaces import action_meanings
from thaw.experiment.check import check_suite
from thaw.experiment.execute import run
from thaw.experiment.suites import load_suite, minigrid_quick, procgen_quick
from thaw.testing import check_environment

pytest.importorskip("envpool", reason="EnvPool is not installed: pip install 'thaw[envpool]'")

EMPTY = "minigrid/MiniGrid-Empty-5x5-v0"


def procgen_works() -> str | None:
    """Why Procgen cannot be played here, if so: its Qt 5 may need libraries of the system's."""
    try:
        make_env("procgen/coinrun").close()
    except InputError as error:
        return str(error)
    return None


NO_PROCGEN = procgen_works()
needs_procgen = pytest.mark.skipif(NO_PROCGEN is not None, reason=str(NO_PROCGEN))


def play(address: str, steps: int, seed: int = 1, **options: Any) -> list[NDArray[Any]]:
    """The observations of some seeded random steps."""
    env = make_env(address, 2, **options)
    observations = [env.reset(seed=seed)[0]]
    random = np.random.default_rng(0)
    for _ in range(steps):
        actions = random.integers(env.single_action_space.n, size=2)  # type: ignore[attr-defined]
        observations.append(env.step(actions)[0])
    env.close()
    return observations


# ------------------------------------------------------------------------------------ MiniGrid


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


def test_the_goal_is_rewarded_and_the_step_behind_it_is_a_reset() -> None:
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


# ------------------------------------------------------------------------------------- Procgen


@needs_procgen
def test_only_the_levels_asked_for_are_played() -> None:
    env = make_env("procgen/coinrun@levels40-42?difficulty=easy&max_episode_steps=5", 4)
    _, info = env.reset(seed=0)
    seen = set(info["level_seed"].tolist())
    for _ in range(60):
        *_, info = env.step(np.full(4, 4))
        seen |= set(info["level_seed"].tolist())
    assert seen == {40, 41, 42}
    env.close()


@needs_procgen
def test_a_difficulty_and_a_look_are_options() -> None:
    usual = play("procgen/coinrun@levels0-0", 0)[0]
    easy = play("procgen/coinrun@levels0-0?difficulty=easy", 0)[0]
    plain = play("procgen/coinrun@levels0-0?use_backgrounds=false", 0)[0]
    assert usual.shape == (2, 64, 64, 3)
    assert not np.array_equal(usual, easy)
    assert not np.array_equal(usual, plain)


@needs_procgen
def test_names_of_procgen_actions() -> None:
    env = make_env("procgen/coinrun")
    assert action_meanings(env) == PROCGEN_ACTIONS
    assert len(PROCGEN_ACTIONS) == env.single_action_space.n  # type: ignore[attr-defined]
    env.close()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("procgen/conrun", r"did you mean 'coinrun'"),
        ("procgen/coinrun@easy", r"not levels<first>-<last>.*\?difficulty=easy"),
        ("procgen/coinrun@levels9-3", r"first level that is not above the last"),
        ("procgen/coinrun?difficulty=memory", r"coinrun has easy, hard, exploration"),
        ("procgen/coinrun?difficulty=brutal", r"difficulty"),
    ],
)
def test_wrong_procgen_addresses(address: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_env(address)


@needs_procgen
def test_a_wrong_option_of_procgen_is_named() -> None:
    with pytest.raises(InputError, match=r"no option 'use_background'; did you mean"):
        make_env("procgen/coinrun?use_background=false")


def test_the_sixteen_games_and_their_difficulties() -> None:
    games = list_procgen()
    assert len(games) == 16
    assert games["caveflyer"] == ["easy", "hard", "memory", "exploration"]


# ------------------------------------------------------------------- everything that EnvPool has


@pytest.mark.parametrize(
    ("address", "shape"),
    [
        ("envpool/CartPole-v1", (4,)),
        ("envpool/Catch-v0?width=7", (10, 7, 1)),
        ("envpool/Jumanji/Snake-v1?observation_key=grid", (12, 12, 5)),
    ],
)
def test_other_tasks(address: str, shape: tuple[int, ...]) -> None:
    env = make_env(address, 2, seed=0)
    assert env.single_observation_space.shape == shape
    env.close()
    check_environment(address)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("envpool/Pendulum-v1", r"actions are Box.*discrete"),
        ("envpool/Jumanji/Snake-v1", r"observation_key=KEY; there are grid"),
        ("envpool/CartPole-v1?seed=3", r"no option 'seed'"),
        ("envpool/Pong-v5", r"unknown flavor"),
    ],
)
def test_wrong_addresses_of_other_tasks(address: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_env(address)


# ------------------------------------------------------------------------------ the shared adapter


def test_the_number_of_threads_changes_nothing() -> None:
    address = "minigrid/MiniGrid-Empty-Random-6x6-v0"
    one, two = play(address, 50, num_threads=1), play(address, 50, num_threads=2)
    np.testing.assert_array_equal(np.stack(one), np.stack(two))


def test_neighboring_seeds_share_no_environment() -> None:
    env = make_env("envpool/CartPole-v1", 4)
    first, second = env.reset(seed=0)[0], env.reset(seed=1)[0]
    assert len(np.unique(np.concatenate([first, second]), axis=0)) == 8
    env.close()


@pytest.mark.parametrize("actions", [[7, 0], [-1, 0], [0.0, 0.0], [0]])
def test_wrong_actions_are_refused(actions: list[float]) -> None:
    env = make_env(EMPTY, 2, seed=0)
    with pytest.raises(ValueError, match=r"whole number from 0 to 6"):
        env.step(np.array(actions))
    env.close()


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    play("envpool/CartPole-v1", 3)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "address",
    ["minigrid/MiniGrid-Empty-Random-6x6-v0", "minigrid/BabyAI-GoToRedBall-v0"],
)
def test_the_check_finds_nothing(address: str) -> None:
    check_environment(address)


@needs_procgen
def test_the_check_finds_nothing_in_procgen() -> None:
    check_environment("procgen/coinrun@levels0-9?difficulty=easy&max_episode_steps=50")


def test_listing() -> None:
    assert EMPTY in list_flavors("minigrid/*")
    assert list_flavors("coinrun") == ["procgen/coinrun", "procgen/coinrun@levels<first>-<last>"]
    for address in list_flavors("MiniGrid-*Empty*"):
        make_env(address).close()


# -------------------------------------------------------------------------------------- suites


def short(name: str) -> Any:
    """A built-in suite with budgets cut so that it takes seconds."""
    return load_suite(
        name,
        [
            "pretrain_steps=300", "transfer_steps=200", "seeds=1", "evaluation.episodes=2",
            "environment.max_episode_steps=20", "conditions=[random, freeze_embedding]",
        ],
    )  # fmt: skip


def test_minigrid_quick(tmp_path: Path) -> None:
    summary = run(short("minigrid-quick"), tmp_path, num_workers=2)
    assert not summary.failed
    assert len(summary.done) == 1 + 2 * 2


@needs_procgen
def test_procgen_quick(tmp_path: Path) -> None:
    summary = run(short("procgen-quick"), tmp_path, num_workers=2)
    assert not summary.failed
    assert len(summary.done) == 1 + 2


def test_the_transfers_fit() -> None:
    assert set(check_suite(minigrid_quick()))
    if NO_PROCGEN is None:
        assert [flavor.variant for flavor in check_suite(procgen_quick())] == [
            "levels0-9", "levels1000-1009",
        ]  # fmt: skip


def test_flavors_of_one_game_are_different_words() -> None:
    assert Flavor("procgen/coinrun@levels0-9") != Flavor("procgen/coinrun")
