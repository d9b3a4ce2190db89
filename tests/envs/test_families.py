from __future__ import annotations

import pytest

from thaw.config.errors import InputError
from thaw.config.flavor import FAMILIES, Flavor
from thaw.envs.families import list_flavors, make_env, one_engine_thread
from thaw.envs.options import merge_options


def test_an_unknown_family_is_refused() -> None:
    said = (
        r"unknown family 'katch' in flavor 'katch\?a=1'; did you mean 'catch'\? Known: catch, atari"
    )
    with pytest.raises(InputError, match=said):
        make_env("katch?a=1")


def test_every_family_is_known_and_listed() -> None:
    for family in FAMILIES:
        assert any(flavor.partition("/")[0].startswith(family) for flavor in list_flavors()), family
        with pytest.raises(InputError) as caught:
            make_env(f"{family}/no-such-thing@no-such-variant")
        assert "unknown family" not in str(caught.value)


def test_the_address_wins_over_the_variant_and_both_over_what_is_shared() -> None:
    flavor = Flavor("catch@large_ball?a=1")
    merged = merge_options(flavor, {"a": 3, "b": 3, "c": 3}, {"a": 2, "b": 2})
    assert merged == {"a": 1, "b": 2, "c": 3}
    env = make_env("catch@small_paddle?downsample=16", downsample=8, paddle_width=10, frame_ms=20)
    assert env.single_observation_space.shape == (30, 20, 3)
    assert env.unwrapped.knobs.paddle_width == 40  # type: ignore[attr-defined]
    assert env.metadata["render_fps"] == 1000 / (20 * 4)


def test_a_message_shows_the_flavor_with_its_options() -> None:
    with pytest.raises(InputError, match=r"^flavor 'catch@large_ball\?downsample=7': downsample=7"):
        make_env("catch@large_ball?downsample=7")
    with pytest.raises(InputError, match=r"^flavor 'gym/CartPole-v1\?gravty=2' has no option"):
        make_env("gym/CartPole-v1?gravty=2")


def test_only_families_with_an_engine_have_its_threads() -> None:
    assert one_engine_thread(Flavor("procgen/coinrun")) == {"num_threads": 1}
    assert one_engine_thread(Flavor("catch")) == {}
