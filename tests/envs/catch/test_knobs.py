from __future__ import annotations

from typing import Any

import pytest

from thaw.envs.catch.knobs import CatchKnobs, Color, parse_color


@pytest.mark.parametrize(
    ("text", "color"),
    [
        ("RED", Color(255, 0, 0, 255)),
        ("DarkGray", Color(0x44, 0x44, 0x44, 255)),
        ("#123456", Color(0x12, 0x34, 0x56, 255)),
        ("#80fF0001", Color(255, 0, 1, 128)),
        ("#00000000", Color(0, 0, 0, 0)),
    ],
)
def test_colors_parse_as_android_does(text: str, color: Color) -> None:
    assert parse_color("ball_color", text) == color


@pytest.mark.parametrize("text", ["", "pink", "#12345", "#1234567", "123456", "#GGGGGG", 255, None])
def test_other_colors_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"^ball_color=.* is not an Android color; use #RRGGBB"):
        parse_color("ball_color", text)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"background_color": "#80000000"}, "background_color='#80000000' is transparent"),
        ({"ball_color": "reed"}, "ball_color='reed' is not an Android color"),
        ({"ball_radius": 0.5}, "ball_radius=0.5 must be a number from 1 to 240"),
        ({"ball_radius": float("nan")}, "ball_radius=nan must be a number"),
        ({"ball_radius": "10"}, "ball_radius='10' must be a number"),
        ({"ball_speed": -0.2}, "ball_speed=-0.2 must be a number from 0.001 to 480"),
        ({"ball_speed": True}, "ball_speed=True must be a number"),
        ({"paddle_width": 1}, "paddle_width=1 must be a whole number from 2 to 640"),
        ({"paddle_width": 80.0}, "paddle_width=80.0 must be a whole number"),
        ({"paddle_height": 481}, "paddle_height=481 must be a whole number from 2 to 480"),
    ],
)
def test_bad_knobs_are_refused_in_one_line(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^(?!.*\n)") as error:
        CatchKnobs(**knobs)
    assert message in str(error.value)
