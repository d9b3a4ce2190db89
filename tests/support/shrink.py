"""A screen made smaller as AndroidEnv's ImageRescaleWrapper does it: the reference for Catch."""

from __future__ import annotations

import numpy as np
from PIL import Image

from thaw.envs.catch.screen import Pixels


def shrink(screen: Pixels, downsample: int) -> Pixels:
    """Return a smaller screen.

    Args:
        screen: [height, width, 3] uint8, both sides divisible by `downsample`.
        downsample: How many screen pixels become one, in each direction.

    Returns:
        [height / downsample, width / downsample, 3] uint8.
    """
    height, width = screen.shape[0] // downsample, screen.shape[1] // downsample
    # The wrapper names no filter; Pillow's default is bicubic.
    return np.asarray(Image.fromarray(screen).resize((width, height)))
