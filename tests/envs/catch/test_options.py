from __future__ import annotations

import inspect
from typing import Any

import pytest

from thaw.envs.catch import VARIANTS, CatchVectorEnv
from thaw.envs.catch.options import CatchOptions


def test_the_constructor_has_the_same_options_with_the_same_defaults() -> None:
    parameters = inspect.signature(CatchVectorEnv).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    for name in ("num_envs", "variant", "autoreset_mode", "render_mode", "drawn_on"):
        del defaults[name]
    own = CatchOptions()
    assert defaults == {name: getattr(own, name) for name in CatchOptions.__struct_fields__}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_given_knob_wins_over_the_variant(variant: str) -> None:
    assert CatchOptions().knobs(variant).ball_speed == 0.2
    knobs = CatchOptions(ball_radius=12.0).knobs(variant)
    assert knobs.ball_radius == 12.0
    assert knobs.background_color == VARIANTS[variant].get("background_color", "BLACK")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "num_envs=0 must be a whole number from 1"),
        ({"variant": "big_ball"}, "variant='big_ball' must be one of default, large_ball"),
        ({"touch_noise": -0.1}, "touch_noise=-0.1 must be a number from 0"),
        ({"num_actions": 55}, "num_actions=55 must be one of 54, 56, 108, 162"),
        ({"frame_ms": 0}, "frame_ms=0 must be a whole number from 1"),
        ({"frame_jitter_ms": 1.5}, "frame_jitter_ms=1.5 must be a whole number from 0"),
        ({"frames_per_step": True}, "frames_per_step=True must be a whole number from 1"),
        ({"action_latency_steps": -1}, "action_latency_steps=-1 must be a whole number from 0"),
        ({"downsample": 3}, "downsample=3 must be one of 1, 2, 4, 5, 8, 10, 16, 20, 32, 40, 80"),
        ({"autoreset_mode": "NextStep"}, "autoreset_mode='NextStep' must be one of"),
        ({"render_mode": "human"}, "render_mode='human' must be one of None, rgb_array"),
        ({"paddle_width": 0}, "paddle_width=0 must be a whole number from 2 to 640"),
        ({"ball_radius": 6}, "no ball can be caught with ball_radius=6"),
    ],
)
def test_bad_options_are_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^(?!.*\n)") as error:
        CatchVectorEnv(**options)
    assert message in str(error.value)
