from __future__ import annotations

import math

import pytest

from thaw.report.words import count, listed, number, with_interval


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"),
        (-0.0001, "0.000"),
        (-0.3, "-0.300"),
        (9.9994, "9.999"),
        (12.34, "12.3"),
        (99.96, "100.0"),
        (-99.96, "-100.0"),
        (12345.6, "12,346"),
        (math.nan, "nan"),
    ],
)
def test_numbers_are_short_and_never_in_powers_of_ten(value: float, text: str) -> None:
    assert number(value) == text


def test_an_interval_stands_in_brackets() -> None:
    assert with_interval(0.21, 0.04, 0.38) == "0.210 [0.040, 0.380]"
    assert with_interval(0.21, math.nan, math.nan) == "0.210"


def test_words_agree_with_their_number() -> None:
    assert (count(1, "seed"), count(2, "seed"), count(1200, "run")) == (
        "1 seed",
        "2 seeds",
        "1,200 runs",
    )
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"], "or") == "a, b or c"
