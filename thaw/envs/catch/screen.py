"""The screen of the Catch app.

`pictures` makes the small pictures that an agent sees, without drawing whole screens.

Source of the drawing order and the shapes: AndroidEnv's Catch app (GameLogic.render, Ball.draw,
Paddle.draw).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from thaw.envs.catch.knobs import SCREEN_HEIGHT_PX, SCREEN_WIDTH_PX, CatchKnobs, parse_color
from thaw.envs.catch.rules import IntArray

Pixels = npt.NDArray[np.uint8]


class Window(NamedTuple):
    """A part of the screen in pixels: from (top, left) to (bottom, right), which is excluded."""

    top: int
    bottom: int
    left: int
    right: int


WHOLE_SCREEN = Window(0, SCREEN_HEIGHT_PX, 0, SCREEN_WIDTH_PX)


def draw_screen(
    knobs: CatchKnobs,
    ball_x: int,
    ball_y: int,
    paddle_x: int | None,
    window: Window = WHOLE_SCREEN,
) -> Pixels:
    """Draw the app's screen: the background, the ball on it, the paddle on top.

    Args:
        knobs: Colors and sizes.
        ball_x: The ball's center in pixels, on the border of the pixels ball_x - 1 and ball_x.
        ball_y: Likewise.
        paddle_x: The paddle's center in pixels; None draws no paddle.
        window: The part of the screen to draw.

    Returns:
        [bottom - top, right - left, 3] uint8, red, green, blue.
    """
    height, width = window.bottom - window.top, window.right - window.left
    screen = np.empty((height, width, 3), np.uint8)
    screen[0] = parse_color("background_color", knobs.background_color)[:3]
    screen[1:] = screen[0]  # whole rows are several times faster than pixels

    ball = _ball_on_background(knobs)
    top = ball_y - len(ball) // 2 - window.top
    left = ball_x - len(ball) // 2 - window.left
    rows = slice(max(top, 0), max(top + len(ball), 0))
    columns = slice(max(left, 0), max(left + len(ball), 0))
    visible = screen[rows, columns]
    first_row, first_column = rows.start - top, columns.start - left
    visible[:] = ball[first_row:, first_column:][: visible.shape[0], : visible.shape[1]]

    if paddle_x is not None:
        rows = slice(max(knobs.paddle_top_px - window.top, 0), height)
        left = paddle_x - knobs.paddle_half_width_px - window.left
        right = paddle_x + knobs.paddle_half_width_px - window.left
        visible = screen[rows, max(left, 0) : max(right, 0)]
        *color, alpha = parse_color("paddle_color", knobs.paddle_color)
        visible[:] = _blend(visible, np.array(color), np.float64(alpha / 255))
    return screen


@functools.lru_cache(maxsize=32)
def _ball_on_background(knobs: CatchKnobs) -> Pixels:
    """Draw the ball on the background, in the smallest even square: [2 R, 2 R, 3] uint8."""
    samples = 16  # per pixel and direction: 256 samples for the 256 shades of a byte
    radius = np.float32(knobs.ball_radius)
    half = knobs.ball_start_y_px
    distance = (np.arange(half * samples) + 0.5) / samples
    inside = distance[:, None] ** 2 + distance**2 <= radius**2
    quarter = inside.reshape(half, samples, half, samples).mean(axis=(1, 3))
    right = np.concatenate([quarter[::-1], quarter])
    coverage = np.concatenate([right[:, ::-1], right], axis=1)
    *color, alpha = parse_color("ball_color", knobs.ball_color)
    background = np.array(parse_color("background_color", knobs.background_color)[:3], np.uint8)
    return _blend(background, np.array(color), coverage[:, :, None] * (alpha / 255))


def _blend(below: Pixels, color: IntArray, opacity: npt.NDArray[np.float64] | np.float64) -> Pixels:
    return np.rint(below * (1 - opacity) + color * opacity).astype(np.uint8)
