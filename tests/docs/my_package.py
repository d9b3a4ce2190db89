"""The package of docs/environments.md: ``MyEnv-v0`` with a parameter ``wind``."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray


class MyEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """Stay near the middle of a line; chance pushes, and wind pushes to the right."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space = gymnasium.spaces.Box(-20.0, 20.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

    def __init__(self, wind: float = 0.0, render_mode: str | None = None) -> None:
        self.wind = wind
        self.render_mode = render_mode
        self.place = 0.0
        self.steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.place = float(self.np_random.uniform(-1.0, 1.0))
        self.steps = 0
        return self.observe(), {}

    def step(
        self, action: np.int64
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        push = float(self.np_random.normal(0.1 * self.wind, 0.3))
        self.place = float(np.clip(self.place + int(action) - 1 + push, -20.0, 20.0))
        self.steps += 1
        return self.observe(), -abs(self.place), self.steps == 20, False, {}

    def render(self) -> NDArray[np.uint8]:
        picture = np.zeros((32, 64, 3), np.uint8)
        column = int(np.clip(32 + self.place, 0, 63))
        picture[:, column] = 255
        return picture

    def observe(self) -> NDArray[np.float32]:
        return np.array([self.place, self.steps], np.float32)


gymnasium.register("MyEnv-v0", entry_point="my_package:MyEnv")
