"""IMPALA's three losses (section 4.2), summed over time and batch (table D.1, note)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional as F

from thaw.config.agent import AgentConfig
from thaw.impala.vtrace import vtrace
from thaw.policy.trajectory import PolicyOutput, Trajectory, check_shapes


class Losses(NamedTuple):
    """Scalars; ``total`` is minimized, the sum of the losses weighted by the config's costs."""

    total: torch.Tensor
    policy: torch.Tensor
    baseline: torch.Tensor
    entropy: torch.Tensor
    mean_rho: torch.Tensor
    """Mean unclipped importance weight over the valid steps: 1 when actor and learner agree."""


def action_log_probs(logits: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    """Return log pi(a) [T, B] of actions [T, B] under logits [T, B, A]."""
    check_shapes({}, logits=(logits, "T B A"), actions=(actions, "T B"))
    log_probs = F.log_softmax(logits, dim=-1)
    return log_probs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)


def policy_loss(
    logits: torch.Tensor, actions: torch.Tensor, advantages: torch.Tensor
) -> torch.Tensor:
    """Return -log pi(a) * advantage per step, [T, B]; the advantages get no gradient."""
    return -action_log_probs(logits, actions) * advantages.detach()


def baseline_loss(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return half the squared error per step, [T, B]; the targets get no gradient."""
    return 0.5 * (targets.detach() - values).square()


def entropy_loss(logits: torch.Tensor) -> torch.Tensor:
    """Return the negative entropy per step, [T, B] from [T, B, A]; minimizing it explores."""
    log_probs = F.log_softmax(logits, dim=-1)
    return (log_probs.exp() * log_probs).sum(-1)


def impala_losses(output: PolicyOutput, trajectory: Trajectory, config: AgentConfig) -> Losses:
    """Compute the losses of one batch of unrolls.

    Args:
        output: The learner's output for all T+1 entries.
        trajectory: What the actor saw and did.
        config: Costs, clips, reward clip.

    Returns:
        Sums over the valid steps of T x B.
    """
    logits, values = output.logits[:-1], output.values[:-1]
    rewards = trajectory.rewards * config.reward_scale
    if config.reward_clip is not None:
        rewards = rewards.clamp(-config.reward_clip, config.reward_clip)
    log_rhos = action_log_probs(logits.detach(), trajectory.actions) - action_log_probs(
        trajectory.behavior_logits, trajectory.actions
    )
    targets = vtrace(
        log_rhos,
        trajectory.discounts,
        rewards + trajectory.bootstraps,
        values.detach(),
        output.values[-1].detach(),
        rho_bar=config.rho_bar,
        c_bar=config.c_bar,
        pg_rho_bar=config.pg_rho_bar,
        lambda_=config.lambda_,
    )
    # The entry before an auto-reset has discount 0, so the auto-reset's entry cannot leak into it
    # through the recursion; masking the sums leaves out the auto-reset's entry itself.
    valid = trajectory.valid.to(values.dtype)
    policy = (policy_loss(logits, trajectory.actions, targets.pg_advantages) * valid).sum()
    baseline = (baseline_loss(values, targets.vs) * valid).sum()
    entropy = (entropy_loss(logits) * valid).sum()
    return Losses(
        total=policy + config.baseline_cost * baseline + config.entropy_cost * entropy,
        policy=policy,
        baseline=baseline,
        entropy=entropy,
        mean_rho=(log_rhos.exp() * valid).sum() / valid.sum(),
    )
