"""Fill a trajectory with one unroll."""

from __future__ import annotations

import gymnasium
import numpy as np
import torch

from thaw.acting.actor import Actor
from thaw.config.agent import AgentConfig
from thaw.policy.trajectory import EpisodeStats, Trajectory


def empty_trajectory(
    actor: Actor, config: AgentConfig, *, store_embeddings: bool, num_actors: int = 1
) -> Trajectory:
    """Allocate one unroll for several equal actors; each new unroll overwrites it.

    Args:
        actor: One of the actors.
        config: The agent; T is ``unroll_length``.
        store_embeddings: Store embeddings instead of observations.
        num_actors: Number of actors; B is this times the environments of one actor.

    Returns:
        Observations or embeddings on the actor's device, everything else on the CPU.
    """
    steps, batch, device = config.unroll_length, num_actors * actor.env.num_envs, actor.device
    space = actor.env.single_observation_space
    assert space.shape is not None
    assert isinstance(actor.env.single_action_space, gymnasium.spaces.Discrete)

    def empty(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, pin_memory=device.type == "cuda")

    kind = torch.from_numpy(np.zeros(1, space.dtype)).dtype
    return Trajectory(
        observations=None
        if store_embeddings
        # Images stay on the acting device; small tensors are copied there once per update.
        else torch.empty(steps + 1, batch, *space.shape, dtype=kind, device=device),
        embeddings=torch.empty(steps + 1, batch, config.embedding_size, device=device)
        if store_embeddings
        else None,
        first=empty(steps + 1, batch, dtype=torch.bool),
        last_actions=empty(steps + 1, batch, dtype=torch.int64),
        last_rewards=empty(steps + 1, batch),
        actions=empty(steps, batch, dtype=torch.int64),
        rewards=empty(steps, batch),
        discounts=empty(steps, batch),
        bootstraps=empty(steps, batch),
        behavior_logits=empty(steps, batch, int(actor.env.single_action_space.n)),
        valid=empty(steps, batch, dtype=torch.bool),
        state=empty(2, batch, actor.state.shape[-1]),
    )


def collect(actor: Actor, trajectory: Trajectory, discount: float) -> list[EpisodeStats]:
    """Fill one unroll of T steps in every environment.

    Args:
        actor: Collects; its LSTM state before entry 0 is stored too.
        trajectory: The memory to fill; its content is overwritten.
        discount: Discount of every step that does not end its episode.

    Returns:
        The episodes that finished; their returns are not clipped.
    """
    num_steps = len(trajectory.actions)
    actor.begin_unroll()
    trajectory.state.copy_(actor.state)
    finished = []
    for t in range(num_steps + 1):
        entry = actor.host_entry()
        if trajectory.embeddings is not None:
            trajectory.embeddings[t] = actor.embeddings(bootstrap=t == num_steps)[0]
        if trajectory.observations is not None:
            trajectory.observations[t] = actor.entry().observations[0]
        trajectory.first[t] = entry.first[0]
        trajectory.last_actions[t] = entry.last_actions[0]
        trajectory.last_rewards[t] = entry.last_rewards[0]
        if t == num_steps:
            break
        decision = actor.step()
        done = decision.terminated | decision.truncated
        trajectory.actions[t] = decision.actions
        trajectory.behavior_logits[t] = decision.logits
        trajectory.rewards[t] = torch.from_numpy(decision.rewards)
        trajectory.discounts[t] = torch.from_numpy(discount * (decision.valid & ~done))
        trajectory.bootstraps[t] = torch.from_numpy(discount * decision.bootstraps)
        trajectory.valid[t] = torch.from_numpy(decision.valid)
        finished += decision.finished
    return finished
