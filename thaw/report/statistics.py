"""Estimates over seeds with 95 % percentile bootstrap intervals; the definitions are rliable's.

N is the number of seeds, R the number of resamples. Every function takes a random generator.
:func:`generator` makes one from the words that name a number. So an interval depends only on the
data of that number, and not on what else is in the report.

With few seeds such an interval is too narrow. Measured on normal data, a nominal 95 % interval
of a mean covers the mean 50 % of the time with 2 seeds, 75 % with 3, 83 % with 5, 90 % with 10.

References:
    Agarwal et al. 2021, Deep RL at the Edge of the Statistical Precipice (rliable).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True)
class Estimate:
    """A number and its interval.

    Attributes:
        value: NaN if there is none.
        low: Lower bound; NaN where there is no interval, as with one seed.
        high: Upper bound, NaN in the same way.
        num_seeds: Seeds of the condition that the number describes.
    """

    value: float
    low: float
    high: float
    num_seeds: int


NO_ESTIMATE = Estimate(float("nan"), float("nan"), float("nan"), 0)


def generator(*words: str) -> np.random.Generator:
    """Return a generator seeded with words; the same words give the same random numbers."""
    digest = hashlib.sha256("\x1f".join(words).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def bootstrap_mean(
    values: npt.ArrayLike, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Estimate:
    """Estimate the mean of values: [N]."""
    values = _finite(values)
    if len(values) == 0:
        return NO_ESTIMATE
    means = resample_weights(len(values), resamples, rng) @ values
    return _estimate(float(values.mean()), means, len(values), len(values))


def bootstrap_ratio(
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Estimate the ratio of two independent means, both resampled.

    The caller checks that the denominator is not close to zero. It is a ratio of means and not a
    mean of ratios, because seeds that are not paired have no ratio.

    Args:
        numerator: [N].
        denominator: [M].
        rng: Draws the resamples.
        resamples: R.
    """
    numerator, denominator = _finite(numerator), _finite(denominator)
    if len(numerator) == 0 or len(denominator) == 0:
        return NO_ESTIMATE
    above = resample_weights(len(numerator), resamples, rng) @ numerator
    below = resample_weights(len(denominator), resamples, rng) @ denominator
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = above / below
    fewest = min(len(numerator), len(denominator))
    value = float(numerator.mean() / denominator.mean())
    return _estimate(value, ratios, len(numerator), fewest)


def bootstrap_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Estimate mean(first) - mean(second) of independent runs, first: [N], second: [M]."""
    first, second = _finite(first), _finite(second)
    if len(first) == 0 or len(second) == 0:
        return NO_ESTIMATE
    means = resample_weights(len(first), resamples, rng) @ first
    means = means - resample_weights(len(second), resamples, rng) @ second
    value = float(first.mean() - second.mean())
    return _estimate(value, means, len(first), min(len(first), len(second)))


def bootstrap_paired_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
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
    return bootstrap_mean(first - second, rng, resamples)


def probability_of_improvement(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Estimate the probability that a run of first: [N] beats one of second: [M].

    Mann-Whitney's U / (N M), ties count one half: rliable's definition for one task.
    """
    first, second = _finite(first), _finite(second)
    if len(first) == 0 or len(second) == 0:
        return NO_ESTIMATE
    wins = np.greater.outer(first, second) + 0.5 * np.equal.outer(first, second)
    weights = resample_weights(len(first), resamples, rng)
    other_weights = resample_weights(len(second), resamples, rng)
    resampled = ((weights @ wins) * other_weights).sum(axis=1)
    fewest = min(len(first), len(second))
    return _estimate(float(wins.mean()), resampled, len(first), fewest)


def interquartile_mean(values: npt.ArrayLike) -> float:
    """Return the 25 % trimmed mean of all values, of any shape, as rliable's aggregate_iqm."""
    return float(_middle_means(_finite(values).ravel()))


def bootstrap_aggregate(
    tasks: Sequence[npt.ArrayLike],
    statistic: Literal["mean", "iqm"],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Estimate an aggregate over tasks; runs are resampled inside each task (stratified).

    Args:
        tasks: The returns of each task's runs, [N_task] each; the numbers of runs may differ.
        statistic: ``mean`` is the mean of the tasks' means; ``iqm`` the interquartile mean of
            all runs together, in which a task with more runs weighs more.
        rng: Draws the resamples.
        resamples: R.

    Returns:
        The estimate; ``num_seeds`` is that of the task with the fewest runs.
    """
    returns = [_finite(task) for task in tasks]
    fewest = min((len(task) for task in returns), default=0)
    if fewest == 0:
        return NO_ESTIMATE
    draws = [task[rng.integers(len(task), size=(resamples, len(task)))] for task in returns]
    if statistic == "mean":
        value = float(np.mean([task.mean() for task in returns]))
        resampled = np.mean([draw.mean(axis=1) for draw in draws], axis=0)
    else:
        value = interquartile_mean(np.concatenate(returns))
        resampled = _middle_means(np.concatenate(draws, axis=1))
    return _estimate(value, resampled, fewest, fewest)


def resample_weights(num_seeds: int, resamples: int, rng: np.random.Generator) -> FloatArray:
    """Return [R, N]: the share of each seed in each resample; ``weights @ values`` are the means.

    With values [N, P], each resample takes whole learning curves of P points.
    """
    drawn = rng.integers(num_seeds, size=(resamples, num_seeds))
    drawn += np.arange(resamples)[:, None] * num_seeds
    counts = np.bincount(drawn.ravel(), minlength=resamples * num_seeds)
    return counts.reshape(resamples, num_seeds) / num_seeds


def percentile_interval(
    resampled: FloatArray, confidence: float = CONFIDENCE
) -> tuple[FloatArray, FloatArray]:
    """Return the lower and upper bound, [...] each, of resampled: [R, ...] over its first axis."""
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(resampled, [tail, 100 - tail], axis=0)
    return low, high


def _middle_means(values: FloatArray) -> FloatArray:
    """Average values: [..., N] without the lowest and highest N // 4, as SciPy does."""
    cut = values.shape[-1] // 4
    ordered = np.sort(values, axis=-1)
    return np.asarray(ordered[..., cut : values.shape[-1] - cut].mean(axis=-1))


def _estimate(value: float, resampled: FloatArray, num_seeds: int, fewest: int) -> Estimate:
    if fewest < 2:  # one run shows no spread; an interval of width zero would be wrong
        return Estimate(value, float("nan"), float("nan"), num_seeds)
    low, high = percentile_interval(resampled)
    return Estimate(value, float(low), float(high), num_seeds)


def _finite(values: npt.ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError("values must be finite; leave missing runs out instead of passing NaN")
    return array
