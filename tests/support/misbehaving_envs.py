"""Environments that misbehave, by name ``gym/misbehaving_envs:<Name>-v0``; registered on import.

Options: ``after`` is the step at which it happens; ``once`` names a file that is written when it
happens, so that it does not happen again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

LENGTH_STEPS = 5
FOREVER_SECONDS = 3600.0


class WellBehaved(gymnasium.Env[Any, Any]):
    """Observes noise; the action is the reward.

    Args:
        after: Steps before :meth:`misbehave` is called.
        once: Name of a file; where it is there already, nothing happens.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium declares it so

    def __init__(self, after: int = 0, once: str = "") -> None:
        self.observation_space = spaces.Box(-1, 1, (3,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.after, self.once = after, once
        self.num_steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.num_steps += 1
        if self.num_steps > self.after and not (self.once and Path(self.once).exists()):
            if self.once:
                Path(self.once).touch()
            self.misbehave()
        ended = self.num_steps % LENGTH_STEPS == 0
        return self.observe(), float(action), ended, False, {}

    def observe(self) -> Any:
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)

    def misbehave(self) -> None:
        """Does what its class is named for, in every step after the first ones."""


class Hang(WellBehaved):
    def misbehave(self) -> None:
        time.sleep(FOREVER_SECONDS)


class HangInChild(WellBehaved):
    """Waits for a program that never ends, as for an emulator."""

    def misbehave(self) -> None:
        subprocess.run(["sleep", str(FOREVER_SECONDS)], check=True)


class LeaveThread(WellBehaved):
    """Leaves a thread that keeps its process from ending."""

    def misbehave(self) -> None:
        if not [thread for thread in threading.enumerate() if thread.name == "left behind"]:
            threading.Thread(target=time.sleep, args=(FOREVER_SECONDS,), name="left behind").start()


class Print(WellBehaved):
    """Prints from Python, from C, and from a program that it starts."""

    def misbehave(self) -> None:
        import ctypes

        print("printed by Python")
        ctypes.CDLL(None).puts(b"printed by C")
        subprocess.run([sys.executable, "-S", "-c", "print('printed by a program')"], check=True)


class Raise(WellBehaved):
    """Raises an error whose text looks like rich's markup."""

    def misbehave(self) -> None:
        raise ValueError("the emulator [/dev/kvm] went away [bold]:boom:")


class Exit(WellBehaved):
    def misbehave(self) -> None:
        os._exit(7)


class Rendered(WellBehaved):
    """Is drawn as a gray screen, and then misbehaves as its class is named."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 - Gymnasium declares it so

    def __init__(self, after: int = 0, render_mode: str | None = None) -> None:
        super().__init__(after)
        self.render_mode = render_mode

    def render(self) -> Any:
        return np.full((8, 8, 3), 128, np.uint8)


class RenderedHang(Rendered, Hang):
    pass


class RenderedExit(Rendered, Exit):
    pass


MISBEHAVING = (Hang, HangInChild, LeaveThread, Print, Raise, Exit)
for kind in (WellBehaved, *MISBEHAVING, Rendered, RenderedHang, RenderedExit):
    gymnasium.register(f"{kind.__name__}-v0", entry_point=f"misbehaving_envs:{kind.__name__}")
