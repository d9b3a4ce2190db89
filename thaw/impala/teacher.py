"""The teacher: the source policy, from which the policy that learns must not go far."""

from __future__ import annotations

import torch

from thaw.config.update_rule import TeacherRule
from thaw.policy.policy import Policy
from thaw.policy.trajectory import Trajectory


class Teacher:
    """Kickstarting: the divergence from a teacher's action probabilities is part of the loss.

    ``weight * KL(teacher || student)``, summed over the steps of the batch as IMPALA's losses are
    (Schmitt et al. 2018, arXiv 1803.03835, section 3). The teacher sees what the student saw, and
    its LSTM's state goes on from batch to batch. So each column of a batch must go on where the
    same column of the batch before it ended, as with the clocks lockstep and overlapped.

    Args:
        policy: The source policy, in evaluation mode and without gradient, on the device.
        rule: The weight and how it falls.
        num_envs: Columns of a batch.
    """

    def __init__(self, policy: Policy, rule: TeacherRule, num_envs: int) -> None:
        self.policy = policy
        self.rule = rule
        self.state = policy.initial_state(num_envs)
        # A CUDA graph can only see a change in the memory of the device.
        self.weight = torch.tensor(rule.weight, device=self.state.device)

    def begin(self, steps: int) -> None:
        """Set the weight for a batch that begins after ``steps`` decisions."""
        self.weight.fill_(self.rule.weight_at(steps))

    def loss(self, trajectory: Trajectory, logits: torch.Tensor) -> torch.Tensor:
        """Return the weighted divergence, a scalar; the teacher goes on by one unroll.

        Args:
            trajectory: With observations.
            logits: [T, B, A] of the student, with gradient.
        """
        assert trajectory.observations is not None
        with torch.no_grad():
            output = self.policy.unroll(
                self.policy.embed(trajectory.observations[:-1]),
                trajectory.first[:-1],
                trajectory.last_actions[:-1],
                trajectory.last_rewards[:-1],
                self.state,
            )
            self.state.copy_(output.state)
            theirs = output.logits.log_softmax(-1)
        divergence = (theirs.exp() * (theirs - logits.log_softmax(-1))).sum(-1)
        return self.weight * (divergence * trajectory.valid).sum()
