from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from thaw.report import statistics
from thaw.report.statistics import Estimate, generator


def test_equal_words_give_equal_intervals_and_others_do_not() -> None:
    values = [0.1, 0.5, 0.2, 0.9, 0.4]
    first = statistics.bootstrap_mean(values, generator("catch", "update_all"), 50)
    again = statistics.bootstrap_mean(values, generator("catch", "update_all"), 50)
    other = statistics.bootstrap_mean(values, generator("catch", "freeze_head"), 50)
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)


def test_words_are_kept_apart() -> None:
    assert generator("ab", "c").integers(1 << 60) != generator("a", "bc").integers(1 << 60)


def test_mean_of_two_seeds_by_hand() -> None:
    # Half of the resamples draw one seed twice, so the 2.5th percentile is that seed itself.
    estimate = statistics.bootstrap_mean([0.0, 1.0], generator("hand"))
    assert estimate == Estimate(value=0.5, low=0.0, high=1.0, num_seeds=2)


def test_mean_agrees_with_scipy() -> None:
    values = np.random.default_rng(0).exponential(size=30)
    ours = statistics.bootstrap_mean(values, generator("scipy"), 20_000)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=0.02)


def test_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    samples = rng.normal(2.0, 1.0, size=(400, 30))
    estimates = [statistics.bootstrap_mean(sample, rng, 1000) for sample in samples]
    coverage = np.mean([estimate.low <= 2.0 <= estimate.high for estimate in estimates])
    assert 0.90 <= coverage <= 0.97


@pytest.mark.parametrize(
    "estimate",
    [
        statistics.bootstrap_mean([0.3], generator("one")),
        statistics.bootstrap_ratio([0.3], [0.5, 0.6], generator("one")),
        statistics.bootstrap_ratio([0.3, 0.4], [0.5], generator("one")),
        statistics.bootstrap_difference([0.3, 0.4], [0.5], generator("one")),
        statistics.bootstrap_paired_difference([0.3], [0.5], generator("one")),
        statistics.probability_of_improvement([0.3], [0.5, 0.1], generator("one")),
        statistics.bootstrap_aggregate([[0.3], [0.5, 0.1]], "iqm", generator("one")),
    ],
)
def test_one_seed_has_a_value_and_no_interval(estimate: Estimate) -> None:
    assert np.isfinite(estimate.value)
    assert np.isnan([estimate.low, estimate.high]).all()


def test_no_seed_has_nothing() -> None:
    empty = statistics.bootstrap_ratio([1.0], [], generator("none"))
    assert np.isnan(empty.value)
    assert empty.num_seeds == 0


def test_ratio_resamples_the_denominator_too() -> None:
    estimate = statistics.bootstrap_ratio([2.0, 2.0], [1.0, 2.0], generator("ratio"))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((4 / 3, 1.0, 2.0))


def test_ratio_agrees_with_scipy() -> None:
    rng = np.random.default_rng(5)
    above, below = rng.normal(3, 0.5, size=12), rng.normal(1.5, 0.3, size=9)
    ours = statistics.bootstrap_ratio(above, below, generator("ratio"), 20_000)

    def ratio(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(x.mean(axis=axis) / y.mean(axis=axis))

    theirs = scipy.stats.bootstrap(
        (above, below), ratio, method="percentile", n_resamples=20_000, rng=rng
    ).confidence_interval
    assert ours.value == pytest.approx(above.mean() / below.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=0.02)


def test_pairing_takes_out_what_both_share() -> None:
    worse = np.array([0.1, 0.9, 0.4, 0.7])
    paired = statistics.bootstrap_paired_difference(worse + 0.2, worse, generator("pair"))
    unpaired = statistics.bootstrap_difference(worse + 0.2, worse, generator("pair"))
    assert (paired.value, paired.low, paired.high) == pytest.approx((0.2, 0.2, 0.2))
    assert unpaired.value == pytest.approx(0.2)
    assert unpaired.low < 0 < unpaired.high


def test_pairs_must_be_equally_many() -> None:
    with pytest.raises(ValueError, match="equally many, not 2 and 1"):
        statistics.bootstrap_paired_difference([1.0, 2.0], [1.0], generator("pair"))


def test_probability_of_improvement_by_hand_with_ties() -> None:
    # 1 beats none; 2 ties twice; 3 beats two: (0 + 2 * 0.5 + 2) of 9 pairs.
    estimate = statistics.probability_of_improvement([1, 2, 3], [2, 2, 4], generator("poi"))
    assert estimate.value == pytest.approx(3 / 9)
    assert 0 <= estimate.low < 3 / 9 < estimate.high <= 1


def test_probability_of_improvement_is_mann_whitneys() -> None:
    rng = np.random.default_rng(8)
    first, second = rng.integers(0, 6, size=11), rng.integers(0, 6, size=7)
    statistic = scipy.stats.mannwhitneyu(first, second, alternative="greater").statistic
    estimate = statistics.probability_of_improvement(first, second, rng)
    assert estimate.value == pytest.approx(statistic / 77)


def test_probability_of_improvement_agrees_with_scipys_bootstrap() -> None:
    rng = np.random.default_rng(9)
    first, second = rng.normal(0.5, 1, size=8), rng.normal(0, 1, size=10)

    def win_share(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean(x[:, None] > y) + 0.5 * np.mean(x[:, None] == y))

    theirs = scipy.stats.bootstrap(
        (first, second), win_share, method="percentile", n_resamples=5000, rng=rng
    ).confidence_interval
    ours = statistics.probability_of_improvement(first, second, generator("poi"))
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_interquartile_mean_by_hand_and_by_scipy() -> None:
    assert statistics.interquartile_mean([1, 2, 3, 4, 5, 6, 7, 800]) == 4.5
    for num_runs in range(1, 8):
        scores = np.random.default_rng(num_runs).normal(size=(num_runs, 9))
        expected = scipy.stats.trim_mean(scores, proportiontocut=0.25, axis=None)
        assert statistics.interquartile_mean(scores) == pytest.approx(expected)


def test_aggregates_by_hand() -> None:
    tasks = [[0.0, 1.0, 2.0], [10.0]]
    mean = statistics.bootstrap_aggregate(tasks, "mean", generator("tasks"))
    iqm = statistics.bootstrap_aggregate(tasks, "iqm", generator("tasks"))
    assert mean.value == 5.5  # of the tasks' means 1 and 10, not of the four runs
    assert iqm.value == 1.5  # of 0, 1, 2, 10 without the lowest and the highest


@pytest.mark.parametrize("statistic", ["mean", "iqm"])
def test_aggregates_resample_inside_each_task(statistic: str) -> None:
    # Runs of a task agree, so only a bootstrap that mixes tasks would find any spread.
    tasks = [[0.0] * 4, [10.0] * 4]
    estimate = statistics.bootstrap_aggregate(
        tasks, "mean" if statistic == "mean" else "iqm", generator("strata")
    )
    assert (estimate.value, estimate.low, estimate.high) == (5.0, 5.0, 5.0)


def test_the_interval_of_an_iqm_agrees_with_scipys() -> None:
    values = np.random.default_rng(6).exponential(size=40)

    def trimmed(x: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(scipy.stats.trim_mean(x, proportiontocut=0.25, axis=axis))

    theirs = scipy.stats.bootstrap(
        (values,), trimmed, method="percentile", n_resamples=20_000, rng=np.random.default_rng(2)
    ).confidence_interval
    ours = statistics.bootstrap_aggregate([values], "iqm", generator("iqm"), 20_000)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=0.03)


def test_rliable_agrees_where_it_is_installed() -> None:
    metrics = pytest.importorskip("rliable.metrics")
    rng = np.random.default_rng(4)
    scores, others = rng.normal(size=(6, 1)), rng.normal(size=(5, 1))
    ours = statistics.probability_of_improvement(scores[:, 0], others[:, 0], rng)
    assert ours.value == pytest.approx(metrics.probability_of_improvement(scores, others))
    assert statistics.interquartile_mean(scores) == pytest.approx(metrics.aggregate_iqm(scores))


def test_curves_share_one_draw_of_seeds() -> None:
    weights = statistics.resample_weights(5, 400, generator("weights"))
    assert weights.shape == (400, 5)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert set(np.unique(weights * 5)) <= set(range(6))
    np.testing.assert_allclose(weights.mean(axis=0), 0.2, atol=0.03)


def test_missing_values_are_refused() -> None:
    with pytest.raises(ValueError, match="leave missing runs out"):
        statistics.bootstrap_mean([0.1, float("nan")], generator("nan"))
