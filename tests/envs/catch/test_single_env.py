"""The single game, its registration, and how both forms fit into Gymnasium."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from shrink import shrink

from thaw.envs.catch.knobs import VARIANTS
from thaw.envs.catch.single_env import CatchEnv, register
from thaw.envs.catch.vector_env import CatchVectorEnv


def test_passes_gymnasiums_checker_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make("thaw/Catch-v0", render_mode="rgb_array").unwrapped)
        check_env(CatchEnv(), skip_render_check=True)


def test_last_step_shows_how_the_throw_ended() -> None:
    env = CatchEnv(touch_noise=0, variant="red_background")
    _, info = env.reset(options={"ball_x": 80})
    assert info == {"ball_x": 80, "ball_y": 10, "paddle_x": 160}
    rewards = []
    terminated = False
    while not terminated:
        observation, reward, terminated, truncated, info = env.step(1)
        assert not truncated
        rewards.append(reward)
    assert rewards == [0.0] * 38 + [1.0]
    assert info == {"ball_x": 80, "ball_y": 472, "paddle_x": 80}
    np.testing.assert_array_equal(observation, shrink(env.render(), 4))
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(1)


def test_the_seed_decides_everything() -> None:
    def rollout(env: CatchEnv) -> list[Any]:
        infos = [env.reset(seed=5)[1]]
        for _ in range(3):
            infos += [env.step(3)[4] for _ in range(4)]
            infos.append(env.reset()[1])
        return infos

    env = CatchEnv(frame_jitter_ms=8)
    assert rollout(env) == rollout(env) == rollout(CatchEnv(frame_jitter_ms=8))


@pytest.mark.parametrize("num_envs", [1, 5])
def test_auto_reset_is_that_of_gymnasiums_vector_environment(num_envs: int) -> None:
    options: dict[str, Any] = {"touch_noise": 0, "frames_per_step": 30, "action_latency_steps": 1}
    ours = CatchVectorEnv(num_envs, **options)
    theirs = SyncVectorEnv(
        [lambda: CatchEnv(**options)] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP
    )
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"]
    their_observations, their_info = theirs.reset(seed=3)
    our_observations, our_info = ours.reset(options={"ball_x": their_info["ball_x"]})
    rng = np.random.default_rng(1)
    num_ended = 0
    for _ in range(40):
        np.testing.assert_array_equal(our_observations, their_observations)
        assert_same_info(our_info, their_info)
        actions = rng.integers(0, 54, num_envs)
        their_observations, *their_rest, their_info = theirs.step(actions)
        our_observations, *our_rest, our_info = ours.step(actions)
        for our, their in zip(our_rest, their_rest, strict=True):
            assert our.dtype == their.dtype
            np.testing.assert_array_equal(our, their)
        ended = our_rest[1]
        if ended.any():  # the next throws are drawn from other generators: take over their balls
            num_ended += 1
            ball_x = their_info["ball_x"]
            our_observations, new = ours.reset(options={"reset_mask": ended, "ball_x": ball_x})
            our_info |= new
    assert num_ended >= 5


def assert_same_info(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        if isinstance(value, dict):
            assert_same_info(ours[key], value)
        else:
            assert ours[key].dtype == value.dtype, key
            assert ours[key].shape == value.shape, key
            for our, their in zip(ours[key], value, strict=True):
                np.testing.assert_array_equal(our, their)


def test_one_game_alone_and_in_a_vector_run_alike() -> None:
    ours = CatchVectorEnv(1, frame_jitter_ms=9, frames_per_step=25)
    theirs = SyncVectorEnv(
        [lambda: CatchEnv(frame_jitter_ms=9, frames_per_step=25)],
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    np.testing.assert_array_equal(ours.reset(seed=3)[0], theirs.reset(seed=3)[0])
    for _ in range(60):
        our, their = ours.step(np.array([2])), theirs.step(np.array([2]))
        for i in range(4):
            np.testing.assert_array_equal(our[i], their[i])
        assert_same_info(our[4], their[4])


def test_gymnasium_makes_both_forms() -> None:
    single = gymnasium.make("thaw/Catch-v0", variant="small_ball", downsample=16)
    assert isinstance(single.unwrapped, CatchEnv)
    assert single.reset(seed=1)[0].shape == (30, 20, 3)
    assert single.reset(seed=1)[1]["ball_y"] == 7
    vector = gymnasium.make_vec("thaw/Catch-v0", num_envs=4, ball_radius=20.0, num_actions=162)
    assert isinstance(vector.unwrapped, CatchVectorEnv)
    assert vector.reset(seed=1)[0].shape == (4, 120, 80, 3)
    assert vector.single_action_space == gymnasium.spaces.Discrete(162)
    assert vector.metadata["render_fps"] == 15.625


def test_gymnasium_finds_it_by_its_module() -> None:
    code = (
        "import gymnasium; env = gymnasium.make('thaw.envs.catch:thaw/Catch-v0');"
        "print(env.reset(seed=0)[0].shape, env.spec.id)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "(120, 80, 3) thaw/Catch-v0\n"


def test_registering_again_changes_nothing(recwarn: pytest.WarningsRecorder) -> None:
    before = gymnasium.registry["thaw/Catch-v0"]
    register()
    assert gymnasium.registry["thaw/Catch-v0"] is before
    assert not recwarn


def test_works_with_gymnasiums_episode_statistics() -> None:
    env = gymnasium.wrappers.vector.RecordEpisodeStatistics(CatchVectorEnv(3, touch_noise=0))
    env.reset(seed=0, options={"ball_x": [160, 160, 300]})
    for _ in range(39):
        info = env.step(np.array([2, 3, 0]))[4]
    final = info["final_info"] if "episode" in info["final_info"] else info
    assert final["episode"]["r"].tolist() == [1.0, 1.0, -1.0]
    assert final["episode"]["l"].tolist() == [39, 39, 39]


def test_there_are_five_variants_with_these_knobs() -> None:
    assert VARIANTS == {
        "default": {},
        "large_ball": {"ball_radius": 30.0},
        "small_ball": {"ball_radius": 7.0},
        "small_paddle": {"paddle_width": 40},
        "red_background": {"background_color": "RED"},
    }
