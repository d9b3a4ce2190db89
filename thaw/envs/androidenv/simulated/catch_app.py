"""AndroidEnv's Catch app as it runs on a phone: one throw after another, a log line for each.

The rules come from `thaw.envs.catch.rules`, the screen from `thaw.envs.catch.screen`.
Source: AndroidEnv's Catch app (MainActivity.kt, GameLogic.kt, GameLogicThread.kt).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from thaw.envs.catch.knobs import SCREEN_WIDTH_PX, CatchKnobs
from thaw.envs.catch.rules import IntArray, fall, is_caught
from thaw.envs.catch.screen import Pixels, draw_screen

PACKAGE: Final = "com.google.androidenv.catch"

ACTIVITY: Final = f"{PACKAGE}/{PACKAGE}.MainActivity"

LOG_TAG: Final = "AndroidRLTask"

EXTRAS: Final[Mapping[str, tuple[str, type]]] = {
    "backgroundColor": ("background_color", str),
    "ballColor": ("ball_color", str),
    "ballRadius": ("ball_radius", float),
    "ballSpeed": ("ball_speed", float),
    "paddleColor": ("paddle_color", str),
    "paddleWidth": ("paddle_width", int),
    "paddleHeight": ("paddle_height", int),
}
"""The intent's extras: the knob that each sets, and the type that the app expects."""


class Timing(NamedTuple):
    """How the app's time passes."""

    frame_ms: int
    """The length of the shortest frame."""
    frame_jitter_ms: int
    """How much longer a frame can be."""
    frames_per_step: int
    """Frames of one step of a virtual clock."""


def knobs_of(extras: Mapping[str, object]) -> CatchKnobs:
    """Read an intent's extras as the app does.

    An extra of another type than the app expects (``--ei ballRadius 10``) has no effect, because
    Android's Bundle then returns the default.

    Args:
        extras: Maps names to values.

    Raises:
        ValueError: A color or a size that Catch cannot show.
    """
    given: dict[str, Any] = {
        knob: extras[name]
        for name, (knob, kind) in EXTRAS.items()
        if type(extras.get(name)) is kind
    }
    return CatchKnobs(**given)


class CatchApp:
    """One start of the app.

    `play_step` lets time pass on a virtual clock, `play_until` on a real one.

    Args:
        knobs: The options from the intent.
        timing: The lengths of frames.
        random: Draws the frames' lengths.
        next_ball_x: Returns where the next ball starts, 0 to 319.
        log: Called with the message of each log line.
        now_ms: The time at the start, on a real clock.

    Attributes:
        ball_x: The ball's center in pixels.
        ball_y: Likewise.
        paddle_x: The paddle's center in pixels; a new throw does not move it.
    """

    def __init__(
        self,
        knobs: CatchKnobs,
        timing: Timing,
        random: np.random.Generator,
        next_ball_x: Callable[[], int],
        log: Callable[[str], None],
        now_ms: float,
    ) -> None:
        self.knobs = knobs
        self.paddle_x = SCREEN_WIDTH_PX // 2
        self._timing = timing
        self._random = random
        self._next_ball_x = next_ball_x
        self._log = log
        self._counter = 0
        self._frame_start_ms = now_ms
        self._frame_ms = int(self._frames_ms(1)[0, 0])
        self._is_unseen = self._is_over = False
        self._throw()

    def touch(self, x_px: int) -> None:
        """Move the paddle to a touch."""
        self.paddle_x = min(max(x_px, 0), SCREEN_WIDTH_PX)

    def draw(self) -> Pixels:
        """Return the screen, [480, 320, 3] uint8."""
        return draw_screen(self.knobs, self.ball_x, self.ball_y, self.paddle_x)

    def play_step(self) -> None:
        """Let a step's frames pass on a virtual clock.

        This clock waits twice, until a screenshot has shown the ball at its start and at its end,
        so that the agent sees the whole throw.
        """
        if self._is_over:
            self._throw()
        if self._is_unseen:
            self._is_unseen = False
        else:
            self._fall(self._frames_ms(self._timing.frames_per_step))

    def play_until(self, now_ms: float) -> None:
        """Let all frames pass that have ended by now on a real clock."""
        while self._frame_start_ms + self._frame_ms <= now_ms:
            self._frame_start_ms += self._frame_ms
            self._fall(np.array([[self._frame_ms]]))
            self._frame_ms = int(self._frames_ms(1)[0, 0])
            if self._is_over:
                self._throw()

    def _throw(self) -> None:
        self.ball_x, self.ball_y = self._next_ball_x(), self.knobs.ball_start_y_px
        self._is_over, self._is_unseen = False, True

    def _fall(self, frames_ms: IntArray) -> None:
        ball_y, ended = fall(self.knobs, np.array([self.ball_y]), frames_ms)
        self.ball_y, self._is_over = int(ball_y[0]), bool(ended[0])
        if self._is_over:
            places = (np.array([n]) for n in (self.ball_x, self.ball_y, self.paddle_x))
            caught = bool(is_caught(self.knobs, *places)[0])
            self._log(f"{self._counter} - {'true' if caught else 'false'}")
            self._counter += 1

    def _frames_ms(self, num_frames: int) -> IntArray:
        """Return the lengths of the next frames, [1, F] int milliseconds."""
        shortest, jitter = self._timing.frame_ms, self._timing.frame_jitter_ms
        if jitter == 0:
            return np.full((1, num_frames), shortest)
        return self._random.integers(shortest, shortest + jitter, (1, num_frames), endpoint=True)
