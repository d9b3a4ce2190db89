"""Environments that misbehave, one kind each; registered on import as ``Bad-v0``.

Their first reset and first steps are fine, so that a look before the run finds nothing.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

ERROR_TEXT = (
    "the emulator [/dev/kvm] went [bold]away\nTwo lines, \x1b[31mred\x1b[0m and \x1b]0;title\x07"
)

KINDS = (
    "raise_always", "raise_once", "error_text", "exit_now", "sys_exit", "segfault", "nan_reward",
    "inf_reward", "nan_observation", "hang_in_step", "hang_in_reset", "print", "thread", "memory",
)  # fmt: skip

MISBEHAVES_AT = 25
"""The step of the run at which it begins."""

Observation = NDArray[np.float32]


class BadEnv(gymnasium.Env[Observation, np.int64]):
    """A walk on a line; episodes of ten steps.

    Args:
        kind: One of KINDS, or ``good``.
        place: Makes addresses differ.
    """

    steps_of_all = 0
    """Of all environments of this process."""

    def __init__(self, kind: str = "good", place: int = 0) -> None:
        self.observation_space = gymnasium.spaces.Box(-10, 10, (2,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)
        self._kind, self._place = kind, place
        self._x, self._steps = 0, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        self._x, self._steps = 0, 0
        if self._kind == "hang_in_reset" and BadEnv.steps_of_all >= MISBEHAVES_AT:
            time.sleep(100_000)
        return self._observation(), {}

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        BadEnv.steps_of_all += 1
        self._steps += 1
        self._x += 2 * int(action) - 1
        reward = float(self._x)
        observation = self._observation()
        if BadEnv.steps_of_all >= MISBEHAVES_AT:
            misbehave(self._kind)
            if self._kind in ("nan_reward", "inf_reward"):
                reward = float(self._kind.partition("_")[0])
            if self._kind == "nan_observation":
                observation[0] = np.nan
        return observation, reward, self._steps == 10, False, {}

    def _observation(self) -> Observation:
        return np.array([self._x, self._steps], np.float32)


def misbehave(kind: str) -> None:
    """Do what a kind does in a step, apart from its numbers."""
    match kind:
        case "raise_always":
            raise RuntimeError("the camera is broken")
        case "raise_once":
            if not Path("raised").exists():
                Path("raised").touch()
                raise RuntimeError("the camera is broken")
        case "error_text":
            raise ValueError(ERROR_TEXT)
        case "exit_now":
            os._exit(7)
        case "sys_exit":
            sys.exit(0)
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang_in_step":
            time.sleep(100_000)
        case "print":
            print("printed by the environment " * 40)
        case "thread" if threading.active_count() < 20:
            threading.Thread(target=time.sleep, args=(100_000,), daemon=False).start()
        case "memory":
            size = int(Path("/proc/self/statm").read_text().split()[0])
            limit = size * os.sysconf("SC_PAGE_SIZE") + 2**28
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            hoard: list[NDArray[np.uint8]] = []
            while True:
                hoard.append(np.ones(2**24, np.uint8))


gymnasium.register("Bad-v0", entry_point="bad_envs:BadEnv")
