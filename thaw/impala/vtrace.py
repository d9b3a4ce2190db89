"""V-trace targets (IMPALA, section 4.1).

T steps, B environments, as in :mod:`thaw.policy.trajectory`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from thaw.policy.trajectory import check_shapes


class VTrace(NamedTuple):
    """Targets without gradient."""

    vs: torch.Tensor
    """[T, B] v_s, the value targets (equation 1)."""
    pg_advantages: torch.Tensor
    """[T, B] weights of grad log pi: rho^pg_s (r_s + discount_s v_{s+1} - V(x_s)) (sec. 4.2)."""


@torch.no_grad()
def vtrace(
    log_rhos: torch.Tensor,
    discounts: torch.Tensor,
    rewards: torch.Tensor,
    values: torch.Tensor,
    bootstrap_value: torch.Tensor,
    *,
    rho_bar: float | None = 1.0,
    c_bar: float | None = 1.0,
    pg_rho_bar: float | None = 1.0,
    lambda_: float = 1.0,
) -> VTrace:
    """Compute V-trace targets and policy-gradient advantages by the recursion of remark 1.

    Args:
        log_rhos: [T, B] log(pi(a_t|x_t) / mu(a_t|x_t)), target over behavior policy.
        discounts: [T, B] discount, 0 where the step ended the episode.
        rewards: [T, B] r_t, the reward after the action at t.
        values: [T, B] V(x_t) under the target policy.
        bootstrap_value: [B] V(x_T).
        rho_bar: Clip of the importance weights (fixed point); None = no clip.
        c_bar: Clip of the trace coefficients (speed); None = no clip.
        pg_rho_bar: Clip of the weights in the policy gradient; None = no clip.
        lambda_: Multiplies the trace coefficients (remark 2).

    Returns:
        Targets and advantages, both [T, B], without gradient.

    Raises:
        ValueError: A shape does not fit.
    """
    check_shapes(
        {},
        log_rhos=(log_rhos, "T B"),
        discounts=(discounts, "T B"),
        rewards=(rewards, "T B"),
        values=(values, "T B"),
        bootstrap_value=(bootstrap_value, "B"),
    )
    ratios = log_rhos.exp()
    rhos = ratios if rho_bar is None else ratios.clamp(max=rho_bar)
    cs = lambda_ * (ratios if c_bar is None else ratios.clamp(max=c_bar))
    pg_rhos = ratios if pg_rho_bar is None else ratios.clamp(max=pg_rho_bar)

    next_values = torch.cat((values[1:], bootstrap_value.unsqueeze(0)))
    deltas = rhos * (rewards + discounts * next_values - values)
    discounted_cs = discounts * cs
    excess = torch.zeros_like(bootstrap_value)  # v_{s+1} - V(x_{s+1}); 0 at the bootstrap
    excesses = []
    for delta_t, discounted_c_t in zip(deltas.flip(0), discounted_cs.flip(0), strict=True):
        excess = delta_t + discounted_c_t * excess
        excesses.append(excess)
    vs = values + torch.stack(excesses[::-1])

    next_vs = torch.cat((vs[1:], bootstrap_value.unsqueeze(0)))
    return VTrace(vs, pg_rhos * (rewards + discounts * next_vs - values))
