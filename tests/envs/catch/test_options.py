from __future__ import annotations

import inspect

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
