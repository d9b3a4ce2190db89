"""What Catch shows: the app's screen, and how it is made smaller for an agent.

`catch_pictures` makes the same small pictures, byte for byte, without drawing whole screens.

Source of the drawing order and the shapes: AndroidEnv's Catch app (GameLogic.render, Ball.draw,
Paddle.draw). Source of the shrinking: AndroidEnv's ImageRescaleWrapper, which calls Pillow.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from thaw.envs.catch.knobs import SCREEN_HEIGHT_PX, SCREEN_WIDTH_PX, CatchKnobs, parse_color
from thaw.envs.catch.rules import IntArray

Pixels = npt.NDArray[np.uint8]


class Window(NamedTuple):
    """A part of the screen in pixels: from (top, left) up to but without (bottom, right)."""

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
    """The app's screen: background, then the ball, then the paddle on top of it.

    Args:
        knobs: Colors and sizes.
        ball_x: The ball's center in pixels, on the edge between pixels ball_x - 1 and ball_x.
        ball_y: Likewise.
        paddle_x: The paddle's center in pixels; None leaves the paddle out.
        window: The part of the screen to draw.

    Returns:
        [bottom - top, right - left, 3] uint8, red, green, blue.
    """
    height, width = window.bottom - window.top, window.right - window.left
    screen = np.empty((height, width, 3), np.uint8)
    screen[0] = parse_color("background_color", knobs.background_color)[:3]
    screen[1:] = screen[0]  # by whole rows, which is several times faster than by pixels

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


def shrink(screen: Pixels, downsample: int) -> Pixels:
    """A screen made smaller, as AndroidEnv's ImageRescaleWrapper does it.

    Args:
        screen: [height, width, 3] uint8, both sides divisible by `downsample`.
        downsample: How many screen pixels become one, in each direction.

    Returns:
        [height / downsample, width / downsample, 3] uint8.
    """
    height, width = screen.shape[0] // downsample, screen.shape[1] // downsample
    # No filter is named, for the wrapper names none; Pillow's default is bicubic.
    return np.asarray(Image.fromarray(screen).resize((width, height)))


@functools.lru_cache(maxsize=32)
def _ball_on_background(knobs: CatchKnobs) -> Pixels:
    """The ball over the background in the smallest even square, [2 R, 2 R, 3] uint8."""
    samples = 16  # per pixel and direction: 256 samples make as many shades as a byte holds
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
