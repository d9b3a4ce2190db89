from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from thaw.report.power import detectable_lead, holm, seeds_for_lead


def found(lead: float, num_seeds: int, deviation: float) -> float:
    """Share of 20,000 paired t tests of two sides that find a lead, by simulation."""
    rng = np.random.default_rng(0)
    differences = rng.normal(lead, deviation, size=(20_000, num_seeds))
    error = differences.std(axis=1, ddof=1) / num_seeds**0.5
    lower = differences.mean(axis=1) - stats.t.ppf(0.975, num_seeds - 1) * error
    return float((lower > 0).mean())


@pytest.mark.parametrize("num_seeds", [3, 5, 10, 20])
def test_the_detectable_lead_is_found_in_four_of_five_cases(num_seeds: int) -> None:
    lead = detectable_lead(2.5, num_seeds)
    assert found(lead, num_seeds, 2.5) == pytest.approx(0.8, abs=0.012)


@pytest.mark.parametrize("lead", [0.8, 1.0, 1.7, 3.0])
def test_the_seeds_for_a_lead_find_it_and_one_less_do_not(lead: float) -> None:
    num_seeds = seeds_for_lead(lead, 1.0)
    assert num_seeds is not None
    assert found(lead, num_seeds, 1.0) > 0.79
    assert found(lead, num_seeds - 1, 1.0) < 0.81


def test_the_seeds_for_a_lead_scale_with_the_spread() -> None:
    assert seeds_for_lead(10.0, 10.0) == seeds_for_lead(1.0, 1.0) == 10
    assert seeds_for_lead(0.1, 1.0) is None
    assert seeds_for_lead(0.5, 1.0, most=40) == 34
    assert seeds_for_lead(100.0, 1.0) == 3


def test_holm_by_hand() -> None:
    # Sorted .01 .02 .04 times 3, 2, 1; none below the one before.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_does_not_count_what_has_no_p_value() -> None:
    adjusted = holm([0.01, math.nan, 0.5])
    assert adjusted[0] == pytest.approx(0.02)
    assert math.isnan(adjusted[1])
    assert adjusted[2] == 0.5
