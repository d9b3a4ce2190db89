"""Many games of Catch as one Gymnasium vector environment.

The actions are those of AndroidEnv's DiscreteActionWrapper, on a grid of 9 rows and 6 columns.

Legend: N environments, F frames of one step, L steps of latency, H x W the observation's size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from thaw.envs.catch.generator_state import encode_generator, restore_generator
from thaw.envs.catch.knobs import SCREEN_WIDTH_PX, check_choice, check_whole_number
from thaw.envs.catch.options import CatchOptions
from thaw.envs.catch.pictures import CatchPictures
from thaw.envs.catch.rules import BoolArray, IntArray, check_catch_is_possible, fall, is_caught
from thaw.envs.catch.screen import Pixels, draw_screen
from thaw.envs.catch.touches import NO_TOUCH, Touches

if TYPE_CHECKING:
    from thaw.envs.catch.pictures_torch import CatchPicturesOnDevice

Observations = Any  # Pixels, or a torch tensor if `drawn_on` asks for one


class CatchVectorEnv(
    gymnasium.vector.VectorEnv[Observations, npt.NDArray[np.integer[Any]], npt.NDArray[Any]]
):
    """Many games of Catch at once, without a Python loop over them.

    Observations are the app's 480 x 320 screen made smaller, [N, H, W, 3] uint8. A step moves the
    paddle to the touch, then lets the ball fall for `frames_per_step` frames or until it leaves
    the screen. Nothing is ever truncated. Each throw starts a new app, with the paddle in the
    middle. `info` has `ball_x`, `ball_y` and `paddle_x`, [N] int, in screen pixels.

    One generator, seeded by `reset(seed=...)`, draws the throws, the touches and the frames.

    All keyword arguments that are not listed here are explained in `CatchOptions`.

    Args:
        num_envs: How many games.
        variant: A name in `VARIANTS`.
        autoreset_mode: SAME_STEP starts the next throw in the step that ends one, as Gymnasium's
            vector environments do; DISABLED leaves it to `reset(options={"reset_mask": ...})`.
        render_mode: None or "rgb_array".
        drawn_on: A torch device, cpu, cuda or cuda:<index>: observations, also those in
            `final_obs`, are tensors there, with the same bytes. None makes NumPy arrays.

    Raises:
        ValueError: A value has the wrong type or range, or no ball could ever be caught.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium declares it so
        "autoreset_mode": AutoresetMode.SAME_STEP,
        "render_modes": ["rgb_array"],
        "render_fps": 15.625,
    }

    def __init__(
        self,
        num_envs: int = 1,
        *,
        variant: str = "default",
        background_color: str | None = None,
        ball_color: str | None = None,
        ball_radius: float | None = None,
        ball_speed: float | None = None,
        paddle_color: str | None = None,
        paddle_width: int | None = None,
        paddle_height: int | None = None,
        touch_noise: float = 0.1,
        num_actions: int = 54,
        frame_ms: int = 16,
        frame_jitter_ms: int = 0,
        frames_per_step: int = 4,
        action_latency_steps: int = 0,
        downsample: int = 4,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        render_mode: str | None = None,
        drawn_on: str | None = None,
    ) -> None:
        self.options = CatchOptions(
            background_color=background_color, ball_color=ball_color, ball_radius=ball_radius,
            ball_speed=ball_speed, paddle_color=paddle_color, paddle_width=paddle_width,
            paddle_height=paddle_height, touch_noise=touch_noise, num_actions=num_actions,
            frame_ms=frame_ms, frame_jitter_ms=frame_jitter_ms, frames_per_step=frames_per_step,
            action_latency_steps=action_latency_steps, downsample=downsample,
        )  # fmt: skip
        self.knobs = self.options.knobs(variant)
        check_catch_is_possible(self.knobs, frame_ms, frame_jitter_ms)
        check_whole_number("num_envs", num_envs, 1, 100_000)
        check_choice("render_mode", render_mode, (None, "rgb_array"))
        modes = (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED)
        check_choice("autoreset_mode", autoreset_mode, modes + tuple(m.value for m in modes))

        self.num_envs = num_envs
        self.render_mode = render_mode
        self._autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {
            **type(self).metadata,
            "autoreset_mode": self._autoreset_mode,
            "render_fps": 1000 / (frame_ms * frames_per_step),
            "frames_per_step": frames_per_step,
        }
        self._pictures = self._make_pictures(drawn_on)
        self.single_observation_space = gymnasium.spaces.Box(
            0, 255, self._pictures.pictures.shape[1:], np.uint8
        )
        self.single_action_space = gymnasium.spaces.Discrete(num_actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

        self._ball_x = np.zeros(num_envs, np.int64)
        self._ball_y = np.full(num_envs, self.knobs.ball_start_y_px)
        self._paddle_x = np.full(num_envs, SCREEN_WIDTH_PX // 2)
        self._touches = Touches(num_envs, touch_noise, action_latency_steps)
        self._needs_reset = np.ones(num_envs, np.bool_)
        self._draw(np.arange(num_envs))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Start a new throw in all environments, or in some.

        Args:
            seed: Seeds the generator; None keeps the generator as it is.
            options: `ball_x`, [N] int from 0 to 319, sets where the balls start, which is random
                otherwise; `reset_mask`, [N] bool, restarts only these environments.

        Returns:
            The observations, [N, H, W, 3] uint8, and the info.

        Raises:
            ValueError: An option is unknown or has the wrong form.
        """
        super().reset(seed=seed)
        options = options or {}
        for name in options:
            if name not in ("ball_x", "reset_mask"):
                raise ValueError(f"{name} is not an option of reset; use ball_x or reset_mask")
        mask = np.asarray(options.get("reset_mask", np.ones(self.num_envs, np.bool_)))
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(
                f"reset_mask is {mask.dtype}{list(mask.shape)} with {int(mask.sum())} True; it "
                f"must be bool[{self.num_envs}] with at least one True"
            )
        which = np.flatnonzero(mask)
        if "ball_x" in options:
            ball_x = self._checked_ints("ball_x", options["ball_x"], SCREEN_WIDTH_PX)[which]
        else:
            ball_x = self.np_random.integers(SCREEN_WIDTH_PX, size=len(which))
        self._restart(which, ball_x)
        return self._pictures.copy(), self._info()

    def step(
        self, actions: npt.NDArray[np.integer[Any]]
    ) -> tuple[Observations, npt.NDArray[np.float64], BoolArray, BoolArray, dict[str, Any]]:
        """Play one step in every environment.

        Args:
            actions: [N] int, 0 to num_actions - 1.

        Returns:
            Observations [N, H, W, 3] uint8, rewards [N] float64, terminated [N] bool, truncated
            [N] bool (all False), and the info. With SAME_STEP, an environment whose throw has
            ended returns the next throw's first observation. The last one is then in `final_obs`
            ([N] object: an [H, W, 3] array or None), its info in `final_info`; the masks
            `_final_obs` and `_final_info`, [N] bool, say which environments these are.

        Raises:
            ValueError: The actions have the wrong form.
            ResetNeeded: An environment has not been reset since it was made or its throw ended.
        """
        if self._needs_reset.any():
            raise gymnasium.error.ResetNeeded(
                f"environments {np.flatnonzero(self._needs_reset).tolist()} have no running throw; "
                "call reset before step"
            )
        actions = self._checked_ints("actions", actions, self.options.num_actions)
        touch_x = self._touches.send(actions, self.np_random)
        self._paddle_x = np.where(touch_x == NO_TOUCH, self._paddle_x, touch_x)
        self._ball_y, ended = fall(self.knobs, self._ball_y, self._draw_frames_ms())
        rewards = np.zeros(self.num_envs)
        if ended.any():  # throws of one length end together, so that most steps end none
            positions = self._ball_x[ended], self._ball_y[ended], self._paddle_x[ended]
            rewards[ended] = np.where(is_caught(self.knobs, *positions), 1.0, -1.0)
        self._needs_reset = ended.copy()
        self._draw(np.arange(self.num_envs))

        final: dict[str, Any] = {}
        if self._autoreset_mode == AutoresetMode.SAME_STEP and ended.any():
            which = np.flatnonzero(ended)
            final = self._final(which)
            self._restart(which, self.np_random.integers(SCREEN_WIDTH_PX, size=len(which)))
        truncated = np.zeros(self.num_envs, np.bool_)
        info = final | self._info()
        return self._pictures.copy(), rewards, ended, truncated, info

    def render(self) -> tuple[Pixels, ...]:
        """Return the screens in full size, one [480, 320, 3] uint8 for each environment."""
        positions = np.column_stack([self._ball_x, self._ball_y, self._paddle_x]).tolist()
        return tuple(draw_screen(self.knobs, *position) for position in positions)

    def get_state(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything that decides how the games continue, as arrays of numbers.

        Returns:
            `ball_x`, `ball_y`, `paddle_x` [N] int, `pending_touch_x` [N, L] int, `needs_reset`
            [N] bool, and the generator's state `rng` [6] uint64.
        """
        return {
            "ball_x": self._ball_x.copy(),
            "ball_y": self._ball_y.copy(),
            "paddle_x": self._paddle_x.copy(),
            "pending_touch_x": self._touches.pending_x.copy(),
            "needs_reset": self._needs_reset.copy(),
            "rng": encode_generator(self.np_random),
        }

    def set_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Continue from the state of another environment with the same options.

        Args:
            state: The return value of its `get_state`.

        Raises:
            ValueError: An array is missing or does not have this environment's shape and dtype.
        """
        for name, here in self.get_state().items():
            if name not in state:
                raise ValueError(f"{name} is missing in the state; pass the result of get_state")
            there = np.asarray(state[name])
            if (there.shape, there.dtype) != (here.shape, here.dtype):
                raise ValueError(
                    f"{name} of the state is {there.dtype}{list(there.shape)}, but this "
                    f"environment's is {here.dtype}{list(here.shape)}; make it with the options of "
                    "the environment that was saved"
                )
        self._ball_x = np.array(state["ball_x"])
        self._ball_y = np.array(state["ball_y"])
        self._paddle_x = np.array(state["paddle_x"])
        self._touches.pending_x = np.array(state["pending_touch_x"])
        self._needs_reset = np.array(state["needs_reset"])
        restore_generator(self.np_random, np.asarray(state["rng"]))
        self._draw(np.arange(self.num_envs))

    def _make_pictures(self, drawn_on: str | None) -> CatchPictures | CatchPicturesOnDevice:
        if drawn_on is None:
            return CatchPictures(self.knobs, self.num_envs, self.options.downsample)
        from thaw.envs.catch.pictures_torch import CatchPicturesOnDevice

        return CatchPicturesOnDevice(self.knobs, self.num_envs, self.options.downsample, drawn_on)

    def _draw_frames_ms(self) -> IntArray:
        """Return how long the frames of this step last, [N, F] int milliseconds."""
        shortest, jitter = self.options.frame_ms, self.options.frame_jitter_ms
        shape = (self.num_envs, self.options.frames_per_step)
        if jitter == 0:
            return np.full(shape, shortest)
        return self.np_random.integers(shortest, shortest + jitter, size=shape, endpoint=True)

    def _restart(self, which: IntArray, ball_x: IntArray) -> None:
        self._ball_x[which] = ball_x
        self._ball_y[which] = self.knobs.ball_start_y_px
        self._paddle_x[which] = SCREEN_WIDTH_PX // 2
        self._touches.clear(which)
        self._needs_reset[which] = False
        self._draw(which)

    def _draw(self, which: IntArray) -> None:
        positions = self._ball_x[which], self._ball_y[which], self._paddle_x[which]
        self._pictures.draw(which, *positions)

    def _info(self) -> dict[str, Any]:
        everywhere = np.ones(self.num_envs, np.bool_)
        info: dict[str, Any] = {}
        for name, array in self._positions().items():
            info[name], info[f"_{name}"] = array.copy(), everywhere.copy()
        return info

    def _final(self, which: IntArray) -> dict[str, Any]:
        """Return the info about ended throws, in the form of Gymnasium's SyncVectorEnv."""
        mask = np.zeros(self.num_envs, np.bool_)
        mask[which] = True
        pictures = np.full(self.num_envs, None, dtype=object)
        for i, picture in zip(which, self._pictures.copy(which), strict=True):
            pictures[i] = picture
        positions: dict[str, Any] = {}
        for name, array in self._positions().items():
            positions[name], positions[f"_{name}"] = np.where(mask, array, 0), mask.copy()
        return {
            "final_obs": pictures,
            "_final_obs": mask.copy(),
            "final_info": positions,
            "_final_info": mask.copy(),
        }

    def _positions(self) -> dict[str, IntArray]:
        return {"ball_x": self._ball_x, "ball_y": self._ball_y, "paddle_x": self._paddle_x}

    def _checked_ints(self, name: str, values: object, end: int) -> IntArray:
        array = np.asarray(values)
        is_right = array.shape == (self.num_envs,) and np.issubdtype(array.dtype, np.integer)
        if not is_right or array.min() < 0 or array.max() >= end:
            span = f" from {array.min()} to {array.max()}" if array.size else ""
            raise ValueError(
                f"{name} is {array.dtype}{list(array.shape)}{span}; it must be int"
                f"[{self.num_envs}], a whole number from 0 to {end - 1} for each environment"
            )
        return array.astype(np.int64)
