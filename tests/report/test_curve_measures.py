"""Tests of the measures of one curve: areas, ends, and when a return is reached."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thaw.report.curves import Curve
from thaw.report.learning.curve_measures import (
    Window,
    area,
    common_window,
    early_return,
    end_return,
    return_at,
    rise,
)


def one(*points: tuple[float, float], seed: int = 0) -> Curve:
    steps, values = zip(*points, strict=True)
    return Curve(seed, np.array(steps, float), np.array(values, float))


def test_an_area_weighs_time_and_not_points() -> None:
    dense = one((10, 0), (11, 0), (12, 0), (20, 1), (100, 1))
    # On [10, 100]: nothing until 12, a triangle of 8 steps, then 80 steps at 1.
    assert area(dense, Window(10, 100)) == pytest.approx((8 / 2 + 80) / 90)
    # On [16, 60] the curve is 0.5 at 16.
    assert area(dense, Window(16, 60)) == pytest.approx((0.75 * 4 + 40) / 44)
    assert area(one((10, 3)), Window(10, 10)) == 3


def test_a_curve_is_never_extrapolated() -> None:
    short = one((20, 1), (80, 1))
    assert math.isnan(area(short, Window(10, 80)))
    assert math.isnan(area(short, Window(20, 100)))
    assert math.isnan(return_at(short, Window(20, 400), 0.25))
    assert return_at(one((20, 1), (80, 4)), Window(20, 200), 0.25) == pytest.approx(2.5)


def test_the_end_is_the_mean_of_the_last_five_bins_and_of_fewer_in_a_short_curve() -> None:
    steps = [(float(i), float(i)) for i in range(1, 101)]
    assert end_return(one(*steps), Window(1, 100)) == 98
    assert end_return(one(*steps), Window(1, 50)) == 48
    assert end_return(one(*steps[:8]), Window(1, 8)) == 7.5
    assert end_return(one(*steps[:2]), Window(1, 2)) == 2


def test_the_early_window_is_fixed_so_that_noise_makes_no_dip() -> None:
    noisy = one(*[(float(i), float(i % 2)) for i in range(1, 101)])
    assert early_return(noisy, Window(1, 100)) == 0.5  # bins 2, 3, 4, 5
    assert math.isnan(early_return(one((10, 1), (100, 1)), Window(10, 100)))


def test_a_return_is_reached_by_a_whole_window_and_not_by_one_noisy_bin() -> None:
    window = Window(1, 100)
    noisy = rise(one(*[(float(i), float(i % 2)) for i in range(1, 101)]), window)
    assert noisy.first_reach(np.array([0.4, 0.75])).tolist() == [5, np.inf]
    step = rise(one(*[(float(i), float(i > 50)) for i in range(1, 101)]), window)
    # Three of the five bins up to 53 are at 1, and all five up to 55.
    assert step.first_reach(np.array([0.6, 1.0, 1.1])).tolist() == [53, 55, np.inf]


def test_one_run_that_ends_early_is_left_out_and_does_not_shorten_the_comparison() -> None:
    whole = [one((10, 0), (100, 1), seed=i) for i in range(4)]
    groups = {"a": [*whole, one((10, 0), (60, 1), seed=4)], "b": whole}
    assert common_window(groups) == Window(10, 100)
    assert common_window({"a": whole, "b": [one((11, 0), (99, 1))]}) == Window(11, 99)
    assert common_window({"a": [], "b": []}) is None
    assert common_window({"a": [one((10, 0), (20, 0))], "b": [one((50, 0), (60, 0))]}) is None
    longer = [one((10, 0), (100, 1), (1000, 1))]
    found = common_window({"a": whole, "b": longer})
    assert found == Window(10, 100, "budgets differ: compared up to 100 steps")
