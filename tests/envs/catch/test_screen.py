from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from PIL import Image
from shrink import shrink

from thaw.envs.catch import pictures as catch_pictures
from thaw.envs.catch.knobs import VARIANTS, CatchKnobs
from thaw.envs.catch.pictures import CatchPictures
from thaw.envs.catch.screen import Pixels, Window, draw_screen

# Paddles and balls that the variants do not have: odd, fractional, transparent, larger than a
# picture of few pixels.
ODD_KNOBS: list[dict[str, Any]] = [
    {"ball_radius": 9.3, "paddle_width": 33, "paddle_height": 7},
    {"ball_radius": 100.5, "ball_color": "#80FF8000", "paddle_height": 60},
    {"background_color": "#123456", "paddle_color": "#40FFFFFF", "paddle_width": 640},
    {"ball_radius": 1.0, "ball_color": "lime", "paddle_width": 2, "paddle_height": 2},
]
ALL_KNOBS = [*VARIANTS.values(), *ODD_KNOBS]


def draw_with_pillow_and_by_hand(
    knobs: CatchKnobs, x: int, y: int, paddle_x: int, downsample: int
) -> Pixels:
    """What AndroidEnv's wrapper would make of the whole screen."""
    image = Image.fromarray(draw_screen(knobs, x, y, paddle_x))
    return np.array(image.resize((320 // downsample, 480 // downsample), Image.Resampling.BICUBIC))


def test_ball_is_a_disk_around_the_corner_of_four_pixels() -> None:
    screen = draw_screen(CatchKnobs(paddle_color="BLACK"), 100, 200, 160)
    assert screen.shape == (480, 320, 3)
    assert (screen[..., 0] == screen[..., 1]).all()
    rows, columns = np.nonzero(screen[..., 0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (190, 209, 90, 109)
    ball = screen[190:210, 90:110, 0]
    for mirrored in (ball[::-1], ball[:, ::-1], ball.T):
        np.testing.assert_array_equal(ball, mirrored)
    assert ball.sum() / 255 == pytest.approx(math.pi * 100, rel=0.002)
    # White where the pixel's farthest corner is within the radius, black where its nearest is not.
    corner = np.abs(np.arange(20)[:, None] - 9.5) + 0.5, np.abs(np.arange(20) - 9.5) + 0.5
    farthest, nearest = np.hypot(*corner), np.hypot(corner[0] - 1, corner[1] - 1)
    assert (ball[farthest <= 10] == 255).all()
    assert (ball[nearest >= 10] == 0).all()
    assert ((ball > 0) & (ball < 255)).any()


def test_paddle_is_a_full_rectangle_on_the_lower_edge() -> None:
    screen = draw_screen(CatchKnobs(paddle_color="#010203"), 20, 20, 160)
    expected = np.zeros((30, 320, 3), np.uint8)
    expected[20:, 120:200] = (1, 2, 3)
    np.testing.assert_array_equal(screen[450:], expected)


def test_paddle_and_ball_hang_off_the_edges() -> None:
    knobs = CatchKnobs(paddle_width=41, paddle_height=11, ball_radius=30.0)
    left = draw_screen(knobs, 0, 200, 0)
    assert left[470:, :20].all()
    assert not left[470:, 20:].any()
    middle = draw_screen(knobs, 100, 200, 100)
    np.testing.assert_array_equal(left[:460, :219], middle[:460, 100:319])
    right = draw_screen(knobs, 319, 200, 320)
    assert right[470:, 300:].all()
    assert not right[470:, :300].any()
    np.testing.assert_array_equal(right[:460, 219:], middle[:460, :101])


def test_paddle_lies_on_top_of_the_ball() -> None:
    knobs = CatchKnobs(ball_color="RED", paddle_color="LIME")
    screen = draw_screen(knobs, 160, 472, 160)
    assert (screen[470:, 120:200] == (0, 255, 0)).all()
    assert (screen[465:470, 158:162] == (255, 0, 0)).all()
    assert (draw_screen(knobs, 160, 472, None)[470:475, 158:162] == (255, 0, 0)).all()


def test_alpha_lets_what_is_below_through() -> None:
    knobs = CatchKnobs(background_color="BLUE", ball_color="#80FFFFFF", paddle_color="#33000000")
    screen = draw_screen(knobs, 160, 472, 160)
    assert screen[468, 160].tolist() == [128, 128, 255]
    assert screen[471, 160].tolist() == [round(128 * 0.8), round(128 * 0.8), 204]
    assert screen[475, 130].tolist() == [0, 0, 204]


def test_a_window_is_a_part_of_the_screen() -> None:
    knobs = CatchKnobs(ball_radius=30.0)
    whole = draw_screen(knobs, 50, 440, 60)
    for top, bottom, left, right in [(400, 480, 0, 320), (0, 5, 0, 5), (430, 475, 33, 61)]:
        part = draw_screen(knobs, 50, 440, 60, Window(top, bottom, left, right))
        np.testing.assert_array_equal(part, whole[top:bottom, left:right])


def test_shrink_is_pillows_bicubic_filter() -> None:
    screen = np.random.default_rng(0).integers(0, 256, (480, 320, 3), np.uint8)
    by_name = Image.fromarray(screen).resize((80, 120), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(shrink(screen, 4), np.array(by_name))
    np.testing.assert_array_equal(shrink(screen, 1), screen)


@pytest.mark.parametrize("downsample", [1, 2, 4, 5, 10, 16, 40, 160])
@pytest.mark.parametrize("knobs", ALL_KNOBS, ids=str)
def test_pictures_equal_whole_screens_shrunk(knobs: dict[str, Any], downsample: int) -> None:
    look = CatchKnobs(**knobs)
    rng = np.random.default_rng(downsample)
    num_pictures, num_rounds = 3, 8 if downsample > 1 else 3
    pictures = CatchPictures(look, num_pictures, downsample)
    for round_ in range(num_rounds):
        x = rng.integers(0, 320, num_pictures)
        paddle_x = rng.integers(0, 321, num_pictures)
        y = rng.integers(look.ball_start_y_px, 480, num_pictures)
        if round_ % 2:  # where mistakes are likely: at the edges, at the paddle
            x = np.array([rng.integers(0, 12), rng.integers(308, 320), paddle_x[2] % 320])
            y = rng.integers(425, 500, num_pictures)
        pictures.draw(np.arange(num_pictures), x, y, paddle_x)
        for i, picture in enumerate(pictures.pictures):
            expected = draw_with_pillow_and_by_hand(
                look, int(x[i]), int(y[i]), int(paddle_x[i]), downsample
            )
            np.testing.assert_array_equal(picture, expected, err_msg=f"{x=} {y=} {paddle_x=}")


def test_every_position_near_the_paddle_is_exact() -> None:
    look = CatchKnobs(background_color="#402010", ball_color="CYAN", paddle_color="#C0FFFF00")
    pictures = CatchPictures(look, 1, 4)
    for y in range(438, 486, 5):
        for offset in range(-66, 67, 6):
            paddle_x = 160 + y % 4
            pictures.draw(
                np.array([0]), np.array([160 + offset]), np.array([y]), np.array([paddle_x])
            )
            expected = draw_with_pillow_and_by_hand(look, 160 + offset, y, paddle_x, 4)
            np.testing.assert_array_equal(pictures.pictures[0], expected, err_msg=f"{y} {offset}")


def test_only_the_named_pictures_change() -> None:
    pictures = CatchPictures(CatchKnobs(), 3, 4)
    everything = np.arange(3)
    pictures.draw(everything, np.full(3, 50), np.full(3, 100), np.full(3, 160))
    before = pictures.pictures.copy()
    pictures.draw(np.array([1]), np.array([200]), np.array([300]), np.array([20]))
    np.testing.assert_array_equal(pictures.pictures[[0, 2]], before[[0, 2]])
    assert (pictures.pictures[1] != before[1]).any()


def test_a_full_cache_starts_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_pictures, "_CACHE_BYTES", 1)
    look = CatchKnobs()
    pictures = CatchPictures(look, 4, 4)
    rng = np.random.default_rng(3)
    for _ in range(20):
        x, y, paddle_x = (rng.integers(0, end, 4) for end in (320, 470, 321))
        pictures.draw(np.arange(4), x, y, paddle_x)
        for i, picture in enumerate(pictures.pictures):
            position = int(x[i]), int(y[i]), int(paddle_x[i])
            np.testing.assert_array_equal(picture, draw_with_pillow_and_by_hand(look, *position, 4))
