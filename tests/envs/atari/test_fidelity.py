"""Our vector environment plays what ALE plays, checked frame by frame and by statistics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

pytest.importorskip("envpool", reason="the extra thaw[atari] is not installed")

from ale_reference import THE_13_FLAVORS, AleGame
from scipy.stats import chisquare, sem

from thaw.acting.actor import Actor
from thaw.acting.evaluation import evaluate
from thaw.config.flavor import Flavor
from thaw.envs.atari.vector_env import AtariVectorEnv, make_atari
from thaw.policy.policy import UniformPolicy
from thaw.policy.trajectory import EpisodeStats

# EnvPool's gray levels are the exact area averages, rounded; halves may go either way. So two
# right pictures differ by one level at most, and only at halves.
ROUNDING = 0.5 + 1e-6


@contextmanager
def atari(game: str, variant: str, num_envs: int = 1, **options: Any) -> Iterator[AtariVectorEnv]:
    env = make_atari(Flavor(f"atari/{game}@{variant}"), num_envs, {"num_threads": 1, **options})
    try:
        yield env
    finally:
        env.close()


def compare(
    game: str, mode: int, difficulty: int, *, at_least_steps: int, games: int = 1,
    num_envs: int = 1, seed: int = 0, start: tuple[int, ...] = (0,), **options: Any,
) -> tuple[float, float]:  # fmt: skip
    """Play random actions in both until the first environment has finished some games.

    In Freeway UP is favored, as aimless chickens never cross the road.

    Returns:
        The farthest that a pixel is from the exact average, and all points together.
    """
    names = {"frame_skip": "frame_skip", "image_size": "size", "grayscale": "grayscale",
             "stack": "stack", "full_action_space": "full_action_space"}  # fmt: skip
    same = {names[key]: value for key, value in options.items() if key in names}
    references = [AleGame(game, mode, difficulty, start=start, **same) for _ in range(num_envs)]
    rng = np.random.default_rng(seed)
    games_over, num_steps, farthest, points = np.zeros(num_envs, int), 0, 0.0, 0.0
    was_over = np.zeros(num_envs, bool)
    with atari(game, f"m{mode}d{difficulty}", num_envs, sticky=0, **options) as env:
        observations, _ = env.reset(seed=seed)
        expected = [reference.reset() for reference in references]
        while True:
            farthest = max(farthest, float(np.abs(observations - np.stack(expected)).max()))
            if num_steps >= at_least_steps and games_over[0] >= games:
                return farthest, points
            assert num_steps < 20_000, "no game came to an end"
            actions = rng.integers(len(references[0].actions), size=num_envs)
            if game == "freeway":
                actions[rng.random(num_envs) < 0.95] = 2
            observations, rewards, terminated, truncated, infos = env.step(actions)
            num_steps, points = num_steps + 1, points + float(rewards.sum())
            for i, reference in enumerate(references):
                reward, is_over = 0.0, False
                if was_over[i]:  # the row of the reset is no step of the game
                    expected[i] = reference.reset()
                else:
                    expected[i], reward, is_over = reference.step(int(actions[i]))
                assert rewards[i] == reward
                assert terminated[i] == is_over
                assert not truncated[i]
                assert infos["lives"][i] == reference.ale.lives()
                np.testing.assert_array_equal(infos["ram"][i], reference.ale.getRAM())
                was_over[i] = is_over
            games_over += was_over


@pytest.mark.slow
@pytest.mark.parametrize(("game", "mode", "difficulty"), THE_13_FLAVORS)
def test_every_flavor_is_ales(game: str, mode: int, difficulty: int) -> None:
    # With seed 12 even aimless heroes find points.
    farthest, points = compare(game, mode, difficulty, at_least_steps=600, seed=12)
    assert farthest <= ROUNDING
    assert points > 0


@pytest.mark.parametrize(
    ("game", "mode", "difficulty", "num_envs"),
    [("breakout", 12, 0, 2), ("space_invaders", 1, 1, 1)],
)
def test_a_sample_of_flavors_is_ales(game: str, mode: int, difficulty: int, num_envs: int) -> None:
    farthest, points = compare(game, mode, difficulty, at_least_steps=300, num_envs=num_envs)
    assert farthest <= ROUNDING
    assert points > 0


@pytest.mark.parametrize(
    ("options", "start"),
    [
        pytest.param({"frame_skip": 1}, (0,), id="every frame"),
        pytest.param({"frame_skip": 3}, (0,), id="three frames"),
        pytest.param({"fire_reset": True}, (1,), id="FIRE"),
        pytest.param({"grayscale": False, "stack": 2}, (0,), id="colors"),
        pytest.param({"image_size": 100}, (0,), id="other size"),
        pytest.param({"full_action_space": False}, (0,), id="minimal actions"),
    ],
)
def test_the_options_are_what_they_say(options: dict[str, Any], start: tuple[int, ...]) -> None:
    farthest, _ = compare("breakout", 0, 0, at_least_steps=60, games=0, start=start, **options)
    assert farthest <= ROUNDING


def test_a_taller_screen_loses_its_lower_rows() -> None:
    assert AleGame("adventure", 0, 0).ale.getScreenDims() == (250, 160)
    farthest, _ = compare("adventure", 0, 0, at_least_steps=30, games=0)
    assert farthest <= ROUNDING


def delays(num_steps: int, **options: Any) -> list[int]:
    """After how many frames of its step each action took over; 4 where it never did.

    Found by playing all that the console could have done. In Freeway UP and DOWN move the
    chicken in each frame, so that its RAM tells them apart, but for collisions.
    """
    found = []
    with atari("freeway", "default", **options) as env:
        env.reset(seed=0)
        up, down = (env.metadata["action_meanings"].index(name) for name in ("UP", "DOWN"))
        game = AleGame("freeway", 0, 0)
        game.reset()
        last = 0  # the action of the last frame
        for t in range(num_steps):
            action = up if t % 2 else down
            ram = env.step(np.array([action]))[-1]["ram"][0]
            before, explanations = game.ale.cloneState(), []
            for delay in range(5):
                game.ale.restoreState(before)
                for played in [last] * delay + [action] * (4 - delay):
                    game.ale.act(played)
                if np.array_equal(game.ale.getRAM(), ram):
                    explanations.append((delay, game.ale.cloneState()))
            assert explanations, "nothing explains what the console did"
            if len(explanations) == 1:
                found.append(explanations[0][0])
            game.ale.restoreState(explanations[0][1])
            last = last if explanations[0][0] == 4 else action
    return found


def test_actions_stick_in_each_frame_with_the_stated_chance() -> None:
    found = delays(700)
    assert len(found) > 600
    chances = [0.75 * 0.25**frames for frames in range(4)] + [0.25**4]
    counts = np.bincount(found, minlength=5)
    assert chisquare(counts, np.array(chances) * len(found)).pvalue > 0.01


def test_without_stickiness_no_action_waits() -> None:
    assert set(delays(200, sticky=0)) == {0}


def random_play(
    game: str, mode: int, difficulty: int, num_episodes: int
) -> list[tuple[float, int]]:
    """Return and length of each episode that ALE plays with sticky, uniformly random actions."""
    ale, rng = AleGame(game, mode, difficulty, sticky=0.25, seed=1), np.random.default_rng(1)
    episodes = []
    for _ in range(num_episodes):
        ale.ale.reset_game()
        episode_return, length_steps, is_over = 0.0, 0, False
        while not is_over:
            reward, is_over = ale.play(int(rng.integers(18)))
            episode_return, length_steps = episode_return + reward, length_steps + 1
        episodes.append((episode_return, length_steps))
    return episodes


def standard_errors_apart(ours: list[float], theirs: list[float]) -> float:
    error = np.hypot(sem(ours), sem(theirs))
    return float(abs(np.mean(ours) - np.mean(theirs)) / error)


@pytest.mark.parametrize(
    ("game", "mode", "difficulty", "num_episodes"),
    [
        pytest.param("breakout", 0, 0, 8),
        pytest.param("breakout", 12, 0, 40, marks=pytest.mark.slow),
        pytest.param("space_invaders", 1, 1, 40, marks=pytest.mark.slow),
    ],
)
def test_random_play_scores_and_lasts_as_in_ale(
    game: str, mode: int, difficulty: int, num_episodes: int
) -> None:
    theirs = random_play(game, mode, difficulty, num_episodes)
    with atari(game, f"m{mode}d{difficulty}", 8) as env:
        ours: list[EpisodeStats] = evaluate(Actor(env, UniformPolicy(18), seed=0), num_episodes)
    returns = [episode.episode_return for episode in ours], [score for score, _ in theirs]
    lengths = [float(episode.length_steps) for episode in ours], [float(n) for _, n in theirs]
    assert max(returns[0]) > 1  # more than one point, so nothing was clipped to one a game
    assert standard_errors_apart(*returns) < 3
    assert standard_errors_apart(*lengths) < 3
