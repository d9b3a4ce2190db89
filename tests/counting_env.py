"""Environments that count their own steps, so that alignment can be proved and not only hoped for.

An observation is [environment, episode, step in the episode, transitions so far in all episodes];
a reward is the number of transitions so far, plus a sixteenth of the action that led there. So a
reward names the observation that it leads to, and the action that earned it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray
from torch import nn

NUM_ACTIONS = 3
OBSERVATION_SIZE = 4
EMBEDDING = "counting_env:embedding"
"""Address of the embedding that fits these observations."""

Counts = NDArray[np.float32]


class CountingEnv(gymnasium.Env[Counts, np.int64]):
    """Episodes of given lengths, again and again.

    Args:
        number: Which environment this is.
        lengths: Of the episodes, in order, then from the start.
        truncated: Whether the n-th episode of that list ends by truncation.
        sleep_seconds: How long a step takes.
    """

    def __init__(
        self,
        number: int = 0,
        lengths: Sequence[int] = (3,),
        truncated: Sequence[bool] = (False,),
        sleep_seconds: float = 0.0,
    ) -> None:
        self.observation_space = gymnasium.spaces.Box(0, np.inf, (OBSERVATION_SIZE,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(NUM_ACTIONS)
        self.number = number
        self.lengths, self.truncated = tuple(lengths), tuple(truncated)
        self.sleep_seconds = sleep_seconds
        self.episode, self.steps, self.count = -1, 0, 0
        self.times: list[float] = []
        """When each step began."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Counts, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode, self.steps = self.episode + 1, 0
        return self._observation(), {}

    def step(self, action: np.int64) -> tuple[Counts, float, bool, bool, dict[str, Any]]:
        self.times.append(time.monotonic())
        if self.sleep_seconds:
            time.sleep(self.sleep_seconds)
        self.steps, self.count = self.steps + 1, self.count + 1
        done = self.steps == self.lengths[self.episode % len(self.lengths)]
        truncated = done and self.truncated[self.episode % len(self.truncated)]
        reward = self.count + int(action) / 16
        return self._observation(), reward, done and not truncated, truncated, {}

    def _observation(self) -> Counts:
        return np.array([self.number, self.episode, self.steps, self.count], np.float32)


class CountingVectorEnv(SyncVectorEnv):
    """Counting environments whose whole state can be saved."""

    def get_state(self) -> dict[str, NDArray[Any]]:
        counters = [[env.episode, env.steps, env.count] for env in self.counting_envs]
        return {"counters": np.array(counters), "resetting": self._autoreset_envs.copy()}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        for env, counters in zip(self.counting_envs, state["counters"].tolist(), strict=True):
            env.episode, env.steps, env.count = counters
        self._autoreset_envs = state["resetting"].copy()

    @property
    def counting_envs(self) -> list[CountingEnv]:
        return [env for env in self.envs if isinstance(env, CountingEnv)]


def make_counting_env(
    num_envs: int = 2,
    mode: AutoresetMode = AutoresetMode.NEXT_STEP,
    lengths: Sequence[Sequence[int]] = ((3, 1, 4), (2, 5)),
    truncated: Sequence[bool] = (False,),
    sleep_seconds: float = 0.0,
) -> CountingVectorEnv:
    """Make a vector of counting environments; environment i has ``lengths[i % len(lengths)]``."""

    def maker(i: int) -> Any:
        return lambda: CountingEnv(i, lengths[i % len(lengths)], truncated, sleep_seconds)

    return CountingVectorEnv([maker(i) for i in range(num_envs)], autoreset_mode=mode)


class CountingEmbedding(nn.Module):
    """One linear layer over the counts, scaled down so that nothing saturates."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(OBSERVATION_SIZE, size)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        embedded: torch.Tensor = self.linear(observations / 10)
        return torch.tanh(embedded)


def embedding(observation_shape: tuple[int, ...], embedding_size: int) -> nn.Module:
    assert observation_shape == (OBSERVATION_SIZE,)
    return CountingEmbedding(embedding_size)
