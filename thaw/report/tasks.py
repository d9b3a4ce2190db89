"""Statistics of one condition over T tasks, with intervals that know what shares a pretraining.

T is the number of transfers, called tasks as in rliable. The runs with seed i of every transfer
from one source start from one pretraining, so these are one unit (a cluster) and not T. The
interval drops one unit after the other (jackknife) and uses Student's t. It speaks of these
transfers, not of others.

References:
    Agarwal et al. 2021, Deep RL at the Edge of the Statistical Precipice (rliable): definitions.
    Efron and Stein 1981, The Jackknife Estimate of Variance.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from thaw.report import statistics
from thaw.report.runs import Runs, RunTable
from thaw.report.spec import INDEPENDENT_CONDITIONS, condition_name
from thaw.report.statistics import Estimate, FloatArray

IntArray = npt.NDArray[np.int64]

RLIABLE_RESAMPLES = 2_000
"""Of rliable's percentile bootstrap, whose interval is printed beside ours for comparison."""

_DRAWS_AT_ONCE = 2**20
"""Numbers that the bootstrap holds in memory at a time."""

Cluster = tuple[str, str, int]
"""What one unit is: its kind, its flavor and its seed."""


def interquartile_mean(values: npt.ArrayLike) -> float:
    """Return the 25 % trimmed mean of all values, of any shape, as rliable's aggregate_iqm."""
    return float(_trimmed_mean(np.asarray(values, dtype=np.float64).ravel()))


def median(task_means: npt.ArrayLike) -> float:
    """Return the median of the tasks' means: [T], as rliable's aggregate_median."""
    return float(np.median(np.asarray(task_means, dtype=np.float64)))


def optimality_gap(values: npt.ArrayLike, gamma: float = 1.0) -> float:
    """Return by how much values stay below gamma on average, as rliable's aggregate of that name.

    Args:
        values: Normalized returns, of any shape.
        gamma: The return that would be good enough; 1 is what scratch reaches.
    """
    return float(_gap(np.asarray(values, dtype=np.float64).ravel(), gamma))


def performance_profile(values: npt.ArrayLike, thresholds: npt.ArrayLike) -> FloatArray:
    """Return the share of runs above each threshold, as rliable's run_score_distribution.

    Args:
        values: Returns of all runs and tasks, of any shape.
        thresholds: [P].
    """
    runs = np.sort(np.asarray(values, dtype=np.float64), axis=None)
    below = np.searchsorted(runs, np.asarray(thresholds, dtype=np.float64), side="right")
    return np.asarray(1 - below / len(runs))


@dataclass(frozen=True)
class Tasks:
    """The runs of one condition on T tasks, flat, task after task.

    Attributes:
        values: [R] returns.
        task: [R] which task a run is of, ascending; each task has a run.
        cluster: [R] which unit a run belongs to; it has at most one run of each task.
        unit_values: [U] returns by whose mean those of a task are divided; empty if they are not.
        unit_task: [U], as ``task``.
        unit_cluster: [U].
        num_tasks: T.
        clusters: All units.
    """

    values: FloatArray
    task: IntArray
    cluster: IntArray
    unit_values: FloatArray
    unit_task: IntArray
    unit_cluster: IntArray
    num_tasks: int
    clusters: tuple[Cluster, ...]

    def normalized(self, without: int = -1) -> tuple[FloatArray, IntArray]:
        """Return the returns, divided by their units, and their tasks.

        Args:
            without: The unit to leave out; by default none.
        """
        kept = self.cluster != without
        values, task = self.values[kept], self.task[kept]
        if len(self.unit_values):
            there = self.unit_cluster != without
            units = _task_means(self.unit_values[there], self.unit_task[there], self.num_tasks)
            values = values / units[task]
        return values, task

    def fewest(self) -> int:
        """Return the runs of the task that has the fewest."""
        return int(np.bincount(self.task, minlength=self.num_tasks).min())

    def fewest_units(self) -> int:
        """Return the fewest runs, of the condition or of what divides it, that one task has."""
        if not len(self.unit_values):
            return self.fewest()
        units = np.bincount(self.unit_task, minlength=self.num_tasks)
        return min(self.fewest(), int(units.min()))


Statistic = Callable[[FloatArray, IntArray, int], FloatArray]
"""From values [..., R], their tasks [R] and the number of tasks to [...]."""

STATISTICS: dict[str, Statistic] = {
    "mean": lambda values, task, number: _task_means(values, task, number).mean(axis=-1),
    "iqm": lambda values, task, number: _trimmed_mean(values),
    "median": lambda values, task, number: np.asarray(
        np.median(_task_means(values, task, number), axis=-1)
    ),
    "optimality_gap": lambda values, task, number: _gap(values),
}
"""The mean is of the tasks' means; IQM and gap are of all runs together, so that a task with more
runs weighs more."""


def jackknife(tasks: Tasks, statistic: Statistic) -> Estimate:
    """Estimate a statistic over tasks, leaving out one unit after the other.

    The variance is the sum over groups of independent units (the pretrainings of one source, the
    runs of scratch on one target): (n - 1) / n times the sum of squares of the n values without
    one unit each around their mean. The degrees of freedom are Satterthwaite's.
    """
    value = float(statistic(*tasks.normalized(), tasks.num_tasks))
    num_seeds = tasks.fewest()
    if (few := tasks.fewest_units()) < statistics.MIN_SEEDS:
        return Estimate(value, math.nan, math.nan, num_seeds, note=statistics.few_seeds(few))
    error, free = _jackknife_error(tasks, statistic)
    if not error > 1e-12 * abs(value):
        return Estimate(value, math.nan, math.nan, num_seeds, note="no spread seen: no interval")
    half = statistics.critical_t(float(free)) * float(error)
    return Estimate(value, value - half, value + half, num_seeds, float(error), float(free))


def profile(tasks: Tasks, thresholds: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return a performance profile and its bounds, pointwise by :func:`jackknife`.

    Args:
        tasks: The runs of one condition.
        thresholds: [P].

    Returns:
        [P] share of runs above each threshold, [P] lower and [P] upper bounds. Bounds are NaN
        where no spread was seen, and with few seeds.
    """
    share = performance_profile(tasks.normalized()[0], thresholds)
    nothing = np.full(len(share), math.nan)
    if tasks.fewest_units() < statistics.MIN_SEEDS:
        return share, nothing, nothing
    error, free = _jackknife_error(
        tasks, lambda values, task, number: performance_profile(values, thresholds)
    )
    seen = error > 1e-12
    quantiles = special.stdtrit(np.where(seen, free, 1.0), 0.5 + statistics.CONFIDENCE / 2)
    half = np.where(seen, quantiles * error, math.nan)
    return share, np.maximum(share - half, 0.0), np.minimum(share + half, 1.0)


def rliable_interval(
    tasks: Tasks, statistic: Statistic, resamples: int = RLIABLE_RESAMPLES
) -> tuple[float, float]:
    """Return rliable's 95 % interval: a percentile bootstrap of the runs inside each task.

    It takes the unit of normalization as known and runs of one pretraining as independent, so it
    is too narrow (docs/statistics.md). It is there so that numbers stay comparable.
    """
    (interval,) = rliable_intervals(tasks, [statistic], resamples)
    return interval


def rliable_intervals(
    tasks: Tasks, chosen: Sequence[Statistic], resamples: int = RLIABLE_RESAMPLES
) -> list[tuple[float, float]]:
    """Return :func:`rliable_interval` of several statistics, from the same resamples."""
    values, task = tasks.normalized()
    if tasks.fewest() < 2:
        return [(math.nan, math.nan)] * len(chosen)
    counts = np.bincount(task, minlength=tasks.num_tasks)
    first, there = (np.cumsum(counts) - counts)[task], counts[task]
    digest = hashlib.sha256(values.tobytes()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))  # same values, same interval
    at_once = max(1, _DRAWS_AT_ONCE // len(values))
    drawn: list[list[FloatArray]] = [[] for _ in chosen]
    for done in range(0, resamples, at_once):
        size = min(at_once, resamples - done), len(values)
        resampled = values[first + (rng.random(size) * there).astype(np.int64)]
        for found, statistic in zip(drawn, chosen, strict=True):
            found.append(statistic(resampled, task, tasks.num_tasks))
    ends = [np.percentile(np.concatenate(found), [2.5, 97.5]) for found in drawn]
    return [(float(low), float(high)) for low, high in ends]


def gather(
    table: RunTable, transfers: list[tuple[str, str]], condition: str, *, normalize: bool
) -> Tasks | str:
    """Collect the runs of one condition on several transfers; a text says which are missing."""
    index: dict[Cluster, int] = {}
    parts: list[tuple[int, FloatArray, list[int]]] = []
    units: list[tuple[int, FloatArray, list[int]]] = []
    for task, (source, target) in enumerate(transfers):
        runs = table.runs(source, target, condition)
        if not len(runs.values):
            return f"{condition_name(condition)} has no finished run on {target}"
        parts.append((task, runs.values, _clusters(index, runs, source, target, condition)))
        if normalize:
            base = table.runs(source, target, table.spec.baseline)
            own = _clusters(index, base, source, target, table.spec.baseline)
            units.append((task, base.values, own))
    return Tasks(*_flat(parts), *_flat(units), len(transfers), tuple(index))


def _jackknife_error(tasks: Tasks, statistic: Statistic) -> tuple[FloatArray, FloatArray]:
    """Return the standard error of a statistic and its degrees of freedom, of the same shape."""
    groups: dict[tuple[str, str], list[FloatArray]] = {}
    for index, (kind, flavor, _) in enumerate(tasks.clusters):
        left = statistic(*tasks.normalized(without=index), tasks.num_tasks)
        groups.setdefault((kind, flavor), []).append(np.asarray(left))
    sizes = np.array([len(group) for group in groups.values()])
    variances = np.array([(len(group) - 1) * np.var(group, axis=0) for group in groups.values()])
    below = np.tensordot(1 / (sizes - 1), variances**2, axes=1)
    total = variances.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.sqrt(total), np.asarray(total**2 / below)


def _clusters(
    index: dict[Cluster, int], runs: Runs, source: str, target: str, condition: str
) -> list[int]:
    """Return the unit of each run: the pretraining that it shares, or the run itself."""
    own = condition if condition in INDEPENDENT_CONDITIONS else f"{condition} from {source}"
    kind, flavor = ("pretraining", source) if runs.paired else (own, target)
    return [index.setdefault((kind, flavor, seed), len(index)) for seed in runs.seeds]


def _flat(parts: list[tuple[int, FloatArray, list[int]]]) -> tuple[FloatArray, IntArray, IntArray]:
    empty = np.empty(0, np.int64)
    values = np.concatenate([values for _, values, _ in parts]) if parts else np.empty(0)
    tasks = [np.full(len(values), task, np.int64) for task, values, _ in parts]
    clusters = [np.array(found, np.int64) for *_, found in parts]
    return (
        values,
        np.concatenate(tasks) if parts else empty,
        np.concatenate(clusters) if parts else empty,
    )


def _task_means(values: FloatArray, task: IntArray, number: int) -> FloatArray:
    """Return [..., T] means of values [..., R] of ascending tasks [R]."""
    counts = np.bincount(task, minlength=number)
    return np.asarray(np.add.reduceat(values, np.cumsum(counts) - counts, axis=-1) / counts)


def _trimmed_mean(values: FloatArray) -> FloatArray:
    """Return [...] means of values [..., R] without the lowest and the highest quarter."""
    ordered = np.sort(values, axis=-1)
    cut = values.shape[-1] // 4
    return np.asarray(ordered[..., cut : values.shape[-1] - cut].mean(axis=-1))


def _gap(values: FloatArray, gamma: float = 1.0) -> FloatArray:
    return np.asarray(gamma - np.minimum(values, gamma).mean(axis=-1))
