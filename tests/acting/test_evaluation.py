"""An evaluation gives each environment its share of the episodes."""

from __future__ import annotations

import numpy as np
import pytest
from counting_env import NUM_ACTIONS, make_counting_env, make_luck_env
from counting_unrolls import (
    MODES,
)
from gymnasium.vector import AutoresetMode

from thaw.acting.actor import Actor
from thaw.acting.evaluation import evaluate
from thaw.policy.policy import UniformPolicy
from thaw.policy.trajectory import EpisodeStats


def test_evaluation_does_not_prefer_short_episodes() -> None:
    num_envs, num_episodes = 200, 200
    episodes = evaluate(
        Actor(make_luck_env(num_envs), UniformPolicy(NUM_ACTIONS), seed=1), num_episodes
    )
    returns = np.array([episode.episode_return for episode in episodes])
    # The true mean is 0 and its standard error 0.07.
    assert abs(returns.mean()) < 0.3
    # The first episodes that finish anywhere would say something else.
    actor = Actor(make_luck_env(num_envs), UniformPolicy(NUM_ACTIONS), seed=1)
    first_to_finish: list[float] = []
    while len(first_to_finish) < num_episodes:
        first_to_finish += [episode.episode_return for episode in actor.step().finished]
    assert np.mean(first_to_finish[:num_episodes]) < -0.7


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("num_envs", "num_episodes", "quotas"),
    [(3, 7, [3, 2, 2]), (2, 6, [3, 3]), (4, 4, [1, 1, 1, 1]), (1, 5, [5])],
)
def test_every_environment_plays_its_share_from_its_first_episode_on(
    mode: AutoresetMode, num_envs: int, num_episodes: int, quotas: list[int]
) -> None:
    lengths = [(1, 2), (5, 1, 9), (3,), (4, 8)]
    env = make_counting_env(num_envs, mode, lengths=lengths)
    heard: list[EpisodeStats] = []
    actor = Actor(env, UniformPolicy(NUM_ACTIONS), seed=0)
    episodes = evaluate(actor, num_episodes, heard.append)
    expected = [
        (number, lengths[number][i % len(lengths[number])])
        for number, quota in enumerate(quotas)
        for i in range(quota)
    ]
    assert [(e.environment, e.length_steps) for e in episodes] == expected
    assert sorted(heard) == sorted(episodes)
