"""Estimates over seeds with their intervals, in closed form: the same scores give the same numbers.

N is the number of seeds. The intervals are those of Student, Welch, Fieller and Newcombe. Their
coverage was simulated, see docs/statistics.md. With fewer than :data:`MIN_SEEDS` seeds there is no
interval: of two seeds, Student's t is right, but 9 standard deviations wide to either side.

References:
    Student 1908; Welch 1947; Fieller 1954, Some Problems in Interval Estimation.
    Newcombe 2006, Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic, part 2, method 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

FloatArray = npt.NDArray[np.float64]

CONFIDENCE = 0.95
MIN_SEEDS = 3
"""With fewer seeds there is neither an interval nor a verdict."""


@dataclass(frozen=True)
class Estimate:
    """A number and its interval.

    Attributes:
        value: NaN if there is none.
        low: Lower bound; NaN where there is no interval.
        high: Upper bound, NaN in the same way.
        num_seeds: Seeds of the condition that the number describes.
        standard_error: Of the value; NaN where it is unknown.
        degrees: Degrees of freedom of the standard error.
        note: Why there is no number or no interval; may be empty.
        confidence: Of the interval.
    """

    value: float
    low: float
    high: float
    num_seeds: int
    standard_error: float = math.nan
    degrees: float = math.nan
    note: str = ""
    confidence: float = CONFIDENCE

    @property
    def has_interval(self) -> bool:
        """Whether both bounds are known."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def p_value(self) -> float:
        """The two-sided p value of "the true number is 0"; NaN without an interval."""
        if not self.has_interval or not self.standard_error > 0:
            return math.nan
        return float(2 * special.stdtr(self.degrees, -abs(self.value) / self.standard_error))

    def at(self, confidence: float) -> Estimate:
        """Return the same estimate with Student's t interval at another confidence."""
        if not self.has_interval:
            return self
        half = critical_t(self.degrees, confidence) * self.standard_error
        return replace(self, low=self.value - half, high=self.value + half, confidence=confidence)

    def is_within(self, margin: float) -> bool:
        """Whether two one-sided tests, each with the interval's error, show less than a margin."""
        narrow = self.at(2 * self.confidence - 1)
        return -margin < narrow.low and narrow.high < margin


NO_ESTIMATE = Estimate(math.nan, math.nan, math.nan, 0)


def critical_t(degrees: float, confidence: float = CONFIDENCE) -> float:
    """Return the quantile of Student's t that bounds a two-sided interval."""
    return float(special.stdtrit(degrees, 0.5 + confidence / 2))


def mean(
    values: npt.ArrayLike,
    standard_errors: npt.ArrayLike | None = None,
    *,
    bounds: tuple[float, float] | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Estimate the mean over seeds with Student's t.

    Seeds can agree by chance, as at a ceiling. So the standard error is at least the one that the
    runs' own episodes give.

    Args:
        values: [N] mean return of each run.
        standard_errors: [N] standard error of each value over the run's episodes; NaN where
            unknown.
        bounds: The lowest and highest possible value; the interval is cut there.
        confidence: Of the interval.
    """
    values = _finite(values)
    num_seeds = len(values)
    if num_seeds == 0:
        return NO_ESTIMATE
    value = float(values.mean())
    if num_seeds < MIN_SEEDS:
        return _without_interval(value, num_seeds, few_seeds(num_seeds))
    error = math.sqrt(variance_of_mean(values, standard_errors))
    if error == 0:
        return _without_interval(value, num_seeds, f"all {num_seeds} seeds are equal: no interval")
    half = critical_t(num_seeds - 1, confidence) * error
    low, high = value - half, value + half
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return Estimate(value, low, high, num_seeds, error, num_seeds - 1)


def paired_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    first_errors: npt.ArrayLike | None = None,
    second_errors: npt.ArrayLike | None = None,
    *,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Estimate mean(first - second), both [N], entry i from the same pretrained policy.

    Pairing removes the effect of the pretraining, which both share, so the interval is narrower
    where pretrainings differ.

    Raises:
        ValueError: The two have different lengths.
    """
    first, second = _finite(first), _finite(second)
    if len(first) != len(second):
        raise ValueError(f"paired runs must be equally many, not {len(first)} and {len(second)}")
    errors = np.sqrt(_squares(first_errors, len(first)) + _squares(second_errors, len(second)))
    return mean(first - second, errors, confidence=confidence)


def difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    first_errors: npt.ArrayLike | None = None,
    second_errors: npt.ArrayLike | None = None,
    *,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Estimate mean(first) - mean(second) of independent runs, [N] and [M], by Welch."""
    first, second = _finite(first), _finite(second)
    if not len(first) or not len(second):
        return NO_ESTIMATE
    value = float(first.mean() - second.mean())
    if (fewest := min(len(first), len(second))) < MIN_SEEDS:
        return _without_interval(value, len(first), few_seeds(fewest))
    variances = [variance_of_mean(first, first_errors), variance_of_mean(second, second_errors)]
    error = math.sqrt(sum(variances))
    if error == 0:
        return _without_interval(value, len(first), "all seeds are equal: no interval")
    degrees = pooled_degrees(variances, [len(first) - 1, len(second) - 1])
    half = critical_t(degrees, confidence) * error
    return Estimate(value, value - half, value + half, len(first), error, degrees)


def ratio(
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike,
    floor: npt.ArrayLike | None = None,
    errors: Sequence[npt.ArrayLike | None] = (None, None, None),
    *,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Estimate mean(numerator) / mean(denominator) of independent runs, by Fieller.

    It is a ratio of means and not a mean of ratios, because runs that are not paired have no
    ratio. With a floor F it is (X - F) / (D - F), in which F is uncertain too.

    Args:
        numerator: [N].
        denominator: [M].
        floor: [K], as of the random policy.
        errors: The runs' own standard errors of the three, as for :func:`mean`.
        confidence: Of the interval.

    Returns:
        The estimate. Its value is NaN, and its note says why, where the denominator cannot be told
        from zero or is below it: a ratio would mean nothing there.
    """
    above, below = _finite(numerator), _finite(denominator)
    under = None if floor is None else _finite(floor)
    if not len(above) or not len(below) or (under is not None and not len(under)):
        return NO_ESTIMATE
    zero = 0.0 if under is None else float(under.mean())
    over, unit = float(above.mean()) - zero, float(below.mean()) - zero
    groups = [above, below] if under is None else [above, below, under]
    variances = [_variance_or_own(group, own) for group, own in zip(groups, errors, strict=False)]
    if reason := _not_above_zero(unit, groups[1:], variances[1:], confidence):
        return Estimate(math.nan, math.nan, math.nan, len(above), note=reason)
    value = over / unit
    fewest = min(len(group) for group in groups)
    if fewest < MIN_SEEDS:
        return _without_interval(value, len(above), few_seeds(fewest))
    shares = [1.0, value**2, (1 - value) ** 2]
    terms = [share * variance for share, variance in zip(shares, variances, strict=False)]
    if sum(terms) == 0:
        return _without_interval(value, len(above), "all seeds are equal: no interval")
    degrees = pooled_degrees(terms, [len(group) - 1 for group in groups])
    t = critical_t(degrees, confidence)
    shared = variances[2] if under is not None else 0.0
    low, high = _fieller(value, unit, variances[0] + shared, variances[1] + shared, shared, t)
    if not math.isfinite(low):
        reason = f"{len(below)} seeds cannot tell the denominator from zero"
        return Estimate(math.nan, math.nan, math.nan, len(above), note=reason)
    return Estimate(value, low, high, len(above), math.sqrt(sum(terms)) / unit, degrees)


def probability_of_improvement(
    first: npt.ArrayLike, second: npt.ArrayLike, *, confidence: float = CONFIDENCE
) -> Estimate:
    """Estimate the probability that a run of first: [N] beats one of second: [M].

    Mann-Whitney's U / (N M), ties count one half: rliable's definition for one task. The interval
    is Newcombe's; it takes runs as unpaired.
    """
    first, second = _finite(first), _finite(second)
    if not len(first) or not len(second):
        return NO_ESTIMATE
    wins = np.greater.outer(first, second) + 0.5 * np.equal.outer(first, second)
    value = float(wins.mean())
    if (fewest := min(len(first), len(second))) < MIN_SEEDS:
        return _without_interval(value, len(first), few_seeds(fewest))
    z = float(special.ndtri(0.5 + confidence / 2))
    extra = (len(first) + len(second)) / 2 - 1

    def excess(theta: float) -> float:
        spread = 1 + extra * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        variance = theta * (1 - theta) * spread / (len(first) * len(second))
        return (theta - value) ** 2 - z**2 * variance

    tiny = 1e-9  # at 0 and 1 the value itself is a root, but not the bound
    low = 0.0 if value == 0 else optimize.brentq(excess, 0.0, value - tiny)
    high = 1.0 if value == 1 else optimize.brentq(excess, value + tiny, 1.0)
    return Estimate(value, float(low), float(high), len(first))


def variance_of_mean(values: FloatArray, standard_errors: npt.ArrayLike | None = None) -> float:
    """Return the squared standard error of a mean of values: [N], N > 1, floored by the runs' own.

    Args:
        values: [N].
        standard_errors: [N], NaN where unknown.
    """
    floor = float(_squares(standard_errors, len(values)).mean())
    spread = float(values.var(ddof=1))
    # Equal decimals such as 0.1, 0.1, 0.1 have a variance of rounding errors.
    if spread <= (1e-12 * float(np.abs(values).max())) ** 2:
        spread = 0.0
    return max(spread, floor) / len(values)


def pooled_degrees(variances: Sequence[float], degrees: Sequence[float]) -> float:
    """Return the degrees of freedom of a sum of independent variances (Welch, Satterthwaite)."""
    below = sum(variance**2 / free for variance, free in zip(variances, degrees, strict=True))
    return float(sum(variances)) ** 2 / below


def few_seeds(num_seeds: int) -> str:
    """Say why there is no interval with few seeds."""
    return f"{num_seeds} seed{'' if num_seeds == 1 else 's'}: no interval"


def _fieller(
    value: float, unit: float, above: float, below: float, shared: float, t: float
) -> tuple[float, float]:
    """Return Fieller's bounds of a ratio; NaN where they are no interval.

    Args:
        value: The ratio.
        unit: Its denominator.
        above: Variance of the numerator.
        below: Variance of the denominator.
        shared: Their covariance.
        t: Student's quantile.
    """
    g = t**2 * below / unit**2
    if g >= 1:
        return math.nan, math.nan
    common = shared / below if below > 0 else 0.0
    inner = above - 2 * value * shared + value**2 * below - g * (above - shared * common)
    half = t / abs(unit) * math.sqrt(max(0.0, inner))
    return (value - g * common - half) / (1 - g), (value - g * common + half) / (1 - g)


def _not_above_zero(
    unit: float, groups: Sequence[FloatArray], variances: Sequence[float], confidence: float
) -> str:
    """Return why a denominator cannot be told from zero, or is below it; empty if it is above."""
    counts = [len(group) for group in groups]
    if any(math.isnan(variance) for variance in variances):
        return "one seed without a standard error cannot tell the denominator from zero"
    degrees = [max(count - 1, 1) for count in counts]
    error = math.sqrt(sum(variances))
    half = 0.0
    if error > 0:
        # The episodes of one run are many, so its own error needs no correction for few values.
        alone = max(counts) == 1
        half = error * (
            1.96 if alone else critical_t(pooled_degrees(variances, degrees), confidence)
        )
    if unit - half > 0:
        return ""
    if unit + half < 0:
        return "the denominator is below zero, so a ratio would turn the order around"
    return (
        f"{min(counts)} seed{'' if min(counts) == 1 else 's'} cannot tell the denominator from zero"
    )


def _variance_or_own(values: FloatArray, standard_errors: npt.ArrayLike | None) -> float:
    """Return the variance of a mean; of one run that of its episodes, NaN if that is unknown."""
    if len(values) > 1:
        return variance_of_mean(values, standard_errors)
    own = None if standard_errors is None else np.asarray(standard_errors, dtype=np.float64)
    return math.nan if own is None else float(own[0]) ** 2


def _squares(standard_errors: npt.ArrayLike | None, length: int) -> FloatArray:
    """Return [N] squared standard errors; an unknown one counts as the mean of the known."""
    if standard_errors is None:
        return np.zeros(length)
    squares = np.asarray(standard_errors, dtype=np.float64) ** 2
    known = np.isfinite(squares)
    return np.where(known, squares, squares[known].mean() if known.any() else 0.0)


def _without_interval(value: float, num_seeds: int, note: str) -> Estimate:
    return Estimate(value, math.nan, math.nan, num_seeds, note=note)


def _finite(values: npt.ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError("values must be finite; leave missing runs out instead of passing NaN")
    return array
