"""Score a policy: play a fixed number of episodes in a flavor, and sum them up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from thaw.config import RunSpec
from thaw.envs import make_env
from thaw.policy import Acting, Policy, UniformPolicy
from thaw.rollout import Actor, evaluate
from thaw.types import EpisodeStats
from thaw.words import Flavor


def evaluate_policy(
    policy: Acting | None,
    flavor: Flavor,
    *,
    num_episodes: int,
    seed: int,
    num_envs: int,
    greedy: bool = False,
    device: str = "cpu",
    options: Mapping[str, Any] | None = None,
    watch: Callable[[EpisodeStats], None] | None = None,
) -> list[EpisodeStats]:
    """Play episodes of a flavor, evenly spread over environments.

    Args:
        policy: What acts; None is the uniform random policy.
        flavor: Where.
        num_episodes: In all.
        seed: Decides episodes and sampling, together with the flavor; never shared with training.
        num_envs: At most; not more than ``num_episodes``.
        greedy: Take the most probable action.
        device: Where the policy computes.
        options: The family's options.
        watch: Called with each episode that counts.

    Returns:
        The episodes.
    """
    env = make_env(flavor, min(num_envs, num_episodes), **(options or {}))
    try:
        if policy is None:
            policy = UniformPolicy(int(getattr(env.single_action_space, "n", 0)))
        elif isinstance(policy, Policy):
            policy.eval()
        stream = RunSpec(
            condition="evaluation", flavor=flavor, update_rule=None, seed=seed, steps=0
        )
        actor = Actor(
            env, policy, seed=stream.derived_seed("evaluation"), device=device, greedy=greedy
        )
        return evaluate(actor, num_episodes, watch)
    finally:
        env.close()


def summary(returns: list[float]) -> dict[str, Any]:
    """Return mean, standard error of the mean (None below two) and count."""
    count = len(returns)
    sem = float(np.std(returns, ddof=1) / np.sqrt(count)) if count > 1 else None
    return {
        "mean_return": float(np.mean(returns)) if count else None,
        "sem": sem,
        "num_episodes": count,
    }
