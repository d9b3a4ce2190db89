"""An environment whose reward or observation once is no number; registered on import."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

EPISODE_STEPS = 10


class NotFiniteEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """Pays 1 a step, but once something else.

    Args:
        what: ``reward`` or ``observation``.
        value: What it is then, as a word: nan, inf or -inf.
        at: In which step of this environment's life; 0 is never.
    """

    def __init__(self, what: str = "reward", value: str = "nan", at: int = 0) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)
        self.what, self.value, self.at = what, float(value), at
        self.life, self.steps = 0, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(3, np.float32), {}

    def step(
        self, action: np.int64
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self.life, self.steps = self.life + 1, self.steps + 1
        observation, reward = np.full(3, self.steps / 10, np.float32), 1.0
        if self.life == self.at and self.what == "reward":
            reward = self.value
        elif self.life == self.at:
            observation[1] = self.value
        return observation, reward, self.steps == EPISODE_STEPS, False, {}


class NanWhileLearning(nn.Module):
    """A linear layer that gives nan when it learns for the eighth time."""

    def __init__(self, embedding_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3, embedding_size)
        self.updates = 0

    def forward(self, observations: Tensor) -> Tensor:
        embedded: Tensor = self.linear(observations)
        self.updates += self.training
        return embedded * float("nan") if self.training and self.updates == 8 else embedded


def nan_while_learning(observation_shape: tuple[int, ...], embedding_size: int) -> nn.Module:
    assert observation_shape == (3,)
    return NanWhileLearning(embedding_size)


gymnasium.register("NotFinite-v0", entry_point="not_finite_envs:NotFiniteEnv")
