from __future__ import annotations

import pytest

from thaw.config.errors import InputError
from thaw.config.flavor import Flavor


@pytest.mark.parametrize(
    ("address", "text", "parts"),
    [
        ("catch", "catch", ("catch", "catch", "default", ())),
        ("catch@default", "catch", ("catch", "catch", "default", ())),
        ("catch/catch@large_ball", "catch@large_ball", ("catch", "catch", "large_ball", ())),
        (
            "atari/space_invaders@m1d1",
            "atari/space_invaders@m1d1",
            ("atari", "space_invaders", "m1d1", ()),
        ),
        (
            "gym/MiniGrid-Empty-8x8-v0",
            "gym/MiniGrid-Empty-8x8-v0",
            ("gym", "MiniGrid-Empty-8x8-v0", "default", ()),
        ),
        (
            "catch?ball_radius=20&a=true&ball_color=#00FF00",
            "catch?a=true&ball_color=#00FF00&ball_radius=20",
            (
                "catch",
                "catch",
                "default",
                (("a", True), ("ball_color", "#00FF00"), ("ball_radius", 20)),
            ),
        ),
    ],
)
def test_flavors_are_kept_in_canonical_form(
    address: str, text: str, parts: tuple[object, ...]
) -> None:
    flavor = Flavor(address)
    assert flavor == text
    assert (flavor.family, flavor.name, flavor.variant, flavor.options) == parts
    assert Flavor(flavor).options == flavor.options


@pytest.mark.parametrize(
    "address", ["", "a@b@c", "catch@", "catch?x", "catch?a=1&a=2", "ca tch", "/x"]
)
def test_an_ill_formed_flavor_is_refused(address: str) -> None:
    with pytest.raises(InputError, match=r"flavor '"):
        Flavor(address)
