"""Trajectories out of thin air, for losses and learner."""

from __future__ import annotations

import torch

from thaw.policy.trajectory import Trajectory


def random_trajectory(
    steps: int = 5,
    batch: int = 3,
    num_actions: int = 4,
    *,
    seed: int = 0,
    image_shape: tuple[int, ...] = (36, 36, 3),
    lstm_size: int = 8,
    dtype: torch.dtype = torch.float32,
) -> Trajectory:
    """Images, rewards of all sizes, a few ends of episodes; every entry is a step."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=draw, dtype=dtype)

    ended = torch.rand(steps, batch, generator=draw) < 0.2
    first = torch.cat((torch.zeros(1, batch, dtype=torch.bool), ended))
    actions = torch.randint(num_actions, (steps + 1, batch), generator=draw)
    rewards = 2 * normal(steps + 1, batch)
    return Trajectory(
        observations=torch.randint(
            256, (steps + 1, batch, *image_shape), generator=draw, dtype=torch.uint8
        ),
        embeddings=None,
        first=first,
        last_actions=actions,
        last_rewards=rewards,
        actions=actions[1:],
        rewards=rewards[1:],
        discounts=0.9 * (~ended).to(dtype),
        bootstraps=torch.zeros(steps, batch, dtype=dtype),
        behavior_logits=normal(steps, batch, num_actions),
        valid=torch.ones(steps, batch, dtype=torch.bool),
        state=0.1 * normal(2, batch, lstm_size),
    )
