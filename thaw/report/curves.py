"""Learning curves: one per run, and their mean over the seeds of a condition.

A curve is never extrapolated, and a seed without an episode in a bin has no value there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from thaw.report import statistics
from thaw.report.spec import INDEPENDENT_CONDITIONS, ReportSpec
from thaw.report.statistics import FloatArray

SAME_POINT = 0.25
"""Points of two seeds are one point of the mean curve if they are nearer than this share of the
smaller distance to their own neighbors."""


class Curve(NamedTuple):
    """The learning curve of one run, of Q points.

    Attributes:
        seed: Of the run.
        steps: [Q] agent steps after the transfer, rising: right edges of bins.
        values: [Q] mean return of the episodes in each bin.
    """

    seed: int
    steps: FloatArray
    values: FloatArray


class ConditionCurves(NamedTuple):
    """The curves of one condition of one transfer, by planned seed.

    Attributes:
        curves: [N] those that have a point.
        paired: Whether the run of each seed starts from the source's pretraining of that seed.
    """

    curves: tuple[Curve, ...]
    paired: bool


class CurvePoints(NamedTuple):
    """One condition's curve of P points, one at the right edge of each bin.

    Attributes:
        steps: [P] agent steps after the transfer.
        mean: [P] mean return over the seeds that have a value in the bin.
        low: [P] lower bound of Student's t interval of that point alone (pointwise: the whole true
            curve leaves the band more often than in 5 % of the cases); NaN with fewer than
            :data:`~thaw.report.statistics.MIN_SEEDS` values, or if all of them are equal.
        high: [P] upper bound, NaN in the same way.
        num_seeds: [P] int, the seeds that have a value.
        seeds: [N, P] the value of each seed, NaN where it has none; for lines of single seeds.
        seed_numbers: [N] the seed of each row of ``seeds``.
    """

    steps: FloatArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray
    num_seeds: npt.NDArray[np.int64]
    seeds: FloatArray = np.empty((0, 0))
    seed_numbers: tuple[int, ...] = ()


class CurveTable:
    """The curves of a report, grouped once by source, target and condition."""

    def __init__(self, curves: pd.DataFrame, spec: ReportSpec) -> None:
        """Group curves, which :func:`thaw.report.scores.check_curves` returned."""
        self.spec = spec
        self._groups: dict[tuple[str, str, str], tuple[Curve, ...]] = {}
        rows = curves[curves["seed"].isin(spec.seeds)]
        for identity, group in rows.groupby(["source", "target", "condition"], sort=False):
            source, target, condition = (str(part) for part in identity)
            self._groups[source, target, condition] = _by_seed(group)

    def curves(self, source: str, target: str, condition: str) -> ConditionCurves:
        """Return the curves of one condition of one transfer.

        Runs without a source, such as ``scratch``, serve every transfer to their target.

        Args:
            source: Flavor address of the transfer, empty where it is unknown.
            target: Flavor address of the transfer.
            condition: Of the transfer.
        """
        found = self._groups.get((source, target, condition))
        has_source = bool(source) and found is not None
        if found is None:
            found = self._groups.get(("", target, condition), ())
        paired = (has_source or self.spec.paired) and condition not in INDEPENDENT_CONDITIONS
        return ConditionCurves(found, paired)

    def points(self, source: str, target: str, condition: str) -> CurvePoints:
        """Average a condition's curves over seeds; arguments as for :meth:`curves`."""
        curves = self.curves(source, target, condition).curves
        steps, values = align(curves)
        present = ~np.isnan(values)
        counts = present.sum(axis=0)
        mean = np.where(present, values, 0.0).sum(axis=0) / np.maximum(counts, 1)
        half = _half_widths(values, mean, counts)
        low, high = mean - half, mean + half
        if self.spec.bounds is not None:
            low, high = np.maximum(low, self.spec.bounds[0]), np.minimum(high, self.spec.bounds[1])
        numbers = tuple(curve.seed for curve in curves)
        return CurvePoints(steps, mean, low, high, counts, values, numbers)


def curve_points(
    curves: pd.DataFrame, spec: ReportSpec, source: str, target: str, condition: str
) -> CurvePoints:
    """Average the curves of one condition; for many conditions make one :class:`CurveTable`."""
    here = curves[(curves["target"] == target) & (curves["condition"] == condition)]
    return CurveTable(here, spec).points(source, target, condition)


def align(curves: Sequence[Curve]) -> tuple[FloatArray, FloatArray]:
    """Bring curves to common points.

    Bins of two runs may end at steps that differ a little, as where the last batch of a run is
    cut. Points that are near each other (:data:`SAME_POINT`) become one point. Two points of one
    run never do.

    Returns:
        [P] the steps, at each point those of most runs, and [N, P] the values, NaN where a run
        has none.
    """
    if not curves:
        return np.empty(0), np.empty((0, 0))
    first = curves[0].steps
    if all(np.array_equal(curve.steps, first) for curve in curves):
        return first, np.stack([curve.values for curve in curves])
    steps = np.concatenate([curve.steps for curve in curves])
    places = _places(steps, np.concatenate([_reach(curve.steps) for curve in curves]))
    values = np.full((len(curves), places.max() + 1), np.nan)
    rows = np.repeat(np.arange(len(curves)), [len(curve.steps) for curve in curves])
    values[rows, places] = np.concatenate([curve.values for curve in curves])
    return _most_common(steps, places), values


def _by_seed(rows: pd.DataFrame) -> tuple[Curve, ...]:
    """Return the curves of one condition, by seed."""
    seeds = rows["seed"].to_numpy(dtype=np.int64)
    steps = rows["steps"].to_numpy(dtype=np.float64)
    values = rows["mean_return"].to_numpy(dtype=np.float64)
    order = np.lexsort((steps, seeds))
    seeds, steps, values = seeds[order], steps[order], values[order]
    starts = np.flatnonzero(np.diff(seeds, prepend=-1))
    ends = [*starts[1:], len(seeds)]
    return tuple(
        Curve(int(seeds[a]), steps[a:b], values[a:b]) for a, b in zip(starts, ends, strict=True)
    )


def _reach(steps: FloatArray) -> FloatArray:
    """Return [Q] how near another run's point must be to count as the same point."""
    gaps = np.diff(steps, prepend=0.0)
    if gaps[0] == 0:
        gaps[0] = np.inf
    return np.asarray(SAME_POINT * np.minimum(gaps, np.append(gaps[1:], np.inf)))


def _places(steps: FloatArray, reach: FloatArray) -> npt.NDArray[np.int64]:
    """Return the place of each point among the points of the mean curve."""
    different, inverse = np.unique(steps, return_inverse=True)
    limits = np.full(len(different), np.inf)
    np.minimum.at(limits, inverse, reach)
    places = np.empty(len(different), dtype=np.int64)
    place, start, limit = -1, -np.inf, 0.0
    for i, (step, near) in enumerate(zip(different.tolist(), limits.tolist(), strict=True)):
        limit = min(limit, near)
        if not step - start < limit:
            place, start, limit = place + 1, step, near
        places[i] = place
    return np.asarray(places[inverse])


def _most_common(steps: FloatArray, places: npt.NDArray[np.int64]) -> FloatArray:
    """Return for each place the step of most runs; of equally many the largest."""
    pairs, counts = np.unique(np.stack([places, steps]), axis=1, return_counts=True)
    order = np.lexsort((pairs[1], counts, pairs[0]))
    last = np.flatnonzero(np.diff(pairs[0][order], append=np.inf))
    chosen: FloatArray = pairs[1][order][last]
    return chosen


def _half_widths(values: FloatArray, mean: FloatArray, counts: npt.NDArray[Any]) -> FloatArray:
    """Return [P] half the widths of Student's t intervals; NaN where there is none."""
    squares = np.nansum((values - mean) ** 2, axis=0)
    enough = counts >= statistics.MIN_SEEDS
    enough &= squares > (1e-12 * np.abs(mean)) ** 2  # equal decimals differ by rounding errors
    number = np.where(enough, counts, 2)
    quantiles = {n: statistics.critical_t(n - 1) for n in set(number.tolist())}
    t = np.array([quantiles[n] for n in number.tolist()])
    half = t * np.sqrt(squares / (number - 1) / number)
    return np.where(enough, half, np.nan)
