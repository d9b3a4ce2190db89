"""How many seeds a decision needs, and how certain several verdicts are together."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy import optimize, stats

from thaw.report.statistics import MIN_SEEDS, critical_t


def seeds_for_lead(lead: float, deviation: float, power: float = 0.8, most: int = 30) -> int | None:
    """Return how many paired seeds find a lead at the two-sided 5 % level; None if over `most`.

    Args:
        lead: The true difference.
        deviation: Standard deviation of the paired difference over seeds.
        power: How often it shall be found.
        most: The largest number that is tried.
    """
    for num_seeds in range(MIN_SEEDS, most + 1):
        shift = abs(lead) / deviation * math.sqrt(num_seeds)
        t = critical_t(num_seeds - 1)
        if stats.nct.sf(t, num_seeds - 1, shift) >= power:
            return num_seeds
    return None


def detectable_lead(deviation: float, num_seeds: int, power: float = 0.8) -> float:
    """Return the lead that `num_seeds` paired seeds find with the given power at the 5 % level."""
    t = critical_t(num_seeds - 1)
    root = math.sqrt(num_seeds)

    def missing(effect: float) -> float:
        return float(stats.nct.sf(t, num_seeds - 1, effect * root)) - power

    return deviation * float(optimize.brentq(missing, 0.0, 60.0 / root))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for their number (Holm 1979); NaN stays NaN and is not counted."""
    known = sorted((p, i) for i, p in enumerate(p_values) if math.isfinite(p))
    adjusted = [math.nan] * len(p_values)
    highest = 0.0
    for place, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - place)))
        adjusted[i] = highest
    return adjusted
