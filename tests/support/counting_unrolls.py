"""Unrolls of the counting environments."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from counting_env import EMBEDDING, NUM_ACTIONS
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from thaw.acting.actor import Actor
from thaw.acting.unroll import collect, empty_trajectory
from thaw.config.agent import AgentConfig
from thaw.policy.policy import Policy
from thaw.policy.trajectory import EpisodeStats, Trajectory

MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]

LENGTHS = ((3, 1, 4), (2, 5))

GAMMA = 0.9


def counting_config(**changes: Any) -> AgentConfig:
    sizes: dict[str, Any] = {
        "embedding": EMBEDDING, "embedding_size": 8, "lstm_size": 6, "fc_size": 8,
        "unroll_length": 4, "discount": GAMMA,
    }  # fmt: skip
    return AgentConfig(**(sizes | changes))


def counting_policy(config: AgentConfig) -> Policy:
    """A policy with strong opinions, so that a wrong input shows in its logits."""
    torch.manual_seed(0)
    policy = Policy((4,), NUM_ACTIONS, config).eval()
    with torch.no_grad():
        for parameter in policy.head.parameters():
            parameter.mul_(2)
    return policy


def copied(trajectory: Trajectory) -> Trajectory:
    tensors: dict[str, Any] = {n: t.clone() for n, t in trajectory.tensors().items()}
    return Trajectory(**({"embeddings": None, "observations": None} | tensors))


def collect_unrolls(
    actor: Actor, config: AgentConfig, num_unrolls: int
) -> tuple[list[Trajectory], list[EpisodeStats]]:
    unroll = empty_trajectory(actor, config, store_embeddings=False)
    trajectories, episodes = [], []
    for _ in range(num_unrolls):
        episodes += collect(actor, unroll, config.discount)
        trajectories.append(copied(unroll))
    return trajectories, episodes


class Seen(NamedTuple):
    """The observations of an unroll taken apart, [T+1, B] each."""

    environment: NDArray[Any]
    episode: NDArray[Any]
    steps: NDArray[Any]
    transitions: NDArray[Any]


def seen_in(trajectory: Trajectory) -> Seen:
    assert trajectory.observations is not None
    return Seen(*trajectory.observations.numpy().transpose(2, 0, 1))


def lengths_of(seen: Seen) -> NDArray[Any]:
    """Length of the episode that each observation belongs to, [T+1, B]."""
    pick = np.vectorize(
        lambda number, episode: LENGTHS[int(number)][int(episode) % len(LENGTHS[int(number)])]
    )
    lengths: NDArray[Any] = pick(seen.environment, seen.episode)
    return lengths
