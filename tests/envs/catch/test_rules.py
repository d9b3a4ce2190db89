from __future__ import annotations

import numpy as np
import pytest
from kotlin_catch import kotlin_fall, kotlin_intersects, kotlin_throw_end

from thaw.envs.catch.knobs import VARIANTS, CatchKnobs
from thaw.envs.catch.rules import check_catch_is_possible, fall, is_caught


@pytest.mark.parametrize(
    ("knobs", "end_y", "reach_px"),
    [
        # y ends beyond 480 - r; the reach is half the paddle and sqrt(r^2 - (top - y)^2).
        pytest.param({}, 472, 49, id="default: 40 + sqrt(96) = 49.8"),
        pytest.param({"ball_radius": 30.0}, 453, 64, id="large ball: 40 + sqrt(611) = 64.7"),
        pytest.param({"ball_radius": 7.0}, 475, 44, id="small ball: 40 + sqrt(24) = 44.9"),
        pytest.param({"paddle_width": 40}, 472, 29, id="small paddle: 20 + sqrt(96) = 29.8"),
        pytest.param({"paddle_width": 41}, 472, 29, id="an odd width is cut down"),
        pytest.param({"paddle_height": 18}, 472, 40, id="top 462: 40 + sqrt(0) = 40"),
        pytest.param({"paddle_width": 147}, 472, 82, id="widest whose squares fit: 73 + 9.8"),
    ],
)
def test_a_ball_is_caught_up_to_this_distance(
    knobs: dict[str, float], end_y: int, reach_px: int
) -> None:
    rules = CatchKnobs(**knobs)  # type: ignore[arg-type]  # a table of mixed numbers
    y, ended = fall(rules, np.array([rules.ball_start_y_px]), np.full((1, 200), 16))
    assert (y[0], ended[0]) == (end_y, True)
    offsets = np.arange(-120, 121)
    caught = is_caught(rules, 160 + offsets, np.full(241, end_y), np.full(241, 160))
    assert offsets[caught].tolist() == list(range(-reach_px, reach_px + 1))


def test_default_throw_takes_154_updates() -> None:
    knobs, start = CatchKnobs(), np.array([10])
    assert fall(knobs, start, np.full((1, 153), 16))[0] == 469
    assert not fall(knobs, start, np.full((1, 153), 16))[1]
    assert fall(knobs, start, np.full((1, 154), 16))[0] == 472
    assert fall(knobs, start, np.full((1, 154), 16))[1]


@pytest.mark.parametrize("variant", VARIANTS)
def test_falls_like_the_app_with_frames_of_any_length(variant: str) -> None:
    rng = np.random.default_rng(1)
    knobs = CatchKnobs(**VARIANTS[variant])
    frames_ms = rng.integers(5, 40, size=(300, 480))
    y, ended = fall(knobs, np.full(300, knobs.ball_start_y_px), frames_ms)
    assert ended.all()
    assert y.tolist() == [kotlin_throw_end(knobs, row) for row in frames_ms.tolist()]


def test_speed_times_time_is_taken_in_single_precision() -> None:
    # 0.57 x 100 is 56.99999999999999 in double precision, but 57 in single.
    knobs = CatchKnobs(ball_speed=0.57, ball_radius=60.0)
    assert kotlin_fall(0.57, 100) == 57
    assert fall(knobs, np.array([60]), np.array([[100]]))[0] == 117


def test_catches_like_the_app_also_where_its_integers_wrap() -> None:
    rng = np.random.default_rng(2)
    num_wrapped = 0
    for _ in range(40):
        knobs = CatchKnobs(
            ball_radius=float(rng.choice([7, 10, 12.5, 30, 59.9])),
            paddle_width=int(rng.choice([2, 40, 80, 147, 148, 200, 320, 501, 640])),
            paddle_height=int(rng.choice([2, 10, 11, 30])),
        )
        x, paddle_x = rng.integers(0, 320, 400), rng.integers(0, 321, 400)
        y = rng.integers(400, 500, 400)
        caught = is_caught(knobs, x, y, paddle_x)
        positions = zip(x.tolist(), y.tolist(), paddle_x.tolist(), strict=True)
        assert caught.tolist() == [kotlin_intersects(knobs, *position) for position in positions]
        lies_on = np.abs(x - paddle_x) <= knobs.paddle_width // 2
        is_level = np.abs(knobs.paddle_top_px - y) <= knobs.ball_radius
        num_wrapped += int((lies_on & is_level & ~caught).sum())
    assert num_wrapped > 100  # fair catches that the app counts as misses: the table has teeth


@pytest.mark.parametrize(
    ("knobs", "frame_ms", "jitter_ms"),
    [
        ({"ball_radius": 7.0}, 16, 0),
        ({"ball_radius": 6.5, "paddle_height": 9}, 16, 0),
        ({"ball_radius": 6.0}, 5, 0),  # 1 px a frame: y ends at 475, the top is 470
        ({"ball_speed": 1.0}, 1, 20),
        ({"ball_speed": 0.05}, 16, 4),  # 20 ms x 0.05 is a whole pixel
    ],
)
def test_rules_with_some_catch_pass(knobs: dict[str, float], frame_ms: int, jitter_ms: int) -> None:
    rules = CatchKnobs(**knobs)  # type: ignore[arg-type]  # a table of mixed numbers
    check_catch_is_possible(rules, frame_ms, jitter_ms)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"ball_radius": 6.0}, "no ball can be caught with ball_radius=6.0"),
        ({"ball_speed": 2.0}, "the pixels fallen in a frame (32 here)"),
        ({"paddle_height": 40}, "enlarge ball_radius or lower one of the others"),
        ({"ball_speed": 0.06}, "never moves the ball: a frame of 16 ms"),
    ],
)
def test_rules_without_any_catch_are_refused(knobs: dict[str, float], message: str) -> None:
    rules = CatchKnobs(**knobs)  # type: ignore[arg-type]  # a table of mixed numbers
    with pytest.raises(ValueError, match=r"catch|never moves") as error:
        check_catch_is_possible(rules, 16, 0)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
