"""Evaluate a policy: play a fixed number of episodes in a flavor and summarize them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from thaw.acting.actor import Actor
from thaw.config.flavor import Flavor
from thaw.config.run_spec import RunSpec
from thaw.envs.families import make_env
from thaw.envs.spaces import Spaces
from thaw.policy.policy import Acting, Policy, UniformPolicy
from thaw.policy.trajectory import EpisodeStats


def evaluate(
    actor: Actor,
    num_episodes: int,
    on_episode: Callable[[EpisodeStats], None] | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[EpisodeStats]:
    """Play a fixed number of episodes in each environment.

    The first ``num_episodes`` to finish anywhere would be too short on average. A quota for each
    environment, fixed before the first step, avoids this bias.

    Args:
        actor: A new actor; the episodes are divided among its environments as evenly as possible.
        num_episodes: Episodes of all environments together.
        on_episode: Called with each episode that counts.
        check: Called after every step; may raise to end the evaluation.

    Returns:
        The episodes, sorted by environment and then by time.
    """
    batch = actor.env.num_envs
    quota = np.full(batch, num_episodes // batch)
    quota[: num_episodes % batch] += 1
    episodes: list[EpisodeStats] = []
    while quota.any():
        for episode in actor.step().finished:
            if quota[episode.environment] > 0:
                quota[episode.environment] -= 1
                episodes.append(episode)
                if on_episode is not None:
                    on_episode(episode)
        check()
    return sorted(episodes, key=lambda episode: episode.environment)


@contextmanager
def playing(
    policy: Acting | None,
    flavor: Flavor,
    *,
    num_envs: int,
    seed: int,
    greedy: bool = False,
    device: str = "cpu",
    options: Mapping[str, Any] | None = None,
) -> Iterator[Actor]:
    """Put a policy, or the uniform random policy for None, into new environments of a flavor.

    The episodes depend on seed and flavor alone. The environments are closed at the end.
    """
    env = make_env(flavor, num_envs, drawn_on=device, **(options or {}))
    try:
        if policy is None:
            policy = UniformPolicy(Spaces.of(env, flavor).num_actions)
        elif isinstance(policy, Policy):
            policy.eval()
        stream = RunSpec(
            condition="evaluation", flavor=flavor, update_rule=None, seed=seed, steps=0
        )
        yield Actor(
            env, policy, seed=stream.derived_seed("evaluation"), device=device, greedy=greedy
        )
    finally:
        env.close()


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
    check: Callable[[], None] = lambda: None,
) -> list[EpisodeStats]:
    """Play episodes of a flavor, divided evenly among environments.

    Args:
        policy: Chooses the actions; None is the uniform random policy.
        flavor: The environments' flavor.
        num_episodes: Episodes of all environments together.
        seed: Episodes and sampling depend on it and on the flavor; training never uses this seed.
        num_envs: The largest number of environments; there are at most ``num_episodes``.
        greedy: Take the most probable action.
        device: Device of the policy.
        options: The family's options.
        watch: Called with each episode that counts.
        check: Called after every step; may raise to end the evaluation.

    Returns:
        The episodes.
    """
    with playing(
        policy,
        flavor,
        num_envs=min(num_envs, num_episodes),
        seed=seed,
        greedy=greedy,
        device=device,
        options=options,
    ) as actor:
        return evaluate(actor, num_episodes, watch, check)


def summary(returns: list[float]) -> dict[str, Any]:
    """Return mean, standard error of the mean (None for fewer than two returns) and count."""
    count = len(returns)
    sem = float(np.std(returns, ddof=1) / np.sqrt(count)) if count > 1 else None
    return {
        "mean_return": float(np.mean(returns)) if count else None,
        "sem": sem,
        "num_episodes": count,
    }
