"""An environment that tells when it is made, and can send its process a signal."""

from __future__ import annotations

import signal
from typing import Any

import gymnasium
import numpy as np

MADE: list[str] = []
"""The label of every environment made in this process, in order."""

SIGNALS: dict[int, signal.Signals] = {}
"""After how many steps in this process, which signal."""

_steps = [0]


class BootedEnv(gymnasium.Env[Any, Any]):
    """Noise for ten steps; the reward is the action.

    Args:
        label: What it is called in MADE.
        buttons: The names of the actions, joined by _; empty if they have no names.
        num_actions: How many actions there are.
    """

    def __init__(self, label: str = "", buttons: str = "left_right", num_actions: int = 2) -> None:
        MADE.append(label)
        self.observation_space = gymnasium.spaces.Box(-1, 1, (5,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(num_actions)
        if buttons:
            self.get_action_meanings = lambda: buttons.split("_")
        self.steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        _steps[0] += 1
        if _steps[0] in SIGNALS:
            signal.raise_signal(SIGNALS[_steps[0]])
        self.steps += 1
        return self._observation(), float(action), self.steps == 10, False, {}

    def _observation(self) -> Any:
        return self.np_random.uniform(-1, 1, 5).astype(np.float32)


def send_after(num_steps: int, signum: signal.Signals) -> None:
    """Send a signal at the n-th step from now."""
    SIGNALS[_steps[0] + num_steps] = signum


gymnasium.register("Booted-v0", entry_point="booted_env:BootedEnv")
