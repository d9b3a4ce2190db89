"""Steps, returns and lengths of episodes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from counting_env import make_counting_env
from counting_unrolls import (
    MODES,
    collect_unrolls,
    counting_config,
    counting_policy,
)
from gymnasium.vector import AutoresetMode

from thaw.acting.actor import Actor


@pytest.mark.parametrize("mode", MODES)
def test_steps_and_episodes_are_counted_by_hand(mode: AutoresetMode) -> None:
    config = counting_config()
    env = make_counting_env(num_envs=1, mode=mode, lengths=((3, 1, 4),))
    actor = Actor(env, counting_policy(config), seed=1)
    trajectories, episodes = collect_unrolls(actor, config, 5)
    valid = torch.cat([trajectory.valid[:, 0] for trajectory in trajectories])
    rewards = torch.cat([trajectory.rewards[:, 0] for trajectory in trajectories])[valid]
    assert actor.num_steps == int(valid.sum())
    # Episodes of 3, 1, 4, 3, 1, 4 ... steps end at 3, 4, 8, 11, 12, 16, ...
    ends = [end for end in (3, 4, 8, 11, 12, 16, 19, 20) if end <= actor.num_steps]
    assert [episode.step for episode in episodes] == ends
    assert [episode.length_steps for episode in episodes] == list(np.diff([0, *ends]))
    for start, end, episode in zip([0, *ends], ends, episodes, strict=False):
        assert episode.environment == 0
        # Raw: these rewards are far beyond the clip of 1.
        assert episode.episode_return == pytest.approx(rewards[start:end].sum().item())
    assert max(episode.episode_return for episode in episodes) > 20


def test_episodes_name_their_environment_and_the_run_s_steps() -> None:
    env = make_counting_env(mode=AutoresetMode.SAME_STEP, lengths=((3,), (2,)))
    config = counting_config(unroll_length=6)
    actor = Actor(env, counting_policy(config), seed=1)
    _, episodes = collect_unrolls(actor, config, 1)
    found = [(e.step, e.environment, e.length_steps) for e in episodes]
    assert found == [(4, 1, 2), (6, 0, 3), (8, 1, 2), (12, 0, 3), (12, 1, 2)]


@pytest.mark.parametrize("mode", MODES)
def test_an_episode_that_continues_ends_for_the_learner_but_not_for_the_score(
    mode: AutoresetMode,
) -> None:
    config = counting_config()
    env = make_counting_env(
        num_envs=1, mode=mode, lengths=((3, 1, 4),), continues=(True, False, False)
    )
    actor = Actor(env, counting_policy(config), seed=1)
    trajectories, episodes = collect_unrolls(actor, config, 5)
    valid = torch.cat([trajectory.valid[:, 0] for trajectory in trajectories])
    rewards = torch.cat([trajectory.rewards[:, 0] for trajectory in trajectories])[valid]
    discounts = torch.cat([trajectory.discounts[:, 0] for trajectory in trajectories])[valid]
    steps = len(rewards)
    for_the_learner = [end for end in (3, 4, 8, 11, 12, 16, 19, 20) if end <= steps]
    assert (np.flatnonzero(discounts == 0) + 1).tolist() == for_the_learner
    # Episodes of 3 + 1 and of 4 steps are scored.
    ends = [end for end in (4, 8, 12, 16, 20) if end <= steps]
    assert [(e.step, e.length_steps) for e in episodes] == [(end, 4) for end in ends]
    for end, episode in zip(ends, episodes, strict=True):
        assert episode.episode_return == pytest.approx(rewards[end - 4 : end].sum().item())
