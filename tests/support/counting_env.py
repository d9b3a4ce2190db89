"""Environments that count their steps, so that tests can prove the alignment of an unroll.

An observation is [environment, episode, step in the episode, transitions so far in all episodes];
a reward is the number of transitions so far, plus a sixteenth of the action that led there. So a
reward names the observation that it leads to, and the action that earned it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        lengths: Lengths of the episodes, in order, then from the start.
        truncated: Whether the n-th episode of that list ends by truncation.
        continues: Whether the episode after the n-th continues its score.
        on_step: Called at the beginning of every step.
    """

    def __init__(
        self,
        number: int = 0,
        lengths: Sequence[int] = (3,),
        truncated: Sequence[bool] = (False,),
        on_step: Callable[[], None] = lambda: None,
        continues: Sequence[bool] = (False,),
    ) -> None:
        self.observation_space = gymnasium.spaces.Box(0, np.inf, (OBSERVATION_SIZE,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(NUM_ACTIONS)
        self.number = number
        self.lengths, self.truncated = tuple(lengths), tuple(truncated)
        self.on_step = on_step
        self.continues = tuple(continues)
        self.episode, self.steps, self.count = -1, 0, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Counts, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode, self.steps = self.episode + 1, 0
        return self._observation(), {}

    def step(self, action: np.int64) -> tuple[Counts, float, bool, bool, dict[str, Any]]:
        self.on_step()
        self.steps, self.count = self.steps + 1, self.count + 1
        done = self.steps == self.lengths[self.episode % len(self.lengths)]
        truncated = done and self.truncated[self.episode % len(self.truncated)]
        reward = self.count + int(action) / 16
        continues = done and self.continues[self.episode % len(self.continues)]
        info = {"score_continues": True} if continues else {}
        return self._observation(), reward, done and not truncated, truncated, info

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
    on_step: Callable[[], None] = lambda: None,
    continues: Sequence[bool] = (False,),
) -> CountingVectorEnv:
    """Make a vector of counting environments; environment i has ``lengths[i % len(lengths)]``."""

    def maker(i: int) -> Any:
        return lambda: CountingEnv(i, lengths[i % len(lengths)], truncated, on_step, continues)

    return CountingVectorEnv([maker(i) for i in range(num_envs)], autoreset_mode=mode)


class LuckEnv(gymnasium.Env[Counts, np.int64]):
    """Half of the episodes are short and bad, the other half long and good: the mean is 0."""

    SHORT, LONG = 1, 12

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(0, np.inf, (OBSERVATION_SIZE,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(NUM_ACTIONS)
        self.steps, self.is_good = 0, False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Counts, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps, self.is_good = 0, bool(self.np_random.random() < 0.5)
        return np.zeros(OBSERVATION_SIZE, np.float32), {}

    def step(self, action: np.int64) -> tuple[Counts, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        done = self.steps == (self.LONG if self.is_good else self.SHORT)
        reward = (1.0 if self.is_good else -1.0) if done else 0.0
        return np.zeros(OBSERVATION_SIZE, np.float32), reward, done, False, {}


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


def make_luck_env(num_envs: int) -> SyncVectorEnv:
    """A vector of LuckEnv that resets in the same step."""
    return SyncVectorEnv([LuckEnv] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
