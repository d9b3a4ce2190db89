"""One device: AndroidEnv in its wrappers, made again when it is lost."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import dm_env
import grpc
import numpy as np
from android_env import env_interface
from android_env.components import errors
from android_env.wrappers import (
    base_wrapper,
    discrete_action_wrapper,
    image_rescale_wrapper,
    rate_limit_wrapper,
)

from thaw.config.errors import InputError
from thaw.envs.androidenv.options import AndroidEnvOptions
from thaw.envs.catch.screen import Pixels
from thaw.envs.catch.touches import GRID_COLUMNS, GRID_ROWS, NUM_TOUCHES

NUM_TRIES: Final = 3
"""How often thaw tries to start a lost device again."""
LOST: Final = (errors.AndroidEnvError, grpc.RpcError, subprocess.SubprocessError, OSError)
"""What AndroidEnv raises or passes on if a device or adb does not answer."""
RELAUNCHES: Final = ("relaunch_count_execute_action", "relaunch_count_fetch_observation")
"""AndroidEnv's counters of lost devices that it has restarted itself."""

logger = logging.getLogger(__name__)
_global_generator = threading.Lock()


class Outcome(NamedTuple):
    """The outcome of a step."""

    observation: Pixels
    reward: float
    terminated: bool
    truncated: bool


class TouchNoise:
    """A separate generator for DiscreteActionWrapper, which draws from NumPy's global one.

    `lend` replaces the global generator by this one, `take_back` restores it; a lock keeps other
    devices from drawing in between.
    """

    def __init__(self) -> None:
        self._own = np.random.MT19937()
        self._found: Any = None

    def seed(self, seed: int) -> None:
        """Seed the generator."""
        self._own = np.random.MT19937(seed)

    def lend(self) -> None:
        """Replace NumPy's global generator by this one."""
        _global_generator.acquire()
        self._found = np.random.get_bit_generator()  # type: ignore[attr-defined]  # not in __all__
        np.random.set_bit_generator(self._own)  # type: ignore[attr-defined]

    def take_back(self) -> None:
        """Restore the global generator, if it has been replaced."""
        if self._found is not None:
            np.random.set_bit_generator(self._found)  # type: ignore[attr-defined]
            self._found = None
            _global_generator.release()


class _BelowTheNoise(base_wrapper.BaseWrapper):
    """Restores the global generator; directly below DiscreteActionWrapper, which has drawn."""

    def __init__(self, env: env_interface.AndroidEnvInterface, noise: TouchNoise) -> None:
        super().__init__(env)
        self._noise = noise

    def step(self, action: dict[str, Any]) -> dm_env.TimeStep:
        self._noise.take_back()
        return self._env.step(action)


class Device:
    """One device.

    If the device is lost during an episode, the episode is truncated and the next reset starts
    the device again. If AndroidEnv notices the loss (a touch or a screenshot fails), it does both
    itself; if it raises instead, AndroidEnv is made again.

    Args:
        make: Makes AndroidEnv and launches it.
        options: The family's options.
        name: For the log and errors.
        steps_per_second: Pace of decisions; None: no limit.

    Attributes:
        env: AndroidEnv without wrappers; None while the device is lost.
        dropped_steps: Decisions that the agent was too slow to make at this pace.

    Raises:
        InputError: The device cannot be started.
    """

    def __init__(
        self,
        make: Callable[[], env_interface.AndroidEnvInterface],
        options: AndroidEnvOptions,
        name: str,
        steps_per_second: float | None,
    ) -> None:
        self.name = name
        self._make = make
        self._options = options
        self._steps_per_second = steps_per_second
        self._noise = TouchNoise()
        self._num_losses = 0
        self.dropped_steps = 0
        self._stepped_seconds: float | None = None
        try:
            self.env, self._stack = self._start()
        except LOST as error:
            raise InputError(f"{name} does not start: {_explain(error)}") from error
        shape = self._stack.observation_spec()["pixels"].shape
        self.observation_shape: tuple[int, ...] = tuple(int(size) for size in shape)
        self._last: Pixels = np.zeros(self.observation_shape, np.uint8)

    def seed(self, seed: int) -> None:
        """Seed the touches' noise."""
        self._noise.seed(seed)

    def reset(self) -> Pixels:
        """Start an episode and return its first observation, [H, W, 3] uint8.

        Raises:
            InputError: The device is lost and cannot be started again.
        """
        self._stepped_seconds = None
        for number in range(1, NUM_TRIES + 1):
            try:
                if self.env is None:
                    self.env, self._stack = self._start()
                self._last = self._stack.reset().observation["pixels"]
                return self._last
            except LOST as error:
                problem = _explain(error)
                logger.warning(
                    "%s is lost at a reset (%s): starting it again, try %d of %d",
                    self.name, problem, number, NUM_TRIES,
                )  # fmt: skip
                self.close()
        raise InputError(f"{self.name} is lost and does not start again: {problem}")

    def step(self, action: int) -> Outcome:
        """Take one action.

        Args:
            action: 0 to num_actions - 1.

        Returns:
            Observation [H, W, 3] uint8, reward, terminated (the task ended the episode: dm_env's
            LAST with discount 0) and truncated (LAST with another discount: a limit, the app was
            left, or the device is lost).
        """
        self._count_dropped_steps()
        try:
            self._noise.lend()
            timestep = self._stack.step({"action_id": action})
        except LOST as error:
            logger.warning(
                "%s is lost (%s): the episode is truncated, the device will be started again",
                self.name, _explain(error),
            )  # fmt: skip
            self.close()
            return Outcome(self._last, 0.0, terminated=False, truncated=True)
        finally:
            self._noise.take_back()
        self._last = timestep.observation["pixels"]
        is_last = bool(timestep.last())
        terminated = is_last and timestep.discount == 0
        if is_last and not terminated:
            self._tell_if_lost()
        return Outcome(
            self._last, float(timestep.reward or 0.0), terminated, is_last and not terminated
        )

    def _count_dropped_steps(self) -> None:
        """Count the whole periods without a decision within an episode."""
        now, before = time.monotonic(), self._stepped_seconds
        self._stepped_seconds = now
        if before is not None and self._steps_per_second is not None:
            periods = int((now - before) * self._steps_per_second)
            self.dropped_steps += max(0, periods - 1)

    def render(self) -> Pixels:
        """Return the latest screen in full size, [height, width, 3] uint8."""
        if self.env is None:
            return self._last
        screen: Pixels = np.array(self.env.raw_observation.get("pixels", self._last))
        return screen

    def close(self) -> None:
        """Close the device; a reset starts it again."""
        env, self.env = self.env, None
        if env is not None:
            env.close()

    def _start(
        self,
    ) -> tuple[
        env_interface.AndroidEnvInterface | None, discrete_action_wrapper.DiscreteActionWrapper
    ]:
        """Make AndroidEnv; return it without and with its wrappers.

        RateLimitWrapper is innermost, because it needs AndroidEnv's own actions.
        """
        self._num_losses = 0
        bare = env = self._make()
        if self._steps_per_second is not None:
            # AFTER_WITH_REPEAT, the wrapper's default: act, wait, then observe, as AndroidEnv did
            # when it had a fixed pace.
            env = rate_limit_wrapper.RateLimitWrapper(env, rate=self._steps_per_second)
        zoom = 1 / self._options.downsample
        env = image_rescale_wrapper.ImageRescaleWrapper(env, zoom_factors=(zoom, zoom))
        return bare, discrete_action_wrapper.DiscreteActionWrapper(
            _BelowTheNoise(env, self._noise),
            action_grid=(GRID_ROWS, GRID_COLUMNS),
            # True: {TOUCH, LIFT, REPEAT} x grid, of which 54 and 108 are the first actions.
            # False: touches, one LIFT and one REPEAT.
            redundant_actions=self._options.num_actions != NUM_TOUCHES + 2,
            noise=self._options.touch_noise,
        )

    def _tell_if_lost(self) -> None:
        """Log it if AndroidEnv has truncated the episode because the device was lost."""
        assert self.env is not None
        stats = self.env.stats()
        num_losses = sum(int(stats[name]) for name in RELAUNCHES)
        if num_losses > self._num_losses:
            self._num_losses = num_losses
            logger.warning(
                "%s is lost (%s): the episode is truncated, AndroidEnv launches the device again",
                self.name, ", ".join(f"{name}={stats[name]}" for name in RELAUNCHES),
            )  # fmt: skip


def _explain(error: BaseException) -> str:
    """Return the first cause of an error in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
