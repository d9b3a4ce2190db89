"""The Catch app's own options, and the five variants.

Source: AndroidEnv's Catch app (MainActivity.kt reads the extras, sprite/Ball.kt and
sprite/Paddle.kt derive the rest). Positions are whole screen pixels, x to the right, y downward.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

SCREEN_WIDTH_PX: Final = 320

SCREEN_HEIGHT_PX: Final = 480

# What each variant changes. The paper names the variants but gives no values: these are ours. A
# ball of radius 6 or less can never be caught.
VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "default": {},
    "large_ball": {"ball_radius": 30.0},
    "small_ball": {"ball_radius": 7.0},
    "small_paddle": {"paddle_width": 40},
    "red_background": {"background_color": "RED"},
}

# The names that android.graphics.Color.parseColor knows, as #RRGGBB.
COLOR_NAMES: Final[Mapping[str, str]] = {
    "aqua": "#00FFFF",
    "black": "#000000",
    "blue": "#0000FF",
    "cyan": "#00FFFF",
    "darkgray": "#444444",
    "darkgrey": "#444444",
    "fuchsia": "#FF00FF",
    "gray": "#888888",
    "green": "#00FF00",
    "grey": "#888888",
    "lightgray": "#CCCCCC",
    "lightgrey": "#CCCCCC",
    "lime": "#00FF00",
    "magenta": "#FF00FF",
    "maroon": "#800000",
    "navy": "#000080",
    "olive": "#808000",
    "purple": "#800080",
    "red": "#FF0000",
    "silver": "#C0C0C0",
    "teal": "#008080",
    "white": "#FFFFFF",
    "yellow": "#FFFF00",
}


class Color(NamedTuple):
    """A color as the app parses it: red, green, blue and alpha (opacity), each 0 to 255."""

    red: int
    green: int
    blue: int
    alpha: int


@dataclass(frozen=True, kw_only=True)
class CatchKnobs:
    """The seven intent extras of the app, with its defaults (MainActivity.kt).

    Raises:
        ValueError: A value has the wrong type or is out of range.
    """

    background_color: str = "BLACK"
    """A name in `COLOR_NAMES` in any case, #RRGGBB, or #AARRGGBB with alpha FF."""
    ball_color: str = "WHITE"
    """A name, #RRGGBB or #AARRGGBB; with an alpha below FF the background shows through."""
    ball_radius: float = 10.0
    """Pixels, 1 to 240 (a ball of 240 is as high as the screen)."""
    ball_speed: float = 0.2
    """Pixels per millisecond, 0.001 to 480; the fall in a frame is rounded down to pixels."""
    paddle_color: str = "WHITE"
    """Likewise; with an alpha below FF ball and background show through."""
    paddle_width: int = 80
    """Pixels, 2 (the app uses half of it, in whole pixels) to 640 (twice the screen)."""
    paddle_height: int = 10
    """Pixels, 2 to 480. The paddle touches the screen's lower edge."""

    def __post_init__(self) -> None:
        for name in ("background_color", "ball_color", "paddle_color"):
            parse_color(name, getattr(self, name))
        if parse_color("background_color", self.background_color).alpha != 255:
            raise ValueError(
                f"background_color={self.background_color!r} is transparent, but the background "
                "must be opaque; use alpha FF or leave the alpha out"
            )
        check_number("ball_radius", self.ball_radius, 1, 240)
        check_number("ball_speed", self.ball_speed, 0.001, 480)
        check_whole_number("paddle_width", self.paddle_width, 2, 640)
        check_whole_number("paddle_height", self.paddle_height, 2, 480)

    @property
    def ball_start_y_px(self) -> int:
        """The y at which the ball's center starts."""
        return math.ceil(np.float32(self.ball_radius))

    @property
    def paddle_half_width_px(self) -> int:
        """How far the paddle reaches to each side of its center."""
        return self.paddle_width // 2

    @property
    def paddle_top_px(self) -> int:
        """The y of the paddle's top edge, which must touch the ball."""
        return SCREEN_HEIGHT_PX - 2 * (self.paddle_height // 2)


def parse_color(name: str, value: object) -> Color:
    """Return a color as android.graphics.Color.parseColor reads it.

    Args:
        name: The option's name, for the error.
        value: A name in `COLOR_NAMES` in any case, #RRGGBB or #AARRGGBB.

    Raises:
        ValueError: `value` is none of these.
    """
    digits = COLOR_NAMES.get(value.lower(), value) if isinstance(value, str) else ""
    if not re.fullmatch(r"#([0-9a-fA-F]{2})?[0-9a-fA-F]{6}", digits):
        raise ValueError(
            f"{name}={value!r} is not an Android color; use #RRGGBB, #AARRGGBB or one of "
            + ", ".join(COLOR_NAMES)
        )
    number = int(digits[1:], 16)
    alpha = number >> 24 if len(digits) == 9 else 255
    return Color((number >> 16) & 255, (number >> 8) & 255, number & 255, alpha)


def check_whole_number(name: str, value: object, low: int, high: int) -> None:
    """Check that a value is a whole number from `low` to `high`.

    Args:
        name: The option's name, for the error.
        value: The value that the user gave.
        low: The smallest value allowed.
        high: The largest value allowed.

    Raises:
        ValueError: `value` is not an integer (a bool is not one) or is out of range.
    """
    is_bool, numbers = isinstance(value, bool), int | np.integer
    if is_bool or not isinstance(value, numbers) or not low <= value <= high:
        raise ValueError(f"{name}={value!r} must be a whole number from {low} to {high}")


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Check that a value is a number from `low` to `high`.

    Args:
        name: The option's name, for the error.
        value: The value that the user gave.
        low: The smallest value allowed.
        high: The largest value allowed.

    Raises:
        ValueError: `value` is not a number (a bool is not one) or is out of range.
    """
    is_bool, numbers = isinstance(value, bool), int | float | np.integer | np.floating
    if is_bool or not isinstance(value, numbers) or not low <= value <= high:
        raise ValueError(f"{name}={value!r} must be a number from {low:g} to {high:g}")


def check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Check that a value is one of `choices`.

    Args:
        name: The option's name, for the error.
        value: The value that the user gave.
        choices: The allowed values.

    Raises:
        ValueError: No choice equals `value` in value and type.
    """
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(f"{name}={value!r} must be one of {', '.join(map(str, choices))}")
