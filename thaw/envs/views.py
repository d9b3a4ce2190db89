"""Views on foreign environments: observations as one array, images with their channels last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import DTypeLike, NDArray

from thaw.config.errors import InputError, nearest

CHANNEL_COUNTS = (1, 3, 4)
"""Gray, RGB, and RGBA or four stacked grays; ``auto`` recognizes channels by these sizes."""

SUPPORTED = (
    "supported are Box spaces of one to three dimensions (vectors, images), Discrete, and Dict "
    "with one of these under observation_key"
)


class View(NamedTuple):
    """How the observations of a space are shown to a policy."""

    space: spaces.Box
    """uint8 if the original space is, else float32."""
    show: Callable[[Any], NDArray[Any]]
    """Takes one observation or a batch of them."""


def view_of(
    space: gymnasium.Space[Any],
    where: str,
    *,
    observation_key: str | None = None,
    channel_order: Literal["auto", "first", "last"] = "auto",
) -> View:
    """Return how observations are shown to a policy.

    Vectors stay vectors. Images become [height, width, channels]; an image without channels gets
    one. A Discrete number becomes a one-hot vector. uint8 stays, all else becomes float32.

    Args:
        space: The space of one observation.
        where: Names the environment in errors.
        observation_key: The entry of a Dict that is shown; the others are left out.
        channel_order: ``first`` or ``last``. ``auto`` decides by the sizes: channels come first
            if the first dimension is 1, 3 or 4 and the last is not.

    Raises:
        InputError: The space cannot be shown, or the key is missing or not needed.
    """
    if isinstance(space, spaces.Dict):
        keys = list(space.spaces)
        if observation_key not in keys:
            problem = (
                "observations are a Dict."
                if observation_key is None
                else f"no observation '{observation_key}'{nearest(observation_key, keys)}"
            )
            raise InputError(
                f"{where}: {problem} Choose what the policy sees with observation_key=KEY; keys: "
                f"{', '.join(keys)}"
            )
        inner = view_of(space[observation_key], where, channel_order=channel_order)
        return View(inner.space, lambda observation: inner.show(observation[observation_key]))
    if observation_key is not None:
        raise InputError(f"{where}: observations are {space}, no Dict; leave out observation_key")
    if isinstance(space, spaces.Discrete):
        eye, start = np.eye(int(space.n), dtype=np.float32), int(space.start)
        return View(
            spaces.Box(0, 1, (int(space.n),), np.float32),
            lambda observation: np.asarray(eye[np.asarray(observation) - start]),
        )
    if not isinstance(space, spaces.Box) or not 1 <= len(space.shape) <= 3:
        raise InputError(f"{where}: observations are {space}; {SUPPORTED}")
    show = _show_box(space, channel_order)
    with np.errstate(over="ignore"):  # the bound of an unbounded float64 is infinite in float32
        low, high = show(space.low), show(space.high)
    return View(spaces.Box(low, high, dtype=low.dtype.type), show)


def _show_box(
    space: spaces.Box, channel_order: Literal["auto", "first", "last"]
) -> Callable[[Any], NDArray[Any]]:
    dtype: DTypeLike = np.uint8 if space.dtype == np.uint8 else np.float32
    shape = space.shape
    if len(shape) == 2:
        return lambda observation: np.asarray(observation, dtype)[..., None]
    looks_first = len(shape) == 3 and shape[0] in CHANNEL_COUNTS and shape[2] not in CHANNEL_COUNTS
    if len(shape) == 3 and (channel_order == "first" or (channel_order == "auto" and looks_first)):
        return lambda observation: np.moveaxis(np.asarray(observation, dtype), -3, -1)
    return lambda observation: np.asarray(observation, dtype)
