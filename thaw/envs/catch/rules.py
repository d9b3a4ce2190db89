"""The rules of AndroidEnv's Catch app: how the ball falls, and what counts as a catch.

The arithmetic is the app's: 32-bit integers that wrap around, single-precision floats, truncation
toward zero. It decides throws at the edge of the paddle.

Source: AndroidEnv's Catch app (GameLogic.kt, sprite/Ball.kt, sprite/Paddle.kt).
Legend: N throws, F frames. Positions are whole screen pixels, x to the right, y downward.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thaw.envs.catch.knobs import SCREEN_HEIGHT_PX, SCREEN_WIDTH_PX, CatchKnobs

BoolArray = npt.NDArray[np.bool_]

IntArray = npt.NDArray[np.int64]


def is_out_of_bounds(knobs: CatchKnobs, ball_y: IntArray) -> BoolArray:
    """Return whether the ball has left the screen at the bottom or top (Ball.isOutOfBounds).

    Args:
        knobs: The app's options.
        ball_y: [...] int, the ball's center in pixels.

    Returns:
        [...] bool.
    """
    radius = np.float32(knobs.ball_radius)
    y = ball_y.astype(np.float32)
    is_out: BoolArray = (y + radius > SCREEN_HEIGHT_PX) | (y - radius < 0)
    return is_out


def pixels_fallen(knobs: CatchKnobs, frame_ms: IntArray) -> IntArray:
    """Return how far the ball falls in a frame: speed x time, in whole pixels (Ball.update).

    Args:
        knobs: The app's options.
        frame_ms: [...] int, the frame's length in milliseconds.

    Returns:
        [...] int, pixels.
    """
    pixels: IntArray = (np.float32(knobs.ball_speed) * frame_ms.astype(np.float32)).astype(np.int64)
    return pixels


def fall(knobs: CatchKnobs, ball_y: IntArray, frames_ms: IntArray) -> tuple[IntArray, BoolArray]:
    """Let every ball fall for some frames, or until it is out of bounds (GameLogic.run).

    Args:
        knobs: The app's options.
        ball_y: [N] int, the balls' centers in pixels.
        frames_ms: [N, F] int, the length of each frame in milliseconds.

    Returns:
        The balls' new y, [N] int, and whether the throw has ended, [N] bool.
    """
    path: IntArray = ball_y[:, None] + np.cumsum(pixels_fallen(knobs, frames_ms), axis=1)
    is_out = is_out_of_bounds(knobs, path)
    ended: BoolArray = np.asarray(is_out.any(axis=1))
    last_frame = np.where(ended, is_out.argmax(axis=1), frames_ms.shape[1] - 1)
    return path[np.arange(len(path)), last_frame], ended


def is_caught(
    knobs: CatchKnobs, ball_x: IntArray, ball_y: IntArray, paddle_x: IntArray
) -> BoolArray:
    """Return whether the ball touches the paddle's top edge (Ball.intersects).

    The app solves a quadratic equation in m: where does the edge's line, p0 + m (p1 - p0), cross
    the circle? Its integers have 32 bits and its floats single precision. With paddles wider than
    about 147 px some squares therefore wrap around, and a catch counts as a miss.

    Args:
        knobs: The app's options.
        ball_x: [...] int, the ball's center in pixels.
        ball_y: [...] int, likewise.
        paddle_x: [...] int, the paddle's center in pixels.

    Returns:
        [...] bool, of the three arrays' common shape.
    """
    edge = np.int32(2 * knobs.paddle_half_width_px)
    radius = np.float32(knobs.ball_radius)
    # From the ball's center to the left end of the edge.
    to_edge_x = (paddle_x - knobs.paddle_half_width_px - ball_x).astype(np.int32)
    to_edge_y = (knobs.paddle_top_px - ball_y).astype(np.int32)
    with np.errstate(over="ignore", invalid="ignore"):  # int32 wraps, as in the app
        a = edge * edge
        b = 2 * (to_edge_x * edge)
        c = (to_edge_x * to_edge_x + to_edge_y * to_edge_y).astype(np.float32) - radius * radius
        delta = (b * b).astype(np.float32) - (4 * a).astype(np.float32) * c
        root = np.sqrt(delta)
        first = ((-b).astype(np.float32) - root) / (2 * a).astype(np.float32)
        second = ((-b).astype(np.float32) + root) / (2 * a).astype(np.float32)
    crosses = ((first >= 0) & (first <= 1)) | ((second >= 0) & (second <= 1))
    encloses = (first < 0) & (second > 1)
    meets: BoolArray = (delta >= 0) & (crosses | encloses)
    return meets


def check_catch_is_possible(knobs: CatchKnobs, frame_ms: int, frame_jitter_ms: int) -> None:
    """Check that there is a throw that can be caught.

    It tries every y at which a throw can end with every offset of the paddle from the ball.

    Args:
        knobs: The app's options.
        frame_ms: The shortest frame in milliseconds.
        frame_jitter_ms: How much longer a frame can be.

    Raises:
        ValueError: The ball never moves, or no throw can be caught.
    """
    frames_ms = np.arange(frame_ms, frame_ms + frame_jitter_ms + 1)
    moves = np.unique(pixels_fallen(knobs, frames_ms))
    if moves[-1] == 0:
        raise ValueError(
            f"ball_speed={knobs.ball_speed} never moves the ball: a frame of {frames_ms[-1]} ms "
            f"moves it by less than one pixel; use at least {1 / frames_ms[-1]:.4g}"
        )
    todo = [knobs.ball_start_y_px]
    seen = set(todo)
    ends: set[int] = set()
    for y in todo:
        after = y + moves[moves > 0]
        is_out = is_out_of_bounds(knobs, after)
        ends.update(after[is_out].tolist())
        fresh = set(after[~is_out].tolist()) - seen
        todo.extend(fresh)
        seen |= fresh
    end_y = np.array(sorted(ends))
    offsets = np.arange(-SCREEN_WIDTH_PX, SCREEN_WIDTH_PX + 1)
    if not is_caught(knobs, np.zeros(1, np.int64), end_y[:, None], offsets).any():
        raise ValueError(
            f"no ball can be caught with ball_radius={knobs.ball_radius}, ball_speed="
            f"{knobs.ball_speed}, paddle_height={knobs.paddle_height}, frame_ms={frame_ms}: a "
            "catch needs 2 x ball_radius >= paddle_height + the pixels fallen in a frame "
            f"({moves[moves > 0][0]} here); enlarge ball_radius or lower one of the others"
        )
