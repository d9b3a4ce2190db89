"""Several devices as one Gymnasium vector environment."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from thaw.envs.androidenv.device import Device
from thaw.envs.androidenv.simulated.simulator import SimulatedDevice
from thaw.envs.catch.screen import Pixels

SILENT_STEPS: Final = 1000
T = TypeVar("T")

logger = logging.getLogger(__name__)


class AndroidVectorEnv(gymnasium.vector.VectorEnv[Pixels, NDArray[np.integer[Any]], NDArray[Any]]):
    """Devices that are stepped together.

    Observations are the devices' screens made smaller, [N, H, W, 3] uint8. A device resets in the
    step that ends its episode (SAME_STEP). On simulated phones `info` has `ball_x`, `ball_y` and
    `paddle_x`, [N] int, in screen pixels, and `reset` seeds all random numbers. On a real phone it
    seeds only the noise of the touches.

    Args:
        devices: The N devices.
        simulated: The simulated phones of these devices, or none.
        num_actions: See `AndroidEnvOptions`.
        metadata: `render_fps` and `frames_per_step`.
        silence: Advice that is logged if no reward comes.
        at_once: Step every device in its own thread, for devices whose time passes by itself. On
            a virtual clock this process computes the steps itself, and threads slow it down
            (measured: 0.8 to 0.95 of the speed with 5 phones).
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium declares it so
        "autoreset_mode": AutoresetMode.SAME_STEP,
        "render_modes": ["rgb_array"],
    }

    def __init__(
        self,
        devices: Sequence[Device],
        simulated: Sequence[SimulatedDevice],
        num_actions: int,
        metadata: dict[str, Any],
        silence: str,
        at_once: bool,
    ) -> None:
        self.devices = tuple(devices)
        self.simulated = tuple(simulated)
        self.num_envs = len(devices)
        self.render_mode = "rgb_array"
        self.metadata = {**type(self).metadata, **metadata}
        self.single_observation_space = gymnasium.spaces.Box(
            0, 255, devices[0].observation_shape, np.uint8
        )
        self.single_action_space = gymnasium.spaces.Discrete(num_actions)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._silence = silence
        self._silent_steps: int | None = 0
        self._threads = ThreadPoolExecutor(self.num_envs) if at_once else None
        self._needs_reset = np.ones(self.num_envs, np.bool_)
        self._observations = np.zeros((self.num_envs, *devices[0].observation_shape), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Pixels, dict[str, Any]]:
        """Start an episode on all devices, or on some.

        Args:
            seed: Seeds the touches' noise and, on simulated phones, balls and frames; None keeps
                the generators as they are.
            options: `reset_mask`, [N] bool, restarts only these devices; on simulated phones
                `ball_x`, [N] int from 0 to 319, sets where the next balls start.

        Returns:
            The observations, [N, H, W, 3] uint8, and the info.

        Raises:
            ValueError: An option is unknown or has the wrong form.
            InputError: A device is lost and does not restart.
        """
        super().reset(seed=seed)
        if seed is not None:
            self._seed(seed)
        options = options or {}
        known = ("reset_mask", "ball_x") if self.simulated else ("reset_mask",)
        for name in options:
            if name not in known:
                raise ValueError(f"{name} is no option of reset; use {' or '.join(known)}")
        mask = np.asarray(options.get("reset_mask", np.ones(self.num_envs, np.bool_)))
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(
                f"reset_mask is {mask.dtype}{list(mask.shape)} with {int(mask.sum())} True; it "
                f"must be bool[{self.num_envs}] with at least one True"
            )
        which = np.flatnonzero(mask).tolist()
        if "ball_x" in options:
            ball_x = np.asarray(options["ball_x"])
            if ball_x.shape != (self.num_envs,) or not ((ball_x >= 0) & (ball_x < 320)).all():
                raise ValueError(f"ball_x must be {self.num_envs} whole numbers from 0 to 319")
            for index in which:
                self.simulated[index].phone.ball_x = int(ball_x[index])
        self._restart(which)
        return self._observations.copy(), self._info()

    def step(
        self, actions: NDArray[np.integer[Any]]
    ) -> tuple[Pixels, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Take one action on every device.

        Args:
            actions: [N] int, 0 to num_actions - 1.

        Returns:
            Observations [N, H, W, 3] uint8, rewards [N] float64, terminated [N] bool, truncated
            [N] bool, and the info, with `final_obs` and `_final_obs` for episodes that have ended.

        Raises:
            ValueError: An action is out of range.
            ResetNeeded: A device has not been reset since it was made.
            InputError: A device is lost and does not restart.
        """
        if self._needs_reset.any():
            raise gymnasium.error.ResetNeeded("call reset before step")
        actions = np.asarray(actions)
        if not self.action_space.contains(actions.astype(np.int64)):
            raise ValueError(
                f"actions are {actions.tolist()}; they must be {self.num_envs} whole numbers from "
                f"0 to {self.action_space.nvec[0] - 1}"  # type: ignore[attr-defined]
            )
        outcomes = self._all(
            lambda index: self.devices[index].step(int(actions[index])), range(self.num_envs)
        )
        rewards = np.array([outcome.reward for outcome in outcomes], np.float64)
        terminated = np.array([outcome.terminated for outcome in outcomes], np.bool_)
        truncated = np.array([outcome.truncated for outcome in outcomes], np.bool_)
        self._observations = np.stack([outcome.observation for outcome in outcomes])
        self._listen(rewards)
        done = terminated | truncated
        info = self._info()
        if done.any():
            final_info = info
            finals = np.full(self.num_envs, None, dtype=object)
            for index in np.flatnonzero(done).tolist():
                finals[index] = outcomes[index].observation
            self._restart(np.flatnonzero(done).tolist())
            info = self._info() | {
                "final_obs": finals,
                "_final_obs": done.copy(),
                "final_info": final_info,
                "_final_info": done.copy(),
            }
        return self._observations.copy(), rewards, terminated, truncated, info

    @property
    def dropped_steps(self) -> int:
        """Decisions that the agent was too slow to make at the devices' pace."""
        return sum(device.dropped_steps for device in self.devices)

    def render(self) -> tuple[Pixels, ...]:
        """Return the latest screens in full size, one [height, width, 3] uint8 per device."""
        return tuple(device.render() for device in self.devices)

    def close_extras(self, **kwargs: Any) -> None:
        """Close the devices."""
        self._all(lambda index: self.devices[index].close(), range(self.num_envs))
        if self._threads is not None:
            self._threads.shutdown()

    def _all(self, do: Callable[[int], T], which: Iterable[int]) -> list[T]:
        """Call a function for some devices, in parallel or one after another."""
        if self._threads is None:
            return [do(index) for index in which]
        return list(self._threads.map(do, which))

    def _restart(self, which: list[int]) -> None:
        for index, first in zip(
            which, self._all(lambda index: self.devices[index].reset(), which), strict=True
        ):
            self._observations[index] = first
        self._needs_reset[which] = False

    def _seed(self, seed: int) -> None:
        seeds = np.random.SeedSequence(seed).generate_state(2 * self.num_envs).tolist()
        for index, device in enumerate(self.devices):
            device.seed(seeds[2 * index])
            if self.simulated:
                self.simulated[index].phone.seed(seeds[2 * index + 1])

    def _listen(self, rewards: NDArray[np.float64]) -> None:
        """Warn once if a task gives no reward for many steps."""
        if self._silent_steps is None:
            return
        self._silent_steps = 0 if rewards.any() else self._silent_steps + 1
        if self._silent_steps >= SILENT_STEPS:
            self._silent_steps = None
            logger.warning(
                "%s: no reward for %d steps; %s", self.devices[0].name, SILENT_STEPS, self._silence
            )

    def _info(self) -> dict[str, Any]:
        apps = [device.phone.app for device in self.simulated]
        if not apps or None in apps:
            return {}
        info: dict[str, Any] = {}
        for name in ("ball_x", "ball_y", "paddle_x"):
            info[name] = np.array([getattr(app, name) for app in apps], np.int64)
            info[f"_{name}"] = np.ones(self.num_envs, np.bool_)
        return info
