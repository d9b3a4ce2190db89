"""The phone under AndroidEnv's stack and the batched family `catch` are the same game."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from thaw.envs.catch.knobs import VARIANTS
from thaw.envs.families import make_env
from thaw.envs.spaces import VectorEnv

NUM_PHONES = 2


def both(variant: str, **options: Any) -> tuple[VectorEnv, VectorEnv]:
    """The same flavor twice: phones and the batched family."""
    phones = make_env(f"androidenv/catch@{variant}?device=simulated", NUM_PHONES, **options)
    return phones, make_env(f"catch@{variant}", NUM_PHONES, **options)


def assert_same_game(
    envs: tuple[VectorEnv, VectorEnv], throws: Iterable[int], actions: np.random.Generator
) -> list[float]:
    """Play throws in both, and compare every picture, reward, flag and position."""
    outcomes = []
    num_actions = envs[0].single_action_space.n  # type: ignore[attr-defined]
    for ball in throws:
        options = {"ball_x": np.array([ball, 319 - ball])}
        (here, here_info), (there, there_info) = (env.reset(options=options) for env in envs)
        np.testing.assert_array_equal(here, there)
        done = np.zeros(NUM_PHONES, bool)
        while not done.any():
            chosen = actions.integers(num_actions, size=NUM_PHONES)
            here, rewards, terminated, truncated, here_info = envs[0].step(chosen)
            there, *expected, there_info = envs[1].step(chosen)
            done = terminated | truncated
            np.testing.assert_array_equal(rewards, expected[0])
            np.testing.assert_array_equal(terminated, expected[1])
            np.testing.assert_array_equal(truncated, expected[2])
            last = here_info["final_obs"] if done.any() else here
            same = there_info["final_obs"] if done.any() else there
            for picture, as_there in zip(last, same, strict=True):
                np.testing.assert_array_equal(picture, as_there)
            for place in ("ball_x", "ball_y", "paddle_x"):
                info, other = (i.get("final_info", i) for i in (here_info, there_info))
                np.testing.assert_array_equal(info[place], other[place])
        outcomes += rewards.tolist()
    return outcomes


@pytest.mark.parametrize("variant", VARIANTS)
def test_rewards_and_pictures_are_equal(variant: str) -> None:
    """Byte for byte, with all of DiscreteActionWrapper's actions."""
    envs = both(variant, touch_noise=0.0, num_actions=162)
    outcomes = assert_same_game(envs, [0, 40, 101, 158], np.random.default_rng(1))
    assert set(outcomes) <= {1.0, -1.0}
    for env in envs:
        env.close()


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_rewards_and_pictures_are_equal_over_many_throws(variant: str) -> None:
    envs = both(variant, touch_noise=0.0, num_actions=162)
    outcomes = assert_same_game(envs, range(0, 160, 4), np.random.default_rng(2))
    assert set(outcomes) == {1.0, -1.0}
    for env in envs:
        env.close()


@pytest.mark.parametrize(
    "options", [{"num_actions": 56}, {"downsample": 5}, {"frames_per_step": 7}]
)
def test_options_mean_the_same(options: dict[str, Any]) -> None:
    envs = both("small_paddle", touch_noise=0.0, **options)
    assert envs[0].metadata["frames_per_step"] == envs[1].metadata["frames_per_step"]
    assert envs[0].metadata["render_fps"] == envs[1].metadata["render_fps"]
    assert envs[0].single_observation_space == envs[1].single_observation_space
    assert envs[0].action_space == envs[1].action_space
    assert_same_game(envs, [77], np.random.default_rng(3))
    for env in envs:
        env.close()


class WrapperNoise:
    """In place of a generator of `catch`: the numbers that DiscreteActionWrapper draws."""

    def __init__(self, env: Any) -> None:
        seeds = np.random.SeedSequence(5).generate_state(2 * NUM_PHONES)
        self.streams = [np.random.RandomState(np.random.MT19937(seed)) for seed in seeds[::2]]
        self.others = env.np_random

    def normal(self, scale: float, size: int) -> NDArray[np.float64]:
        """One number a device for x; the wrapper draws another for y."""
        assert size == NUM_PHONES
        return np.array([stream.normal(0.0, scale, 2)[0] for stream in self.streams])

    def integers(self, *arguments: Any, **options: Any) -> Any:
        return self.others.integers(*arguments, **options)


def test_with_the_wrappers_noise_touches_are_at_the_same_pixels() -> None:
    phones, games = both("default")
    phones.reset(seed=5)
    games.reset(seed=5)
    games.np_random = WrapperNoise(games)  # type: ignore[assignment]
    assert_same_game((phones, games), [12, 250], np.random.default_rng(4))
    phones.close()
    games.close()


def test_the_noise_leaves_numpys_generator_alone() -> None:
    env = make_env("androidenv/catch?device=simulated", 1, seed=0)
    np.random.seed(3)  # noqa: NPY002 - the generator that the wrapper draws from
    expected = np.random.random(4)  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    found = []
    for action in range(4):
        found.append(np.random.random())  # noqa: NPY002
        env.step(np.array([action]))
    assert found == expected.tolist()
    env.close()
