from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
import torch
from gymnasium.vector import AutoresetMode

pytest.importorskip("envpool", reason="the extra thaw[atari] is not installed")

from ale_reference import AleGame

from thaw.acting.actor import Actor
from thaw.acting.unroll import collect, empty_trajectory
from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.envs.atari.vector_env import AtariVectorEnv, make_atari
from thaw.policy.policy import UniformPolicy
from thaw.policy.trajectory import EpisodeStats

FIRE, RIGHT = 1, 3


def make(game: str = "breakout", num_envs: int = 1, **options: Any) -> AtariVectorEnv:
    return make_atari(Flavor(f"atari/{game}"), num_envs, options)


def rams(env: AtariVectorEnv, num_steps: int = 60) -> npt.NDArray[np.uint8]:
    """Play the same actions again and again; [num_steps, N, 128]."""
    rng = np.random.default_rng(0)
    steps = [env.step(np.full(env.num_envs, rng.integers(18))) for _ in range(num_steps)]
    return np.stack([step[-1]["ram"] for step in steps])


def test_what_the_environment_says_of_itself() -> None:
    env = make("freeway", 3, frame_skip=5, full_action_space=False)
    assert env.single_observation_space == gymnasium.spaces.Box(0, 255, (84, 84, 4), np.uint8)
    assert env.single_action_space == gymnasium.spaces.Discrete(3)
    assert env.metadata["action_meanings"] == ("NOOP", "UP", "DOWN")
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    assert env.metadata["frames_per_step"] == 5
    assert env.metadata["render_fps"] == 12
    full = make("freeway", 3, stack=2, grayscale=False, image_size=96)
    assert full.single_observation_space.shape == (96, 96, 6)
    assert full.single_action_space == gymnasium.spaces.Discrete(18)
    assert len(full.metadata["action_meanings"]) == 18


def test_observations_are_a_view_with_the_channels_last() -> None:
    env = make(num_envs=2)
    for observations in (env.reset(seed=0)[0], env.step(np.array([0, 1]))[0]):
        assert env.observation_space.contains(observations)
        assert observations.base is not None
        assert torch.as_tensor(observations).permute(0, 3, 1, 2).is_contiguous()


def test_a_game_that_stalls_is_cut_and_flagged() -> None:
    env = make(num_envs=2, max_episode_frames=43, sticky=0)  # ten whole steps
    first, _ = env.reset(seed=0)
    for step in range(1, 33):
        observations, rewards, terminated, truncated, infos = env.step(np.zeros(2, int))
        is_cut = step % 11 == 10  # each reset takes one step
        assert truncated.tolist() == infos["stalled"].tolist() == [is_cut] * 2
        assert not terminated.any()
        assert not rewards.any()
        if step % 11 == 0:
            np.testing.assert_array_equal(observations, first)


def game_over_step(env: AtariVectorEnv) -> tuple[int, list[bool]]:
    """Play until an episode ends; returns after how many steps, and how."""
    rng = np.random.default_rng(0)
    env.reset(seed=0)
    for step in range(1, 5000):
        _, _, terminated, truncated, infos = env.step(rng.integers(18, size=1))
        if terminated[0] or truncated[0]:
            return step, [bool(terminated[0]), bool(truncated[0]), bool(infos["stalled"][0])]
    raise AssertionError("the game did not end")


def test_a_game_over_is_no_truncation_even_in_the_last_step_before_the_cap() -> None:
    length, how = game_over_step(make())
    assert how == [True, False, False]
    assert game_over_step(make(max_episode_frames=4 * length)) == (length, how)
    shorter = make(max_episode_frames=4 * (length - 1))
    assert game_over_step(shorter) == (length - 1, [False, True, True])


def test_a_lost_life_ends_the_episode_only_if_asked() -> None:
    env = make(life_loss_ends=True)
    rng = np.random.default_rng(0)
    _, infos = env.reset(seed=0)
    lives, continues = [], []
    for _ in range(5):
        terminated = np.zeros(1, bool)
        lives.append(int(infos["lives"][0]))
        while not terminated[0]:
            _, _, terminated, truncated, infos = env.step(rng.integers(18, size=1))
            assert not truncated[0]
            assert terminated[0] or not infos["score_continues"][0]
        continues.append(bool(infos["score_continues"][0]))
        _, _, _, _, infos = env.step(np.zeros(1, int))  # the row of the reset
    assert lives == [5, 4, 3, 2, 1]
    assert infos["lives"][0] == 5
    assert continues == [True, True, True, True, False]


def test_a_life_lost_in_the_last_step_before_the_cap_continues_nothing() -> None:
    def first_end(**options: Any) -> tuple[int, list[bool]]:
        env = make(life_loss_ends=True, sticky=0, **options)
        env.reset(seed=0)
        for step in range(1, 5000):
            _, _, terminated, truncated, infos = env.step(np.array([FIRE]))
            if terminated[0] or truncated[0]:
                flags = terminated, truncated, infos["score_continues"]
                return step, [bool(flag[0]) for flag in flags]
        raise AssertionError("no life was lost")

    step, flags = first_end()
    assert flags == [True, False, True]
    assert first_end(max_episode_frames=4 * step) == (step, [False, True, False])


def test_scores_are_those_of_whole_games_also_if_lost_lives_end_episodes() -> None:
    env = make(num_envs=2, life_loss_ends=True, max_episode_frames=800)  # some games are cut
    actor = Actor(env, UniformPolicy(18), seed=0)
    finished: list[EpisodeStats] = []
    points, lost = np.zeros(2), np.zeros(2, int)
    while len(finished) < 8:
        decision = actor.step()
        points += decision.rewards
        lost += decision.terminated
        for game in decision.finished:
            assert game.truncated or lost[game.environment] == 5
            assert game.episode_return == points[game.environment]
            points[game.environment] = lost[game.environment] = 0
        finished += decision.finished
    assert {game.truncated for game in finished} == {True, False}


def test_reset_seeds_and_goes_on_without_a_seed() -> None:
    env = make("space_invaders", 2)
    env.reset(seed=1)
    once = rams(env)
    env.reset()
    on = rams(env)
    env.reset(seed=1)
    again = rams(env)
    env.reset(seed=2)
    other = rams(env)
    np.testing.assert_array_equal(once, again)
    assert (once != on).any()
    assert (once != other).any()


def test_no_two_environments_share_their_chance() -> None:
    streams = []
    for seed in (0, 1):
        env = make("space_invaders", 3)
        env.reset(seed=seed)
        trace = rams(env)
        streams += [trace[:, i].tobytes() for i in range(3)]
    assert len(set(streams)) == 6  # seeds s, s + 1, ... would give 4


def test_the_number_of_threads_changes_nothing() -> None:
    traces = []
    for num_threads in (1, 3):
        env = make("space_invaders", 4, num_threads=num_threads, noop_max=30)
        env.reset(seed=5)
        traces.append(rams(env))
    np.testing.assert_array_equal(traces[0], traces[1])


def test_random_noops_start_games_differently_and_are_off_at_first() -> None:
    def starts(**options: Any) -> set[bytes]:
        _, infos = make("space_invaders", 4, **options).reset(seed=0)
        return {ram.tobytes() for ram in infos["ram"]}

    without = starts()
    assert len(without) == 1
    assert starts(noop_max=1) == without
    assert len(starts(noop_max=30)) > 2


def test_render_shows_the_screens() -> None:
    env, game = make(num_envs=2, sticky=0), AleGame("breakout", 0, 0)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.render()
    env.reset(seed=0)
    game.reset()
    for _ in range(20):
        env.step(np.array([FIRE, RIGHT]))
        game.play(RIGHT)
    screens = env.render()
    assert len(screens) == 2
    np.testing.assert_array_equal(screens[1], game.ale.getScreenRGB())
    assert (screens[0] != screens[1]).any()


@pytest.mark.parametrize("actions", [[18, 0], [-1, 0], [0], [0, 0, 0], [0.0, 1.0], [[0], [0]]])
def test_wrong_actions_are_refused(actions: Any) -> None:
    env = make(num_envs=2)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(2, int))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"it must be int\[2\], a whole number from 0 to 17"):
        env.step(np.array(actions))
    with pytest.raises(ValueError, match="reset has no options, got reset_mask"):
        env.reset(options={"reset_mask": np.ones(2, bool)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frameskip": 4}, "unknown key 'frameskip'; did you mean 'frame_skip'?"),
        ({"sticky": 1.5}, "sticky: "),
        ({"sticky": "no"}, "sticky: "),
        ({"frame_skip": 0}, "frame_skip: "),
        ({"image_size": 200}, "image_size: "),
        ({"stack": 2.5}, "stack: "),
        ({"life_loss_ends": 1}, "life_loss_ends: "),
        ({"noop_max": -1}, "noop_max: "),
        ({"num_threads": 0}, "num_threads: "),
        ({"max_episode_frames": 3}, "max_episode_frames is 3; it must be at least frame_skip, 4"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=r"^flavor 'atari/breakout@m4d0': (?!.*\n)") as error:
        make_atari(Flavor("atari/breakout@m4d0"), 1, options)
    assert message in str(error.value)


def test_the_row_of_a_reset_never_counts_in_an_unroll() -> None:
    env = make(num_envs=4, max_episode_frames=640)  # 160 steps: some games end, some are cut
    actor = Actor(env, UniformPolicy(18), seed=0)
    unroll = empty_trajectory(actor, AgentConfig(unroll_length=20), store_embeddings=False)
    opening = AleGame("breakout", 0, 0).reset()
    num_valid, num_resets, ends, finished = 0, 0, 0, []
    last_done = torch.zeros(4, dtype=torch.bool)
    last_first = torch.ones(4, dtype=torch.bool)
    for _ in range(25):
        finished += collect(actor, unroll, discount=1.0)
        it = unroll
        assert it.observations is not None
        assert it.first[0].equal(last_first)
        for t in range(20):
            done = (it.discounts[t] == 0) & it.valid[t]
            assert it.valid[t].equal(~last_done)  # the step after an end is the reset
            assert it.first[t + 1].equal(last_done)  # and what it shows starts an episode
            assert not it.rewards[t][last_done].any()
            assert not it.discounts[t][last_done].any()
            ends += int(done.sum())
            last_done = done
        for observation in it.observations[it.first]:
            assert np.abs(observation.numpy() - opening).max() < 0.500001
        num_valid, num_resets = num_valid + int(it.valid.sum()), num_resets + int(it.first.sum())
        last_first = it.first[-1]
    assert ends == len(finished) >= 8
    assert num_resets >= ends
    assert num_valid == actor.num_steps == 25 * 20 * 4 - (ends - int(last_done.sum()))
    lengths = {episode.length_steps for episode in finished}
    assert max(lengths) == 160
    assert len(lengths) > 1
