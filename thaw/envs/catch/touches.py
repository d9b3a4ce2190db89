"""Actions as touches on the screen, as in AndroidEnv's DiscreteActionWrapper.

Legend: N environments, L steps of latency.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from thaw.envs.catch.knobs import SCREEN_WIDTH_PX
from thaw.envs.catch.rules import IntArray

GRID_ROWS: Final = 9

GRID_COLUMNS: Final = 6

NUM_TOUCHES: Final = GRID_ROWS * GRID_COLUMNS

ACTION_COUNTS: Final = (NUM_TOUCHES, NUM_TOUCHES + 2, 2 * NUM_TOUCHES, 3 * NUM_TOUCHES)
"""Touches only; touches, one LIFT and one REPEAT; {TOUCH, LIFT} x grid; {TOUCH, LIFT, REPEAT} x
grid. The touches always come first: an action is a touch if and only if it is below 54."""

NOISE_LIMIT: Final = 0.4999
"""The wrapper clips its noise to this, in cells, so that a touch stays in its cell."""

NO_TOUCH: Final = -1


class Touches:
    """The touches of N environments: their noise, and those that have not reached the app yet.

    Args:
        num_envs: N.
        noise: Standard deviation of a touch's place in its cell, in cells; 0 draws no numbers.
        latency_steps: L, how many steps late a touch reaches the app.

    Attributes:
        pending_x: [N, L] int, pixels or NO_TOUCH: touches on their way to the app, the oldest
            first.
    """

    def __init__(self, num_envs: int, noise: float, latency_steps: int) -> None:
        self._noise = noise
        self.pending_x: IntArray = np.full((num_envs, latency_steps), NO_TOUCH)

    def clear(self, which: IntArray) -> None:
        """Drop the pending touches of some environments, [n] int."""
        self.pending_x[which] = NO_TOUCH

    def send(self, actions: IntArray, random: np.random.Generator) -> IntArray:
        """Send new touches on their way and return those that arrive in this step.

        Args:
            actions: [N] int.
            random: Draws the noise: N numbers, or none without noise.

        Returns:
            [N] int, pixels or NO_TOUCH.
        """
        queue = np.column_stack([self.pending_x, self._touch_x(actions, random)])
        self.pending_x = queue[:, 1:]
        return queue[:, 0]

    def _touch_x(self, actions: IntArray, random: np.random.Generator) -> IntArray:
        """Where the actions touch the screen, [N] int pixels, or NO_TOUCH."""
        column = actions % GRID_COLUMNS
        if self._noise > 0:
            noise = random.normal(scale=self._noise, size=len(actions))
        else:
            noise = np.zeros(len(actions))
        place = (column + 0.5 + noise.clip(-NOISE_LIMIT, NOISE_LIMIT)) / GRID_COLUMNS
        # AndroidEnv sends the place, between 0 and 1, in single precision.
        pixel = (place.astype(np.float32) * np.float32(SCREEN_WIDTH_PX)).astype(np.int64)
        return np.where(actions < NUM_TOUCHES, pixel.clip(0, SCREEN_WIDTH_PX - 1), NO_TOUCH)
