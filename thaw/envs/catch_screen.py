"""What Catch shows: the app's screen, and the small pictures of it that an agent sees.

`draw_screen` and `shrink` say what the picture is; `CatchPictures` makes the same picture,
byte for byte, without drawing whole screens.

Source of the drawing order and the shapes: AndroidEnv's Catch app (GameLogic.render, Ball.draw,
Paddle.draw). Source of the shrinking: AndroidEnv's ImageRescaleWrapper, which calls Pillow.
Legend: N pictures of H x W pixels; H = 480 / downsample, W = 320 / downsample.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from thaw.envs.catch_knobs import SCREEN_HEIGHT_PX, SCREEN_WIDTH_PX, CatchKnobs, parse_color
from thaw.envs.catch_rules import IntArray

Pixels = npt.NDArray[np.uint8]

# Pillow's bicubic filter reads 2 x downsample screen pixels to each side of the middle of a
# picture's pixel: nothing acts further than 2 picture pixels from where it is.
_REACH = 2
_CACHE_BYTES = 64 * 2**20


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


class CatchPictures:
    """The pictures of N screens, kept up to date by repainting only what changes.

    For a whole `downsample` the filter's weights are the same for every pixel away from the
    border, so the picture of a ball depends on its position modulo `downsample` alone; near the
    border each position has a picture of its own. Both are drawn once and kept, as is the strip
    with the paddle for each of its positions. A ball close to the paddle is drawn afresh.

    Attributes:
        pictures: [N, H, W, 3] uint8; `draw` overwrites it in place.
    """

    def __init__(self, knobs: CatchKnobs, num_pictures: int, downsample: int) -> None:
        self._knobs = knobs
        self._downsample = downsample
        height, width = SCREEN_HEIGHT_PX // downsample, SCREEN_WIDTH_PX // downsample
        background = np.array(parse_color("background_color", knobs.background_color)[:3], np.uint8)
        self._background = background
        self.pictures = np.empty((num_pictures, height, width, 3), np.uint8)
        self.pictures[:] = background

        # The ball's patch: every picture pixel that a ball can act on, wherever it is between
        # two of them, and always of the same size.
        radius_px = knobs.ball_start_y_px
        patch = -(-2 * radius_px // downsample) + 1 + 2 * _REACH
        self._patch_height, self._patch_width = min(patch, height), min(patch, width)
        # A ball with its center here or lower is below the screen, and looks like any other.
        self._lowest_y = SCREEN_HEIGHT_PX + radius_px
        self._rows, self._same_y = self._patch_starts(self._lowest_y, self._patch_height, height)
        self._columns, self._same_x = self._patch_starts(SCREEN_WIDTH_PX, self._patch_width, width)
        # windows[n, row, column] is the patch of picture n that starts at (row, column).
        self._windows = np.lib.stride_tricks.sliding_window_view(
            self.pictures,
            (self._patch_height, self._patch_width, 3),
            axis=(1, 2, 3),
            writeable=True,
        )[:, :, :, 0]
        self._ball_row = np.zeros(num_pictures, np.int64)
        self._ball_column = np.zeros(num_pictures, np.int64)
        self._ball_patches = _DrawnOnce(
            self._draw_ball,
            num_keys=(self._lowest_y + 1) * (SCREEN_WIDTH_PX + 1),
            shape=(self._patch_height, self._patch_width, 3),
            most_at_once=num_pictures,
        )
        self._paddle_row = max(knobs.paddle_top_px // downsample - _REACH, 0)
        self._paddle_strips = _DrawnOnce(
            self._draw_paddle,
            num_keys=SCREEN_WIDTH_PX + 1,
            shape=(height - self._paddle_row, width, 3),
            most_at_once=num_pictures,
        )

    def draw(self, which: IntArray, ball_x: IntArray, ball_y: IntArray, paddle_x: IntArray) -> None:
        """Bring some pictures up to date.

        Args:
            which: [n] int, the numbers of the pictures, each at most once.
            ball_x: [n] int, the ball's center in screen pixels, 0 to 320.
            ball_y: [n] int, likewise, 0 or more.
            paddle_x: [n] int, the paddle's center in screen pixels, 0 to 320.
        """
        ball_y = np.minimum(ball_y, self._lowest_y)
        self._windows[which, self._ball_row[which], self._ball_column[which]] = self._background
        self.pictures[which, self._paddle_row :] = self._paddle_strips[paddle_x]

        rows, columns = self._rows[ball_y], self._columns[ball_x]
        keys = self._same_y[ball_y] * (SCREEN_WIDTH_PX + 1) + self._same_x[ball_x]
        patches = self._ball_patches[keys]
        self._draw_shared(patches, rows, columns, ball_x, ball_y, paddle_x)
        self._windows[which, rows, columns] = patches
        self._ball_row[which], self._ball_column[which] = rows, columns

    def _patch_starts(
        self, last_px: int, patch_length: int, picture_length: int
    ) -> tuple[IntArray, IntArray]:
        """For each ball position along one axis: where its patch starts, and who looks like it.

        Returns:
            [last_px + 1] int: the first row (or column) of the patch in the picture; and the
            first position whose patch holds the same pixels.
        """
        position = np.arange(last_px + 1)
        start = (position - self._knobs.ball_start_y_px) // self._downsample - _REACH
        # Here the filter sees nothing of the border, so that only the remainder counts.
        is_inside = (start >= _REACH) & (start + patch_length + _REACH <= picture_length)
        same = position.copy()
        for remainder in range(self._downsample):
            alike = is_inside & (position % self._downsample == remainder)
            same[alike] = position[alike].min(initial=last_px)
        return np.clip(start, 0, picture_length - patch_length), same

    def _draw_shared(
        self,
        patches: Pixels,
        rows: IntArray,
        columns: IntArray,
        ball_x: IntArray,
        ball_y: IntArray,
        paddle_x: IntArray,
    ) -> None:
        """Draw afresh those pixels of the ball's patches on which the paddle acts as well.

        Their number is small: a ball is near the paddle's height in a few steps of a throw.
        """
        half_width = self._knobs.paddle_half_width_px
        paddle_left = (paddle_x - half_width) // self._downsample - _REACH
        paddle_right = -(-(paddle_x + half_width) // self._downsample) + _REACH
        top, bottom = np.maximum(rows, self._paddle_row), rows + self._patch_height
        left = np.maximum(columns, paddle_left)
        right = np.minimum(columns + self._patch_width, paddle_right)
        for i in np.flatnonzero((top < bottom) & (left < right)).tolist():
            shared = Window(int(top[i]), int(bottom[i]), int(left[i]), int(right[i]))
            inside = patches[i, shared.top - rows[i] :, shared.left - columns[i] :]
            inside[:, : shared.right - shared.left] = self._draw_patch(
                shared, int(ball_x[i]), int(ball_y[i]), int(paddle_x[i])
            )

    def _draw_ball(self, key: int) -> Pixels:
        y, x = divmod(key, SCREEN_WIDTH_PX + 1)
        row, column = int(self._rows[y]), int(self._columns[x])
        patch = Window(row, row + self._patch_height, column, column + self._patch_width)
        return self._draw_patch(patch, x, y, None)

    def _draw_paddle(self, paddle_x: int) -> Pixels:
        height, width = self.pictures.shape[1:3]
        strip = Window(self._paddle_row, height, 0, width)
        return self._draw_patch(strip, 0, self._lowest_y, paddle_x)

    def _draw_patch(self, patch: Window, ball_x: int, ball_y: int, paddle_x: int | None) -> Pixels:
        """A window of the picture, by shrinking just as much of the screen as it depends on."""
        downsample = self._downsample
        top, left = max(patch.top - _REACH, 0), max(patch.left - _REACH, 0)
        window = Window(
            top * downsample,
            min((patch.bottom + _REACH) * downsample, SCREEN_HEIGHT_PX),
            left * downsample,
            min((patch.right + _REACH) * downsample, SCREEN_WIDTH_PX),
        )
        image = Image.fromarray(draw_screen(self._knobs, ball_x, ball_y, paddle_x, window))
        # Pillow rounds to bytes between its two passes, so their order shows. It takes the
        # screen's columns first, but Pillow 13 the rows first of images more than twice as high
        # as wide, as a window can be: hence one pass at a time, in the screen's order.
        image = image.resize((image.width // downsample, image.height))
        image = image.resize((image.width, image.height // downsample))
        small = np.asarray(image)
        return small[patch.top - top : patch.bottom - top, patch.left - left : patch.right - left]


class _DrawnOnce:
    """Patches that are drawn when first asked for, then kept while there is room."""

    def __init__(
        self,
        draw: Callable[[int], Pixels],
        num_keys: int,
        shape: tuple[int, ...],
        most_at_once: int,
    ) -> None:
        self._draw = draw
        room = max(_CACHE_BYTES // int(np.prod(shape)), most_at_once)
        self._patches = np.empty((min(room, num_keys), *shape), np.uint8)
        self._place = np.full(num_keys, -1)
        self._num_kept = 0

    def __getitem__(self, keys: IntArray) -> Pixels:
        """The patches of [n] keys, [n, height, width, 3] uint8, as a copy."""
        if (self._place[keys] < 0).any():
            self._draw_missing(keys)
        patches: Pixels = self._patches[self._place[keys]]
        return patches

    def _draw_missing(self, keys: IntArray) -> None:
        missing = np.unique(keys[self._place[keys] < 0])
        if self._num_kept + len(missing) > len(self._patches):
            self._place[:] = -1
            self._num_kept = 0
            missing = np.unique(keys)
        for key in missing.tolist():
            self._patches[self._num_kept] = self._draw(key)
            self._place[key] = self._num_kept
            self._num_kept += 1
