"""Seeded random play of EnvPool's flavors, and their built-in suites with short budgets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thaw.config.suite import Suite
from thaw.envs.families import make_env
from thaw.experiment.suites import load_suite


def play(address: str, steps: int, seed: int = 1, **options: Any) -> list[NDArray[Any]]:
    """Return the observations of some seeded random steps."""
    env = make_env(address, 2, **options)
    observations = [env.reset(seed=seed)[0]]
    random = np.random.default_rng(0)
    for _ in range(steps):
        actions = random.integers(env.single_action_space.n, size=2)  # type: ignore[attr-defined]
        observations.append(env.step(actions)[0])
    env.close()
    return observations


def short(name: str) -> Suite:
    """Return a built-in suite with budgets so small that it takes seconds."""
    return load_suite(
        name,
        [
            "pretrain_steps=300", "transfer_steps=200", "seeds=1", "evaluation.episodes=2",
            "environment.max_episode_steps=20", "conditions=[random, freeze_embedding]",
        ],
    )  # fmt: skip
