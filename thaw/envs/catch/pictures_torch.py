"""The pictures of `pictures` on a torch device: an update sends only a few numbers there.

Legend: N pictures of H x W pixels, a ball's patch of h x w.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from thaw.envs.catch.knobs import CatchKnobs, check_choice
from thaw.envs.catch.pictures import DrawnOnce, parts_of
from thaw.envs.catch.rules import IntArray
from thaw.envs.catch.screen import Pixels


class CatchPicturesOnDevice:
    """The same as `CatchPictures`, byte for byte, but on a torch device.

    The CPU decides what to draw and never waits for the device. All calls must be made on one
    CUDA stream, or on streams that wait for each other.

    Args:
        knobs: Colors and sizes.
        num_pictures: N.
        downsample: How many screen pixels become one, in each direction.
        drawn_on: cpu, cuda, or cuda:<index>.

    Attributes:
        pictures: [N, H, W, 3] uint8 on the device; `draw` overwrites it in place.

    Raises:
        ValueError: No such device here.
    """

    def __init__(
        self, knobs: CatchKnobs, num_pictures: int, downsample: int, drawn_on: str
    ) -> None:
        num_gpus = torch.cuda.device_count()
        gpus = ("cuda", *(f"cuda:{i}" for i in range(num_gpus))) if num_gpus else ()
        check_choice("drawn_on", drawn_on, (None, "cpu", *gpus))
        self._device = torch.device(drawn_on)
        self._parts = parts = parts_of(knobs, downsample)
        height, width, _ = parts.shape
        self._background = torch.from_numpy(parts.background).to(self._device)
        self.pictures = self._background.expand(num_pictures, *parts.shape).contiguous()
        self._below = self.pictures[:, parts.strip_row :]
        # All pixels in one line, and the distances of a patch's pixels from its first one.
        self._pixels = self.pictures.view(-1, 3)
        patch_height, patch_width, _ = parts.patch_shape
        rows, columns = np.arange(patch_height), np.arange(patch_width)
        in_patch = rows[:, None] * width + columns
        self._in_patch = torch.from_numpy(in_patch).to(self._device)
        self._first_pixel = np.arange(num_pictures) * height * width
        self._ball_pixel = self._first_pixel.copy()  # the first pixel of each picture's patch
        self._balls = _DrawnOnceAndSent(
            parts.draw_ball, parts.num_ball_keys, parts.patch_shape, num_pictures, self._device
        )
        self._strips = _DrawnOnceAndSent(
            parts.draw_paddle, parts.num_strip_keys, parts.strip_shape, num_pictures, self._device
        )

    def draw(self, which: IntArray, ball_x: IntArray, ball_y: IntArray, paddle_x: IntArray) -> None:
        """Update some pictures; see `CatchPictures.draw`."""
        rows, columns, keys = self._parts.find_ball(ball_x, ball_y)
        places = self._balls.places(keys)
        patches = self._balls.patches[places]
        changed = self._parts.draw_shared(patches, rows, columns, ball_x, ball_y, paddle_x)
        if len(changed):
            places[changed] = self._balls.send_spare(patches[changed])
        old_pixel = self._ball_pixel[which]
        new_pixel = self._first_pixel[which] + rows * self._parts.shape[1] + columns
        self._ball_pixel[which] = new_pixel

        # One transfer for all numbers, and one addition for both patches.
        numbers = _staged(
            np.stack([which, self._strips.places(paddle_x), places, old_pixel, new_pixel]),
            self._device,
        ).to(self._device, non_blocking=True)
        there, strip, ball = numbers[0], numbers[1], numbers[2]
        old, new = numbers[3:, :, None, None] + self._in_patch
        self._pixels[old] = self._background
        self._below[there] = self._strips.sent.index_select(0, strip)
        self._pixels[new] = self._balls.sent.index_select(0, ball)

    def copy(self, which: IntArray | None = None) -> torch.Tensor:
        """Return a copy of all pictures, or of those with [n] indices."""
        if which is None:
            return self.pictures.clone()
        there = _staged(which, self._device).to(self._device, non_blocking=True)
        return self.pictures.index_select(0, there)


class _DrawnOnceAndSent(DrawnOnce):
    """A cache of patches with a copy on the device.

    Attributes:
        sent: [room + most_at_once, *shape] uint8 on the device: `patches` at the same indices,
            and after them spare places for patches that are used only once.
    """

    def __init__(
        self,
        draw: Callable[[int], Pixels],
        num_keys: int,
        shape: tuple[int, ...],
        most_at_once: int,
        device: torch.device,
    ) -> None:
        super().__init__(draw, num_keys, shape, most_at_once)
        self._first_spare = len(self.patches)
        size = (self._first_spare + most_at_once, *shape)
        self.sent = torch.empty(size, dtype=torch.uint8, device=device)

    def send_spare(self, patches: Pixels) -> IntArray:
        """Send [n] patches; return their indices in `sent`, [n] int; valid until the next call."""
        spare = slice(self._first_spare, self._first_spare + len(patches))
        self._send(patches, spare)
        return np.arange(spare.start, spare.stop)

    def _draw_missing(self, keys: IntArray) -> slice:
        drawn = super()._draw_missing(keys)
        self._send(self.patches[drawn], drawn)
        return drawn

    def _send(self, patches: Pixels, places: slice) -> None:
        self.sent[places].copy_(_staged(patches, self.sent.device), non_blocking=True)


def _staged(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return an array as a CPU tensor from which a copy to the device is asynchronous.

    The pinned memory is new each time: PyTorch does not reuse it before it has been read.
    """
    tensor = torch.from_numpy(array)
    return tensor.pin_memory() if device.type == "cuda" else tensor
