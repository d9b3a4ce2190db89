"""The small pictures of Catch's screen that an agent sees, assembled from cached parts.

They are equal, byte for byte, to the whole screen from `screen`, shrunk by Pillow as AndroidEnv's
ImageRescaleWrapper does it. `CatchPictures` keeps them in NumPy arrays, `pictures_torch` on a
torch device.

Legend: N pictures of H x W pixels; H = 480 / downsample, W = 320 / downsample.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image

from thaw.envs.catch.knobs import SCREEN_HEIGHT_PX, SCREEN_WIDTH_PX, CatchKnobs, parse_color
from thaw.envs.catch.rules import IntArray
from thaw.envs.catch.screen import Pixels, Window, draw_screen

# Pillow's bicubic filter reads 2 x downsample screen pixels to each side of the center of a
# picture's pixel: nothing changes picture pixels that are more than 2 away from it.
_REACH = 2

_CACHE_BYTES = 64 * 2**20


class PictureParts:
    """The parts of a picture: a patch with the ball, a strip with the paddle.

    For an integer `downsample` the filter's weights are the same for every pixel away from the
    border. There the patch of a ball depends only on its position modulo `downsample`; near the
    border each position has a different patch. Each different patch has a number, its key; the
    key of a strip is the paddle's position. A ball close to the paddle is drawn with it.

    Attributes:
        shape: (H, W, 3), the shape of a picture.
        background: [3] uint8.
        patch_shape: (h, w, 3), the shape of the ball's patch: it contains every picture pixel
            that a ball can change, for all positions between two pixels.
        strip_shape: (H - strip_row, W, 3), the shape of the paddle's strip.
        strip_row: The strip is this row of the picture and all rows below.
        num_ball_keys: How many patches there are.
        num_strip_keys: How many strips.
    """

    def __init__(self, knobs: CatchKnobs, downsample: int) -> None:
        self._knobs = knobs
        self._downsample = downsample
        height, width = SCREEN_HEIGHT_PX // downsample, SCREEN_WIDTH_PX // downsample
        self.shape = height, width, 3
        self.background = np.array(
            parse_color("background_color", knobs.background_color)[:3], np.uint8
        )
        radius_px = knobs.ball_start_y_px
        patch = -(-2 * radius_px // downsample) + 1 + 2 * _REACH
        self.patch_shape = min(patch, height), min(patch, width), 3
        # A ball with its center here or lower is below the screen, where all look the same.
        self._lowest_y = SCREEN_HEIGHT_PX + radius_px
        self._rows, self._ys, self._same_y = self._patch_starts(self._lowest_y, axis=0)
        self._columns, self._xs, self._same_x = self._patch_starts(SCREEN_WIDTH_PX, axis=1)
        self.num_ball_keys = len(self._ys) * len(self._xs)
        self.strip_row = max(knobs.paddle_top_px // downsample - _REACH, 0)
        self.strip_shape = height - self.strip_row, width, 3
        self.num_strip_keys = SCREEN_WIDTH_PX + 1
        # Pillow's array is larger than the patch that is cut from it, up to this factor.
        patch_bytes = 4 * int(np.prod(self.patch_shape))
        self._draw_once = lru_cache(_CACHE_BYTES // patch_bytes)(self._draw_patch)

    def find_ball(self, ball_x: IntArray, ball_y: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Return the first rows and columns of [n] balls' patches, and their keys, all [n]."""
        ball_y = np.minimum(ball_y, self._lowest_y)
        keys = self._same_y[ball_y] * len(self._xs) + self._same_x[ball_x]
        return self._rows[ball_y], self._columns[ball_x], keys

    def draw_ball(self, key: int) -> Pixels:
        """Draw the ball's patch without the paddle, [h, w, 3] uint8."""
        number_y, number_x = divmod(key, len(self._xs))
        y, x = int(self._ys[number_y]), int(self._xs[number_x])
        row, column = int(self._rows[y]), int(self._columns[x])
        patch_height, patch_width, _ = self.patch_shape
        patch = Window(row, row + patch_height, column, column + patch_width)
        return self._draw_once(patch, x, y, None)

    def draw_paddle(self, paddle_x: int) -> Pixels:
        """Draw the paddle's strip without the ball, [H - strip_row, W, 3] uint8."""
        height, width, _ = self.shape
        strip = Window(self.strip_row, height, 0, width)
        return self._draw_once(strip, 0, self._lowest_y, paddle_x)

    def draw_shared(
        self,
        patches: Pixels,
        rows: IntArray,
        columns: IntArray,
        ball_x: IntArray,
        ball_y: IntArray,
        paddle_x: IntArray,
    ) -> IntArray:
        """Draw those pixels of the ball's patches again that the paddle changes, too.

        They are few: a ball is near the paddle's height only in a few steps of a throw.

        Args:
            patches: [n, h, w, 3] uint8, overwritten in place.
            rows: [n] int, their first rows in the pictures.
            columns: [n] int, their first columns.
            ball_x: [n] int, in screen pixels.
            ball_y: [n] int, likewise.
            paddle_x: [n] int, likewise.

        Returns:
            [m] int, the indices of the patches that have changed.
        """
        patch_height, patch_width, _ = self.patch_shape
        half_width = self._knobs.paddle_half_width_px
        paddle_left = (paddle_x - half_width) // self._downsample - _REACH
        paddle_right = -(-(paddle_x + half_width) // self._downsample) + _REACH
        top, bottom = np.maximum(rows, self.strip_row), rows + patch_height
        left = np.maximum(columns, paddle_left)
        right = np.minimum(columns + patch_width, paddle_right)
        changed = np.flatnonzero((top < bottom) & (left < right))
        for i in changed.tolist():
            shared = Window(int(top[i]), int(bottom[i]), int(left[i]), int(right[i]))
            inside = patches[i, shared.top - rows[i] :, shared.left - columns[i] :]
            inside[:, : shared.right - shared.left] = self._draw_shared_patch(
                shared, int(ball_x[i]), int(ball_y[i]), int(paddle_x[i])
            )
        return changed

    def _draw_shared_patch(self, patch: Window, ball_x: int, ball_y: int, paddle_x: int) -> Pixels:
        """Draw a patch with ball and paddle, or find it.

        Away from the border, patches that differ by whole pixels of the picture look the same. So
        all are drawn at the leftmost place that the border does not change.
        """
        _, width, _ = self.shape
        if patch.left >= _REACH and patch.right + _REACH <= width:
            shift = patch.left - _REACH
            patch = Window(patch.top, patch.bottom, _REACH, patch.right - shift)
            ball_x, paddle_x = (x - shift * self._downsample for x in (ball_x, paddle_x))
        return self._draw_once(patch, ball_x, ball_y, paddle_x)

    def _patch_starts(self, last_px: int, axis: int) -> tuple[IntArray, IntArray, IntArray]:
        """Return, for each ball position along one axis, where its patch starts and how it looks.

        Returns:
            [last_px + 1] int: the first row (or column) of the patch in the picture; [k] int: one
            position for each of the k different looks; [last_px + 1] int: which look it has.
        """
        patch_length, picture_length = self.patch_shape[axis], self.shape[axis]
        position = np.arange(last_px + 1)
        start = (position - self._knobs.ball_start_y_px) // self._downsample - _REACH
        # Here the filter does not reach the border, so only the remainder matters.
        is_inside = (start >= _REACH) & (start + patch_length + _REACH <= picture_length)
        same = position.copy()
        for remainder in range(self._downsample):
            alike = is_inside & (position % self._downsample == remainder)
            same[alike] = position[alike].min(initial=last_px)
        looks, look = np.unique(same, return_inverse=True)
        return np.clip(start, 0, picture_length - patch_length), looks, look

    def _draw_patch(self, patch: Window, ball_x: int, ball_y: int, paddle_x: int | None) -> Pixels:
        """Draw a window of the picture: shrink only that part of the screen on which it depends."""
        downsample = self._downsample
        top, left = max(patch.top - _REACH, 0), max(patch.left - _REACH, 0)
        window = Window(
            top * downsample,
            min((patch.bottom + _REACH) * downsample, SCREEN_HEIGHT_PX),
            left * downsample,
            min((patch.right + _REACH) * downsample, SCREEN_WIDTH_PX),
        )
        image = Image.fromarray(draw_screen(self._knobs, ball_x, ball_y, paddle_x, window))
        # Pillow rounds to bytes between its two passes, so their order changes the result. For a
        # screen it resizes the width first. Pillow 13 resizes the height first if an image is more
        # than twice as high as wide, as a window can be: hence one pass at a time.
        image = image.resize((image.width // downsample, image.height))
        image = image.resize((image.width, image.height // downsample))
        small = np.asarray(image)
        return small[patch.top - top : patch.bottom - top, patch.left - left : patch.right - left]


@lru_cache(4)
def parts_of(knobs: CatchKnobs, downsample: int) -> PictureParts:
    """Return a flavor's parts, the same for all environments of this process.

    What was drawn for training needs no drawing in an evaluation. Each environment still has its
    own arrays of patches, `DrawnOnce`, because environments in other threads would change them.
    """
    return PictureParts(knobs, downsample)


class DrawnOnce:
    """A cache of patches: each is drawn at its first use; all are dropped if it is full.

    Args:
        draw: Draws the patch of a key.
        num_keys: Keys are 0 to num_keys - 1.
        shape: The shape of a patch.
        most_at_once: The largest number of keys in one call.

    Attributes:
        patches: [room, *shape] uint8, the cached patches.
    """

    def __init__(
        self,
        draw: Callable[[int], Pixels],
        num_keys: int,
        shape: tuple[int, ...],
        most_at_once: int,
    ) -> None:
        self._draw = draw
        room = max(_CACHE_BYTES // int(np.prod(shape)), most_at_once)
        self.patches = np.empty((min(room, num_keys), *shape), np.uint8)
        self._place = np.full(num_keys, -1)
        self._num_kept = 0

    def places(self, keys: IntArray) -> IntArray:
        """Return the indices in `patches` of [n] keys, [n] int; valid until the next call."""
        places = self._place[keys]
        if (places < 0).any():
            self._draw_missing(keys)
            places = self._place[keys]
        return places

    def _draw_missing(self, keys: IntArray) -> slice:
        """Draw the patches that are not cached, and return where in `patches` they are."""
        missing = np.unique(keys[self._place[keys] < 0])
        if self._num_kept + len(missing) > len(self.patches):
            self._place[:] = -1
            self._num_kept = 0
            missing = np.unique(keys)
        drawn = slice(self._num_kept, self._num_kept + len(missing))
        for place, key in enumerate(missing.tolist(), start=drawn.start):
            self.patches[place] = self._draw(key)
            self._place[key] = place
        self._num_kept = drawn.stop
        return drawn


class CatchPictures:
    """The pictures of N screens; an update repaints only what has changed.

    Attributes:
        pictures: [N, H, W, 3] uint8; `draw` overwrites it in place.
    """

    def __init__(self, knobs: CatchKnobs, num_pictures: int, downsample: int) -> None:
        self._parts = parts = parts_of(knobs, downsample)
        self.pictures = np.empty((num_pictures, *parts.shape), np.uint8)
        self.pictures[:] = parts.background
        # windows[n, row, column] is the patch of picture n that starts at (row, column).
        self._windows = np.lib.stride_tricks.sliding_window_view(
            self.pictures, parts.patch_shape, axis=(1, 2, 3), writeable=True
        )[:, :, :, 0]
        self._ball_row = np.zeros(num_pictures, np.int64)
        self._ball_column = np.zeros(num_pictures, np.int64)
        self._balls = DrawnOnce(
            parts.draw_ball, parts.num_ball_keys, parts.patch_shape, num_pictures
        )
        self._strips = DrawnOnce(
            parts.draw_paddle, parts.num_strip_keys, parts.strip_shape, num_pictures
        )

    def draw(self, which: IntArray, ball_x: IntArray, ball_y: IntArray, paddle_x: IntArray) -> None:
        """Update some pictures.

        Args:
            which: [n] int, the indices of the pictures, each at most once.
            ball_x: [n] int, the ball's center in screen pixels, 0 to 320.
            ball_y: [n] int, likewise, 0 or more.
            paddle_x: [n] int, the paddle's center in screen pixels, 0 to 320.
        """
        parts = self._parts
        self._windows[which, self._ball_row[which], self._ball_column[which]] = parts.background
        strips = self._strips.patches[self._strips.places(paddle_x)]
        self.pictures[which, parts.strip_row :] = strips

        rows, columns, keys = parts.find_ball(ball_x, ball_y)
        patches = self._balls.patches[self._balls.places(keys)]
        parts.draw_shared(patches, rows, columns, ball_x, ball_y, paddle_x)
        self._windows[which, rows, columns] = patches
        self._ball_row[which], self._ball_column[which] = rows, columns

    def copy(self, which: IntArray | None = None) -> Pixels:
        """Return a copy of all pictures, or of those with [n] indices."""
        return self.pictures.copy() if which is None else self.pictures[which]
