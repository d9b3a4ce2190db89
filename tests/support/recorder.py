"""A tiny agent whose learner records the unrolls that it learned from."""

from __future__ import annotations

from typing import Any

import torch
from counting_env import EMBEDDING, NUM_ACTIONS

from thaw.config.agent import AgentConfig
from thaw.impala.learner import Learner
from thaw.policy.policy import Policy
from thaw.policy.trajectory import EmbeddingGraph, Trajectory
from thaw.training.clocks import acting_copy

STEPS = 5
Tensors = dict[str, torch.Tensor]


def make_config(**changes: Any) -> AgentConfig:
    # A learning rate at which one update shows in every logit.
    settings: dict[str, Any] = {
        "embedding": EMBEDDING, "embedding_size": 8, "lstm_size": 6, "fc_size": 8,
        "unroll_length": STEPS, "learning_rate": 0.02, "learning_rate_schedule": "constant",
        "reward_clip": 1.0,
    }  # fmt: skip
    return AgentConfig(**(settings | changes))


def make_policy(config: AgentConfig) -> Policy:
    torch.manual_seed(0)
    return Policy((4,), NUM_ACTIONS, config)


def logits_of(policy: Policy, trajectory: Trajectory) -> torch.Tensor:
    """The logits of this policy for every step of an unroll."""
    with torch.no_grad():
        embeddings = trajectory.embeddings
        if embeddings is None:
            assert trajectory.observations is not None
            embeddings = policy.embed(trajectory.observations)
        return policy.unroll(
            embeddings, trajectory.first, trajectory.last_actions,
            trajectory.last_rewards, trajectory.state,
        ).logits[:-1]  # fmt: skip


def agrees(policy: Policy, trajectory: Trajectory) -> bool:
    return torch.allclose(
        logits_of(policy, trajectory), trajectory.behavior_logits, rtol=1e-5, atol=1e-5
    )


class Recorder(Learner):
    """A learner that records each unroll and its policy before each update."""

    def __init__(self, policy: Policy, config: AgentConfig) -> None:
        super().__init__(policy, config, 1_000_000)
        self.policies: list[Policy] = []
        self.trajectories: list[Trajectory] = []
        self.steps: list[int] = []

    def update(
        self, trajectory: Trajectory, steps: int, graph: EmbeddingGraph | None = None
    ) -> Tensors:
        self.policies.append(acting_copy(self.policy))
        tensors: dict[str, Any] = {n: t.clone() for n, t in trajectory.tensors().items()}
        self.trajectories.append(
            Trajectory(**({"observations": None, "embeddings": None} | tensors))
        )
        self.steps.append(steps)
        return super().update(trajectory, steps, graph)
