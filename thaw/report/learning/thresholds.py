"""How long runs take to reach a return. Runs that do not reach it are counted, never dropped.

References:
    Taylor and Stone 2009, Transfer Learning for Reinforcement Learning Domains: time to threshold.
    Wilson 1927, Probable Inference, the Law of Succession, and Statistical Inference.
    Irwin 1949; Royston and Parmar 2013: the mean of min(t, T), the restricted mean time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from thaw.report import statistics
from thaw.report.learning.curve_measures import Rise
from thaw.report.statistics import CONFIDENCE, MIN_SEEDS, Estimate, FloatArray


@dataclass(frozen=True)
class Reaching:
    """When the runs of one condition reach a return.

    Attributes:
        share: Of the runs that reach it, with Wilson's interval.
        steps: The mean of min(t, T), where T is the budget: runs that do not reach it count as T.
        saved: By how much that mean is below the one of the baseline; None for the baseline.
    """

    share: Estimate
    steps: Estimate
    saved: Estimate | None


def wilson(reached: int, number: int, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate a share of runs with Wilson's score interval."""
    value = reached / number
    if number < MIN_SEEDS:
        note = statistics.few_seeds(number)
        return Estimate(value, math.nan, math.nan, number, note=note)
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    center = (value + z**2 / (2 * number)) / (1 + z**2 / number)
    half = z * math.sqrt(value * (1 - value) / number + z**2 / (4 * number**2))
    half /= 1 + z**2 / number
    low = 0.0 if reached == 0 else center - half
    high = 1.0 if reached == number else center + half
    return Estimate(value, low, high, number)


def reaching_fixed(
    own: Sequence[Rise],
    baseline: Sequence[Rise] | None,
    threshold: float,
    budget: float,
    confidence: float = CONFIDENCE,
) -> Reaching:
    """Estimate when runs reach a return that was fixed before the runs.

    Args:
        own: [N] of the condition.
        baseline: [M] of the condition to compare with; None if it is the condition itself.
        threshold: The return to reach.
        budget: T, in steps.
        confidence: Of the intervals.
    """
    times = _times(own, np.array([threshold]))[0]
    kept = np.minimum(times, budget)
    saved = None
    if baseline is not None:
        others = np.minimum(_times(baseline, np.array([threshold]))[0], budget)
        saved = statistics.difference(others, kept, confidence=confidence)
    bounds = (0.0, budget)
    steps = statistics.mean(kept, bounds=bounds, confidence=confidence)
    return Reaching(_share(times, confidence), steps, saved)


def reaching_relative(
    own: Sequence[Rise] | None,
    baseline: Sequence[Rise],
    ends: FloatArray,
    floor: FloatArray,
    share: float,
    budget: float,
    confidence: float = CONFIDENCE,
) -> Reaching:
    """Estimate when runs reach a share of the way from random to the baseline's end.

    That return is itself an estimate. So the jackknife leaves out each run of the baseline and of
    random in turn, moves the threshold with them, and adds the variance to that of the runs.

    Args:
        own: [N] of the condition; None if it is the baseline.
        baseline: [M] of the baseline.
        ends: [M] return at the end of each run of the baseline.
        floor: [K] returns of random.
        share: q of the threshold q (S - r) + r.
        budget: T, in steps.
        confidence: Of the intervals.
    """
    thresholds = _thresholds(ends, floor, share)  # [1 + M + K]
    base = np.minimum(_times(baseline, thresholds), budget)
    if own is None:
        first = _times(baseline, thresholds[:1])[0]
        without = [_means_without_one(base[1 + i])[i] for i in range(len(ends))]
        groups = [without, base[1 + len(ends) :].mean(axis=1)]
        steps = _jackknifed(float(base[0].mean()), 0.0, 0, groups, len(ends), confidence)
        return Reaching(_share(first, confidence), _cut(steps, budget), None)
    times = _times(own, thresholds)
    kept = np.minimum(times, budget)
    variance = float(kept[0].var(ddof=1)) / len(own) if len(own) > 1 else math.nan
    means = kept.mean(axis=1)
    others = [_means_without_one(base[1 + i])[i] - means[1 + i] for i in range(len(ends))]
    moved = [means[1 : 1 + len(ends)], means[1 + len(ends) :]]
    gaps = [others, base[1 + len(ends) :].mean(axis=1) - means[1 + len(ends) :]]
    steps = _jackknifed(float(means[0]), variance, len(own), moved, len(own), confidence)
    gap = float(base[0].mean() - means[0])
    saved = _jackknifed(gap, variance, len(own), gaps, len(own), confidence)
    return Reaching(_share(times[0], confidence), _cut(steps, budget), saved)


def reaching_own(
    own: Sequence[Rise], thresholds: FloatArray, budget: float, confidence: float = CONFIDENCE
) -> Reaching:
    """Estimate when runs reach a return that each run has of its own.

    Args:
        own: [N].
        thresholds: [N].
        budget: T, in steps.
        confidence: Of the intervals.
    """
    times = np.array([rise.first_reach(thresholds[i : i + 1])[0] for i, rise in enumerate(own)])
    steps = statistics.mean(np.minimum(times, budget), bounds=(0.0, budget), confidence=confidence)
    return Reaching(_share(times, confidence), steps, None)


def _thresholds(ends: FloatArray, floor: FloatArray, share: float) -> FloatArray:
    """Return the threshold, then those without each run of the baseline, then of random."""
    high, low = float(ends.mean()), float(floor.mean())
    highs = np.concatenate([[high], _means_without_one(ends), np.full(len(floor), high)])
    lows = np.concatenate([[low], np.full(len(ends), low), _means_without_one(floor)])
    return np.asarray(share * (highs - lows) + lows)


def _means_without_one(values: FloatArray) -> FloatArray:
    """Return [N] the means of the other N - 1; of one value, the value itself."""
    if len(values) == 1:
        return values
    return np.asarray((values.sum() - values) / (len(values) - 1))


def _times(rises: Sequence[Rise], thresholds: FloatArray) -> FloatArray:
    """Return [K, N] when each run reaches each threshold; infinite if it does not."""
    return np.stack([rise.first_reach(thresholds) for rise in rises], axis=1)


def _share(times: FloatArray, confidence: float) -> Estimate:
    return wilson(int(np.isfinite(times).sum()), len(times), confidence)


def _jackknifed(
    value: float,
    variance: float,
    number: int,
    groups: Sequence[Sequence[float] | FloatArray],
    num_seeds: int,
    confidence: float,
) -> Estimate:
    """Return an estimate whose variance is its runs' own and that of the threshold.

    Args:
        value: The number.
        variance: Of the condition's own runs.
        number: Of these runs; 0 if they are among the groups.
        groups: For each group of independent runs, the number without each of them.
        num_seeds: Seeds of the condition.
        confidence: Of the interval.
    """
    sizes = [*([number] if number else []), *(len(group) for group in groups)]
    if min(sizes) < MIN_SEEDS:
        note = statistics.few_seeds(min(sizes))
        return Estimate(value, math.nan, math.nan, num_seeds, note=note)
    variances = [(len(group) - 1) * float(np.var(group)) for group in groups]
    degrees = [len(group) - 1 for group in groups]
    if number:
        variances, degrees = [variance, *variances], [number - 1, *degrees]
    total = sum(variances)
    if not total > (1e-12 * abs(value)) ** 2:
        note = f"all {num_seeds} seeds are equal: no interval"
        return Estimate(value, math.nan, math.nan, num_seeds, note=note)
    free = statistics.pooled_degrees(variances, degrees)
    error = math.sqrt(total)
    half = statistics.critical_t(free, confidence) * error
    return Estimate(value, value - half, value + half, num_seeds, error, free)


def _cut(estimate: Estimate, budget: float) -> Estimate:
    """Cut the interval of a time at 0 and at the budget."""
    if not estimate.has_interval:
        return estimate
    low, high = max(0.0, estimate.low), min(budget, estimate.high)
    return Estimate(
        estimate.value, low, high, estimate.num_seeds, estimate.standard_error, estimate.degrees
    )
