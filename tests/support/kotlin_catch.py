"""A second, scalar writing of the Catch app, with Kotlin's Int and Float by hand."""

from __future__ import annotations

import math
import struct

from thaw.envs.catch.knobs import CatchKnobs


def as_int(value: int) -> int:
    """Kotlin's Int: 32 bits, wrapping around."""
    return (value + 2**31) % 2**32 - 2**31


def as_float(value: float) -> float:
    """Kotlin's Float: single precision."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def kotlin_is_out(radius: float, y: int) -> bool:
    return as_float(y + as_float(radius)) > 480 or as_float(y - as_float(radius)) < 0


def kotlin_fall(speed: float, milliseconds: int) -> int:
    return int(as_float(as_float(speed) * milliseconds))


def kotlin_intersects(knobs: CatchKnobs, x: int, y: int, paddle_x: int) -> bool:
    half_width, half_height = knobs.paddle_width // 2, knobs.paddle_height // 2
    top = 480 - half_height - half_height
    direction = 2 * half_width
    u, v = paddle_x - half_width - x, top - y
    radius = as_float(knobs.ball_radius)
    a = as_int(direction * direction)
    b = as_int(2 * as_int(u * direction))
    c = as_float(as_float(as_int(as_int(u * u) + as_int(v * v))) - as_float(radius * radius))
    four_ac = as_float(as_float(as_int(4 * a)) * c)
    delta = as_float(as_float(as_int(b * b)) - four_ac)
    if delta < 0:
        return False
    root = as_float(math.sqrt(delta))
    two_a = as_float(as_int(2 * a))
    m1 = as_float(as_float(as_float(as_int(-b)) - root) / two_a)
    m2 = as_float(as_float(as_float(as_int(-b)) + root) / two_a)
    return 0 <= m1 <= 1 or 0 <= m2 <= 1 or (m1 < 0 and m2 > 1)


def kotlin_throw_end(knobs: CatchKnobs, milliseconds: list[int]) -> int:
    """The y where a throw ends."""
    y = math.ceil(as_float(knobs.ball_radius))
    for dt in milliseconds:
        y += kotlin_fall(knobs.ball_speed, dt)
        if kotlin_is_out(knobs.ball_radius, y):
            return y
    raise AssertionError("the throw did not end")
