"""Environments for actors in other processes: ``gym/remote_envs:NAME-v0``.

Files tell them, in every process, when to hang or to fail.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from counting_env import CountingEnv
from numpy.typing import NDArray

NUM_CONTEXTS = 4

Context = NDArray[np.float32]


class NumberedEnv(CountingEnv):
    """Counts, in episodes of 3, 1 and 4 steps."""

    def __init__(self, number: int = 0) -> None:
        super().__init__(number, (3, 1, 4))


class ContextEnv(gymnasium.Env[Context, np.int64]):
    """Shows one of four contexts; naming it is rewarded, ten times an episode: 2.5 by chance.

    Args:
        only_process: Id of the only process that can make it; 0 for any.
        hang: A file. The first process that steps while it exists deletes it and hangs.
        fail: A file. Every step fails while it exists.
    """

    def __init__(self, only_process: int = 0, hang: str = "", fail: str = "") -> None:
        if only_process not in (0, os.getpid()):
            raise ValueError("this machine has no camera")
        self.observation_space = gymnasium.spaces.Box(0, 1, (NUM_CONTEXTS,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(NUM_CONTEXTS)
        self.hang, self.fail = Path(hang), Path(fail)
        self.steps, self.context = 0, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Context, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._observation(), {}

    def step(self, action: np.int64) -> tuple[Context, float, bool, bool, dict[str, Any]]:
        if self.hang.is_file():
            self.hang.unlink()
            time.sleep(10_000)
        if self.fail.is_file():
            raise RuntimeError("the camera\nis broken")
        self.steps += 1
        reward = float(action == self.context)
        return self._observation(), reward, self.steps == 10, False, {}

    def _observation(self) -> Context:
        self.context = int(self.np_random.integers(NUM_CONTEXTS))
        shown = np.zeros(NUM_CONTEXTS, np.float32)
        shown[self.context] = 1
        return shown


gymnasium.register("Numbered-v0", entry_point="remote_envs:NumberedEnv")
gymnasium.register("Context-v0", entry_point="remote_envs:ContextEnv")
