"""Environments with every kind of space that an author may come with; registered on import."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

LENGTH = 6


class OddEnv(gymnasium.Env[Any, Any]):
    """Random observations of a space; an episode lasts some steps, and the action is its reward.

    Args:
        space: Of the observations.
        actions: Their space.
        size: One more thing that a constructor takes.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium declares it so
    wind = 1.5

    def __init__(
        self,
        space: gymnasium.Space[Any],
        actions: gymnasium.Space[Any] | None = None,
        size: int = 3,
        render_mode: str | None = None,
    ) -> None:
        self.observation_space = space
        self.action_space = actions or spaces.Discrete(3)
        self.size = size
        self.half_size = self.size / 2
        self.steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.steps += 1
        done = self.steps == LENGTH
        return self.observation_space.sample(), float(np.sum(action)), done, False, {}


SPACES: dict[str, gymnasium.Space[Any]] = {
    "First": spaces.Box(0, 255, (3, 20, 30), np.uint8),
    "Last": spaces.Box(0, 255, (20, 30, 3), np.uint8),
    "Stack": spaces.Box(0, 255, (12, 20, 20), np.uint8),
    "Gray": spaces.Box(0, 255, (20, 30), np.uint8),
    "Float": spaces.Box(-1, 1, (3, 20, 30), np.float64),
    "Vector": spaces.Box(-np.inf, np.inf, (5,), np.float64),
    "Counts": spaces.Box(-9, 9, (5,), np.int64),
    "Number": spaces.Discrete(4, start=2),
    "Dict": spaces.Dict(
        {"image": spaces.Box(0, 255, (3, 20, 30), np.uint8), "mission": spaces.Text(9)}
    ),
    "Pair": spaces.Tuple((spaces.Discrete(2), spaces.Discrete(3))),
    "Movie": spaces.Box(0, 255, (4, 20, 30, 3), np.uint8),
}
ACTIONS: dict[str, gymnasium.Space[Any]] = {
    "Torque": spaces.Box(-1, 1, (2,)),
    "FromFive": spaces.Discrete(2, start=5),
}


def register() -> None:
    """Register ``Odd<Name>-v0`` for every space."""
    for name, space in SPACES.items():
        gymnasium.register(f"Odd{name}-v0", entry_point="odd_envs:OddEnv", kwargs={"space": space})
    for name, actions in ACTIONS.items():
        kwargs = {"space": SPACES["Vector"], "actions": actions}
        gymnasium.register(f"Odd{name}-v0", entry_point="odd_envs:OddEnv", kwargs=kwargs)


register()
