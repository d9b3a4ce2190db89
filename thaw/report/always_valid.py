"""Comparisons that hold at every number of seeds, also for somebody who looks after each seed.

An e-value is a fair bet against "the true difference is 0": it starts at 1, and if that is true it
ever reaches 1 / error in at most the share `error` of the cases (Ville 1939). So seeds may be added
until the answer is wanted. The price is a wider interval.

The bet is the likelihood ratio of Student's t, averaged over true effects (difference / standard
deviation) that are normal with mean 0 and standard deviation :data:`SPREAD`. Differences must be
normal; their standard deviation need not be known.

References:
    Gönen, Johnson, Lu, Westfall 2005, The Bayesian two-sample t test: the ratio.
    Wang, Ramdas 2023, Anytime-valid t-tests and confidence sequences (arXiv 2310.03722): why it
    holds at every number of seeds.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy.typing as npt

from thaw.report import statistics
from thaw.report.statistics import CONFIDENCE, Estimate

SPREAD = 2.0
"""Effects of this size are found with the fewest seeds; the error is right for any value."""


def e_value(t: float, num_seeds: int) -> float:
    """Return the e-value of "the true difference is 0".

    Args:
        t: Mean difference over seeds / its standard error.
        num_seeds: Differences, 2 or more.
    """
    wider = 1 + num_seeds * SPREAD**2
    x = t**2 / (num_seeds - 1)
    return float(wider**-0.5 * ((1 + x) / (1 + x / wider)) ** (num_seeds / 2))


def critical_t(num_seeds: int, confidence: float = CONFIDENCE) -> float:
    """Return the t at which the e-value is 1 / (1 - confidence); infinite for too few seeds."""
    wider = 1 + num_seeds * SPREAD**2
    needed = (math.sqrt(wider) / (1 - confidence)) ** (2 / num_seeds)
    if needed >= wider:
        return math.inf
    return math.sqrt((num_seeds - 1) * (needed - 1) / (1 - needed / wider))


def difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    first_errors: npt.ArrayLike | None = None,
    second_errors: npt.ArrayLike | None = None,
    *,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Estimate mean(first - second), both [N], with an interval that holds at every N.

    Runs that share no pretraining may be given too: which of them stand in one row was fixed by
    their seeds before they ran. Their differences spread more, that is all.

    Returns:
        The estimate. Its degrees of freedom are NaN: no other interval can be made from it.
    """
    paired = statistics.paired_difference(first, second, first_errors, second_errors)
    if not paired.has_interval:
        return paired
    half = critical_t(paired.num_seeds, confidence) * paired.standard_error
    if math.isinf(half):
        note = f"{paired.num_seeds} seeds are too few for an interval that holds at any number"
        return replace(paired, low=math.nan, high=math.nan, degrees=math.nan, note=note)
    low, high = paired.value - half, paired.value + half
    return replace(paired, low=low, high=high, degrees=math.nan)
