from __future__ import annotations

import msgspec
import pytest
import yaml

from thaw.config.errors import InputError
from thaw.config.strict import Config, Positive, from_plain, override, parse_yaml


def test_numbers_are_read_as_people_write_them() -> None:
    assert parse_yaml("6e-4") == 6e-4
    assert parse_yaml("1E5") == 1e5
    assert parse_yaml("200_000") == 200_000
    assert parse_yaml("1e5x") == "1e5x"
    assert yaml.safe_load("6e-4") == "6e-4"  # why thaw has its own loader


def test_override_leaves_nothing_half_done() -> None:
    plain = {"agent": {"discount": 0.9}}
    with pytest.raises(InputError):
        override(plain, "agent.discount.deeper=1")
    assert plain == {"agent": {"discount": 0.9}}


class Sample(Config, frozen=True, kw_only=True):
    size: Positive
    words: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("plain", "theirs", "ours"),
    [
        (
            {"size": 1, "sizes": 2},
            "Object contains unknown field `sizes`",
            "here: unknown key 'sizes'; did you mean 'size'? Allowed: size, words",
        ),
        ({}, "Object missing required field `size`", "here: the key 'size' is missing"),
        (
            {"size": "x"},
            "Expected `int`, got `str` - at `$.size`",
            "here: size: expected a whole number, got a word",
        ),
        (
            {"size": 0},
            "Expected `int` >= 1 - at `$.size`",
            "here: size: expected a whole number >= 1",
        ),
        (
            {"size": 1, "words": ["a", 2]},
            "Expected `str`, got `int` - at `$.words[1]`",
            "here: words[1]: expected a word, got a whole number",
        ),
    ],
)
def test_the_wording_of_msgspec_that_is_translated(plain: object, theirs: str, ours: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(plain, Sample)
    assert str(caught.value) == theirs, "msgspec has changed its wording: adapt thaw.config.strict"
    with pytest.raises(InputError) as explained:
        from_plain(plain, Sample, "here")
    assert str(explained.value) == ours
