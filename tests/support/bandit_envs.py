"""``gym/bandit_envs:Bandit-v0``: one decision an episode, so that it is learned in seconds."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Observation = NDArray[np.float32]


class Bandit(gymnasium.Env[Observation, int]):
    """The reward is 1 for one of the four actions, else 0; a broken one raises in every step."""

    def __init__(self, goal: int = 0, broken: bool = False) -> None:
        self.goal, self.broken = goal, broken
        self.observation_space = spaces.Box(-1, 1, (2,), np.float32)
        self.action_space: spaces.Space[Any] = spaces.Discrete(4)

    def _see(self) -> Observation:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        return self._see(), {}

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        if self.broken:
            raise RuntimeError("the lever is broken")
        return self._see(), float(action == self.goal), True, False, {}


gymnasium.register("Bandit-v0", entry_point="bandit_envs:Bandit")
