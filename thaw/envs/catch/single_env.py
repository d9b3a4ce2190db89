"""One game of Catch, for ``gymnasium.make("thaw/Catch-v0")``."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from thaw.envs.catch.screen import Pixels
from thaw.envs.catch.vector_env import CatchVectorEnv


class CatchEnv(gymnasium.Env[Pixels, np.int64]):
    """One game of Catch, without auto-reset: the last step shows how the throw ended.

    Args:
        variant: A name in `VARIANTS`.
        render_mode: None or "rgb_array".
        **options: Those of `CatchVectorEnv`.

    Raises:
        ValueError: As from `CatchVectorEnv`.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium declares it so
        "render_modes": ["rgb_array"],
        "render_fps": 15.625,
    }

    def __init__(
        self, variant: str = "default", *, render_mode: str | None = None, **options: Any
    ) -> None:
        self._games = CatchVectorEnv(
            1,
            variant=variant,
            autoreset_mode=AutoresetMode.DISABLED,
            render_mode=render_mode,
            **options,
        )
        self.render_mode = render_mode
        self.metadata = {
            **type(self).metadata,
            "render_fps": self._games.metadata["render_fps"],
            "frames_per_step": self._games.metadata["frames_per_step"],
        }
        self.observation_space = self._games.single_observation_space
        self.action_space = self._games.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Pixels, dict[str, Any]]:
        """Start a new throw.

        Args:
            seed: Seeds the generator; None keeps the generator as it is.
            options: `ball_x`, an int from 0 to 319, sets where the ball starts.

        Returns:
            The observation, [H, W, 3] uint8, and the info: `ball_x`, `ball_y`, `paddle_x`.
        """
        super().reset(seed=seed)
        self._games.np_random = self.np_random
        options = dict(options or {})
        if "ball_x" in options:
            options["ball_x"] = np.atleast_1d(options["ball_x"])
        observations, info = self._games.reset(options=options)
        return observations[0], _info_of_one(info)

    def step(self, action: np.int64 | int) -> tuple[Pixels, float, bool, bool, dict[str, Any]]:
        """Play one step.

        Args:
            action: 0 to num_actions - 1.

        Returns:
            Observation [H, W, 3] uint8, reward, terminated, truncated (False), and the info.
        """
        observations, rewards, ended, _, info = self._games.step(np.array([action]))
        return observations[0], float(rewards[0]), bool(ended[0]), False, _info_of_one(info)

    def render(self) -> Pixels:
        """Return the screen in full size, [480, 320, 3] uint8."""
        return self._games.render()[0]


def register() -> None:
    """Register `thaw/Catch-v0` with Gymnasium; importing this module calls it."""
    if "thaw/Catch-v0" not in gymnasium.registry:
        gymnasium.register(
            id="thaw/Catch-v0",
            entry_point="thaw.envs.catch:CatchEnv",
            vector_entry_point="thaw.envs.catch:CatchVectorEnv",
        )


def _info_of_one(info: dict[str, Any]) -> dict[str, Any]:
    return {name: int(values[0]) for name, values in info.items() if not name.startswith("_")}


register()
