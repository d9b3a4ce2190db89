from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import optimize, stats

from thaw.report import statistics
from thaw.report.statistics import Estimate

EXACT = 1e-12
NAN = math.nan


def bounds(estimate: Estimate) -> tuple[float, float]:
    return estimate.low, estimate.high


def exactly(low: npt.ArrayLike, high: npt.ArrayLike) -> object:
    return pytest.approx((low, high), rel=EXACT, abs=EXACT)


@pytest.mark.parametrize("num_seeds", [3, 5, 10, 40])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.985])
def test_the_mean_is_students(num_seeds: int, confidence: float) -> None:
    values = np.random.default_rng(num_seeds).exponential(size=num_seeds)
    ours = statistics.mean(values, confidence=confidence)
    theirs = stats.ttest_1samp(values, 0.0)
    interval = theirs.confidence_interval(confidence)
    assert bounds(ours) == exactly(interval.low, interval.high)
    assert ours.p_value == pytest.approx(float(theirs.pvalue), rel=1e-9)
    assert ours.num_seeds == num_seeds


def test_the_mean_of_three_seeds_by_hand() -> None:
    # Standard deviation 1, so the standard error is 1 / sqrt(3); t with 2 degrees is 4.3027.
    estimate = statistics.mean([1, 2, 3])
    assert estimate.value == 2
    assert bounds(estimate) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))


@pytest.mark.parametrize("num_seeds", [3, 5, 10])
def test_paired_differences_are_scipys(num_seeds: int) -> None:
    rng = np.random.default_rng(num_seeds)
    first, second = rng.normal(size=(2, num_seeds))
    ours = statistics.paired_difference(first, second)
    theirs = stats.ttest_rel(first, second)
    assert bounds(ours) == exactly(*theirs.confidence_interval(0.95))
    assert ours.p_value == pytest.approx(float(theirs.pvalue), rel=1e-9)


@pytest.mark.parametrize(("one", "other"), [(3, 3), (5, 4), (10, 3)])
def test_unpaired_differences_are_welchs(one: int, other: int) -> None:
    rng = np.random.default_rng(one)
    first, second = rng.normal(size=one), 5 * rng.normal(size=other)
    ours = statistics.difference(first, second)
    theirs = stats.ttest_ind(first, second, equal_var=False)
    assert bounds(ours) == exactly(*theirs.confidence_interval(0.95))
    assert ours.degrees == pytest.approx(float(theirs.df))
    assert ours.p_value == pytest.approx(float(theirs.pvalue), rel=1e-9)


def test_an_interval_at_another_confidence() -> None:
    values = [0.3, 0.9, 0.4, 0.7]
    narrow = statistics.mean(values).at(0.9)
    assert bounds(narrow) == exactly(*bounds(statistics.mean(values, confidence=0.9)))


def test_pairing_takes_out_what_both_share() -> None:
    worse = np.array([0.1, 0.9, 0.4, 0.7])
    better = worse + np.array([0.2, 0.3, 0.2, 0.1])
    assert statistics.paired_difference(better, worse).low > 0
    assert statistics.difference(better, worse).low < 0


def test_pairs_must_be_equally_many() -> None:
    with pytest.raises(ValueError, match="equally many, not 2 and 1"):
        statistics.paired_difference([1.0, 2.0], [1.0])


def test_seeds_that_agree_get_the_error_of_their_own_episodes() -> None:
    estimate = statistics.mean([0.98, 0.98, 0.98, 0.98], [0.02, 0.02, 0.02, NAN])
    half = stats.t.ppf(0.975, 3) * 0.02 / 2
    assert bounds(estimate) == exactly(0.98 - half, 0.98 + half)
    spread = [0.5, 0.7, 0.9]
    assert statistics.mean(spread, [0.01] * 3) == statistics.mean(spread)


def test_the_episodes_of_both_conditions_count_in_a_difference() -> None:
    first, second = [0.9, 0.9, 0.9], [0.5, 0.5, 0.5]
    paired = statistics.paired_difference(first, second, [0.03] * 3, [0.04] * 3)
    assert paired.standard_error == pytest.approx(0.05 / 3**0.5)
    unpaired = statistics.difference(first, second, [0.03] * 3, [0.04] * 3)
    assert unpaired.standard_error == pytest.approx(0.05 / 3**0.5)
    assert unpaired.degrees == pytest.approx((9 + 16) ** 2 / (81 / 2 + 256 / 2))


@pytest.mark.parametrize("errors", [None, [0.0] * 3, [NAN] * 3])
@pytest.mark.parametrize("value", [1.0, 0.1, -1e6])
def test_equal_seeds_give_no_interval(value: float, errors: list[float] | None) -> None:
    same = [value] * 3
    for estimate in (
        statistics.mean(same, errors),
        statistics.difference(same, same, errors, errors),
        statistics.paired_difference(same, [value / 2] * 3, errors, errors),
    ):
        assert not estimate.has_interval
        assert "equal" in estimate.note
        assert math.isnan(estimate.p_value)


def test_a_constant_lead_of_pairs_is_no_spread_even_after_rounding() -> None:
    worse = np.array([1000.1, 2000.3, -777.7, 123.4])
    assert not statistics.paired_difference(worse + 0.1, worse).has_interval


def test_intervals_are_cut_at_what_is_possible() -> None:
    estimate = statistics.mean([0.9, 1.0, 1.0], bounds=(-1.0, 1.0))
    uncut = statistics.mean([0.9, 1.0, 1.0])
    assert uncut.high > 1
    assert bounds(estimate) == exactly(uncut.low, 1.0)
    assert statistics.mean([-0.9, -1.0, -1.0], bounds=(-1.0, 1.0)).low == -1


@pytest.mark.parametrize(
    "estimate",
    [
        statistics.mean([0.3, 0.4]),
        statistics.mean([0.3]),
        statistics.ratio([0.3, 0.4], [0.5, 0.55, 0.6]),
        statistics.ratio([0.3, 0.4, 0.5], [50, 50.1]),
        statistics.ratio([0.3], [0.5, 0.55, 0.6]),
        statistics.ratio([0.3, 0.4, 0.5], [9, 8, 9], [0.1]),
        statistics.difference([0.3, 0.4, 0.5], [0.5, 0.6]),
        statistics.paired_difference([0.3, 0.4], [0.5, 0.2]),
        statistics.probability_of_improvement([0.3, 0.4], [0.5, 0.1, 0.2]),
    ],
)
def test_two_seeds_have_a_value_and_no_interval(estimate: Estimate) -> None:
    if estimate.note.endswith("no interval"):
        assert math.isfinite(estimate.value)
    assert "seed" in estimate.note
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)


def test_no_seed_has_nothing() -> None:
    for empty in (
        statistics.mean([]),
        statistics.ratio([1.0], []),
        statistics.difference([], [1.0]),
        statistics.probability_of_improvement([], [1.0]),
    ):
        assert math.isnan(empty.value)
        assert empty.num_seeds == 0


def test_missing_values_are_refused() -> None:
    with pytest.raises(ValueError, match="leave missing runs out"):
        statistics.mean([0.1, NAN])


def inverted_test(
    numerator: npt.NDArray[np.float64],
    denominator: npt.NDArray[np.float64],
    floor: npt.NDArray[np.float64] | None,
    degrees: float,
) -> tuple[float, float]:
    """All r for which X - r D - (1 - r) F has a t below the quantile, found by bisection."""
    zero = 0.0 if floor is None else floor.mean()

    def excess(r: float) -> float:
        difference = numerator.mean() - r * denominator.mean() - (1 - r) * zero
        variance = numerator.var(ddof=1) / len(numerator)
        variance += r**2 * denominator.var(ddof=1) / len(denominator)
        if floor is not None:
            variance += (1 - r) ** 2 * floor.var(ddof=1) / len(floor)
        return float(abs(difference) / np.sqrt(variance) - stats.t.ppf(0.975, degrees))

    value = (numerator.mean() - zero) / (denominator.mean() - zero)
    low = optimize.brentq(excess, value - 50, value, xtol=1e-13)
    return float(low), float(optimize.brentq(excess, value, value + 50, xtol=1e-13))


@pytest.mark.parametrize("with_floor", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_ratios_are_the_inverted_t_test(seed: int, with_floor: bool) -> None:
    rng = np.random.default_rng(seed)
    above, below = rng.normal(2, 1, size=6), rng.normal(4, 0.5, size=5)
    floor = rng.normal(1, 0.4, size=4) if with_floor else None
    ours = statistics.ratio(above, below, floor)
    assert bounds(ours) == pytest.approx(inverted_test(above, below, floor, ours.degrees), 1e-9)


def test_the_degrees_of_a_ratio_by_hand() -> None:
    # Variances of the means 1/3 and 1/3; ratio 2, so the terms are 1/3 and 4/3.
    estimate = statistics.ratio([19, 20, 21], [9, 10, 11])
    assert estimate.value == 2
    assert estimate.degrees == pytest.approx((5 / 3) ** 2 / ((1 / 9 + 16 / 9) / 2))


def test_a_ratio_knows_the_error_of_the_floor() -> None:
    above, below = [4.0, 4.1, 3.9], [8.0, 8.1, 7.9]
    sure = statistics.ratio(above, below, [1.0, 1.001, 0.999])
    unsure = statistics.ratio(above, below, [0.5, 1.0, 1.5])
    assert unsure.value == pytest.approx(sure.value)
    assert unsure.high - unsure.low > 2 * (sure.high - sure.low)


@pytest.mark.parametrize(
    ("denominator", "errors", "reason"),
    [
        ([0.0, 0.0, 0.0], None, "3 seeds cannot tell the denominator from zero"),
        ([-0.1, 0.1, 0.2], None, "cannot tell"),
        ([0.1, 0.4, 0.4], None, "cannot tell"),
        ([-0.3, -0.2, -0.4], None, "below zero"),
        ([0.5, 0.6], None, "2 seeds cannot tell"),
        ([0.5], None, "one seed without a standard error"),
        ([0.5], [0.3], "1 seed cannot tell"),
        ([0.5], [0.1], ""),
        ([0.3, 0.2, 0.4], None, ""),
    ],
)
def test_a_ratio_needs_a_denominator_known_to_be_above_zero(
    denominator: list[float], errors: list[float] | None, reason: str
) -> None:
    estimate = statistics.ratio([1, 2, 3], denominator, errors=(None, errors, None))
    assert math.isnan(estimate.value) == bool(reason)
    assert reason in estimate.note
    if reason:
        assert not estimate.has_interval


def test_probability_of_improvement_by_hand_with_ties() -> None:
    # 1 beats none; 2 ties twice; 3 beats two: (0 + 2 * 0.5 + 2) of 9 pairs.
    estimate = statistics.probability_of_improvement([1, 2, 3], [2, 2, 4])
    assert estimate.value == pytest.approx(3 / 9)
    assert 0 <= estimate.low < 3 / 9 < estimate.high <= 1


def test_probability_of_improvement_is_mann_whitneys() -> None:
    rng = np.random.default_rng(8)
    first, second = rng.integers(0, 6, size=11), rng.integers(0, 6, size=7)
    u = stats.mannwhitneyu(first, second, alternative="greater").statistic
    estimate = statistics.probability_of_improvement(first, second)
    assert estimate.value == pytest.approx(u / 77)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([1, 2, 3, 9], [2, 4, 5]),
        ([1, 1, 1], [2, 3, 4, 5]),
        ([5, 6, 7], [1, 2, 3]),
        ([1] * 4, [1] * 9),
    ],
)
def test_newcombes_interval_is_where_the_score_test_stops(
    first: list[float], second: list[float]
) -> None:
    ours = statistics.probability_of_improvement(first, second)
    m, n, u = len(first), len(second), ours.value
    theta = np.linspace(1e-7, 1 - 1e-7, 2_000_001)
    # Hanley and McNeil's variance for exponential scores, with (m + n) / 2 - 1 for both counts.
    q1, q2 = theta / (2 - theta), 2 * theta**2 / (1 + theta)
    variance = theta * (1 - theta) + ((m + n) / 2 - 1) * (q1 + q2 - 2 * theta**2)
    inside = np.abs(theta - u) <= stats.norm.ppf(0.975) * np.sqrt(variance / (m * n))
    expected = theta[inside].min(), theta[inside].max()
    assert bounds(ours) == pytest.approx(expected, abs=2e-6)


def test_probability_of_improvement_knows_its_limits() -> None:
    sure = statistics.probability_of_improvement([5, 6, 7], [1, 2, 3])
    assert (sure.value, sure.high) == (1, 1)
    assert 0.3 < sure.low < 0.9
    other = statistics.probability_of_improvement([1, 2, 3], [5, 6, 7])
    assert bounds(other) == exactly(0.0, 1 - sure.low)
