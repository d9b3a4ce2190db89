"""Numbers over all transfers, with intervals that know which runs share a pretraining.

T is the number of transfers, called tasks as in rliable. Pretraining i stands behind the runs with
seed i of every transfer from its source, so these are one unit (a cluster) and not T. The interval
drops one unit after the other (jackknife) and uses Student's t. It speaks of these transfers, not
of others.

References:
    Agarwal et al. 2021, Deep RL at the Edge of the Statistical Precipice (rliable): definitions.
    Efron and Stein 1981, The Jackknife Estimate of Variance.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from thaw.report import statistics
from thaw.report.runs import Runs, RunTable
from thaw.report.spec import INDEPENDENT_CONDITIONS, ReportSpec, condition_name
from thaw.report.statistics import Estimate, FloatArray

IntArray = npt.NDArray[np.int64]

COLUMNS = [
    *("condition", "metric", "statistic", "mean", "ci_low", "ci_high"),
    *("num_tasks", "num_seeds", "note", "rliable_low", "rliable_high"),
]
RLIABLE_RESAMPLES = 2_000
"""Of rliable's percentile bootstrap, whose interval is printed beside ours for comparison."""

Cluster = tuple[str, str, int]
"""What one unit is: its kind, its flavor and its seed."""


def interquartile_mean(values: npt.ArrayLike) -> float:
    """Return the 25 % trimmed mean of all values, of any shape, as rliable's aggregate_iqm."""
    ordered = np.sort(np.asarray(values, dtype=np.float64).ravel())
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def median(task_means: npt.ArrayLike) -> float:
    """Return the median of the tasks' means: [T], as rliable's aggregate_median."""
    return float(np.median(np.asarray(task_means, dtype=np.float64)))


def optimality_gap(values: npt.ArrayLike, gamma: float = 1.0) -> float:
    """Return by how much values stay below gamma on average, as rliable's aggregate of that name.

    Args:
        values: Normalized returns, of any shape.
        gamma: The return that would be good enough; 1 is what scratch reaches.
    """
    return gamma - float(np.minimum(np.asarray(values, dtype=np.float64), gamma).mean())


def performance_profile(values: npt.ArrayLike, thresholds: npt.ArrayLike) -> FloatArray:
    """Return the share of runs above each threshold, as rliable's run_score_distribution.

    Args:
        values: Returns of all runs and tasks, of any shape.
        thresholds: [P].
    """
    runs = np.asarray(values, dtype=np.float64).ravel()
    return np.asarray((runs[None, :] > np.asarray(thresholds)[:, None]).mean(axis=1))


@dataclass(frozen=True)
class Tasks:
    """The runs of one condition on T tasks, flat.

    Attributes:
        values: [R] returns.
        task: [R] which task a run is of.
        cluster: [R] which unit a run belongs to.
        unit_values: [U] returns by whose mean those of a task are divided; empty if they are not.
        unit_task: [U].
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


Statistic = Callable[[FloatArray, IntArray, int], float]
"""From values [R], tasks [R] and the number of tasks to one number."""

STATISTICS: dict[str, Statistic] = {
    "mean": lambda values, task, number: float(_task_means(values, task, number).mean()),
    "iqm": lambda values, task, number: interquartile_mean(values),
    "median": lambda values, task, number: median(_task_means(values, task, number)),
    "optimality_gap": lambda values, task, number: optimality_gap(values),
}
"""The mean is of the tasks' means; IQM and gap are of all runs together, so that a task with more
runs weighs more."""


def aggregates_frame(scores: pd.DataFrame, spec: ReportSpec) -> pd.DataFrame:
    """Aggregate each condition over all transfers.

    A transfer that cannot be normalized is left out of every condition. Returns that are not
    normalized are aggregated only if all targets are flavors of one environment, because returns
    of different games have no common unit.

    Args:
        scores: As :func:`thaw.report.scores.check_scores` returns them.
        spec: What was planned.

    Returns:
        The columns of :data:`COLUMNS`; no rows where :func:`why_no_aggregates` gives a reason.
        ``num_seeds`` is that of the transfer with the fewest.
    """
    table = RunTable(scores, spec)
    metric = spec.main_metric
    kept, left_out = _tasks_of(table)
    rows: list[dict[str, object]] = []
    if _reason(spec, kept):
        return pd.DataFrame(columns=COLUMNS)
    names = ["iqm", "mean", "median"] + (["optimality_gap"] if metric != "return" else [])
    for condition in spec.conditions:
        if condition == spec.baseline and metric != "return":
            continue
        tasks = gather(table, kept, condition, normalize=metric != "return")
        for name in names:
            row: dict[str, object] = {"condition": condition, "metric": metric, "statistic": name}
            if isinstance(tasks, str):
                estimate, note = statistics.NO_ESTIMATE, tasks
                low = high = math.nan
            else:
                estimate = jackknife(tasks, STATISTICS[name])
                if name == "median":  # the jackknife is wrong for what is not smooth
                    estimate = replace(estimate, low=math.nan, high=math.nan)
                note = "; ".join([*left_out, estimate.note] if estimate.note else left_out)
                low, high = rliable_interval(tasks, STATISTICS[name])
            row |= {"mean": estimate.value, "ci_low": estimate.low, "ci_high": estimate.high}
            row |= {"num_tasks": len(kept), "num_seeds": estimate.num_seeds, "note": note}
            rows.append(row | {"rliable_low": low, "rliable_high": high})
    return pd.DataFrame(rows, columns=COLUMNS)


def profiles_frame(scores: pd.DataFrame, spec: ReportSpec, num_points: int = 101) -> pd.DataFrame:
    """Return the performance profile of each condition: the share of runs above each threshold.

    Returns:
        Columns condition, threshold, share, ci_low, ci_high (pointwise); no rows where
        :func:`why_no_aggregates` gives a reason.
    """
    table = RunTable(scores, spec)
    kept, _ = _tasks_of(table)
    columns = ["condition", "threshold", "share", "ci_low", "ci_high"]
    if _reason(spec, kept):
        return pd.DataFrame(columns=columns)
    gathered = {
        condition: gather(table, kept, condition, normalize=spec.main_metric != "return")
        for condition in spec.conditions
        if condition != spec.baseline or spec.main_metric == "return"
    }
    there = {name: tasks for name, tasks in gathered.items() if isinstance(tasks, Tasks)}
    if not there:
        return pd.DataFrame(columns=columns)
    everything = np.concatenate([tasks.normalized()[0] for tasks in there.values()])
    thresholds = np.linspace(everything.min(), everything.max(), num_points)
    rows = []
    for condition, tasks in there.items():
        for threshold in thresholds:

            def share(
                values: FloatArray, task: IntArray, number: int, at: float = threshold
            ) -> float:
                return float((values > at).mean())

            estimate = jackknife(tasks, share)
            low, high = max(0.0, estimate.low), min(1.0, estimate.high)
            rows.append((condition, threshold, estimate.value, low, high))
    return pd.DataFrame(rows, columns=columns)


def why_no_aggregates(scores: pd.DataFrame, spec: ReportSpec) -> str:
    """Return why there is no number over all transfers; an empty string if there is one."""
    kept, left_out = _tasks_of(RunTable(scores, spec))
    return "; ".join([_reason(spec, kept), *left_out]) if _reason(spec, kept) else ""


def jackknife(tasks: Tasks, statistic: Statistic) -> Estimate:
    """Estimate a statistic over tasks, leaving out one unit after the other.

    The variance is the sum over groups of independent units (the pretrainings of one source, the
    runs of scratch on one target): (n - 1) / n times the sum of squares of the n values without
    one unit each around their mean. The degrees of freedom are Satterthwaite's.
    """
    number = tasks.num_tasks
    value = statistic(*tasks.normalized(), number)
    groups: dict[tuple[str, str], list[float]] = {}
    sizes: dict[tuple[str, str], int] = {}
    for kind, flavor, _ in tasks.clusters:
        sizes[kind, flavor] = sizes.get((kind, flavor), 0) + 1
    fewest = min(sizes.values())
    num_seeds = tasks.fewest()
    if fewest < statistics.MIN_SEEDS:
        note = statistics.few_seeds(fewest)
        return Estimate(value, math.nan, math.nan, num_seeds, note=note)
    for index, (kind, flavor, _) in enumerate(tasks.clusters):
        without = statistic(*tasks.normalized(without=index), number)
        groups.setdefault((kind, flavor), []).append(without)
    variances, degrees = [], []
    for group in groups.values():
        spread = float(np.var(group))
        variances.append((len(group) - 1) * spread)
        degrees.append(len(group) - 1)
    total = sum(variances)
    if not total > (1e-12 * abs(value)) ** 2:
        return Estimate(value, math.nan, math.nan, num_seeds, note="no spread seen: no interval")
    free = statistics.pooled_degrees(variances, degrees)
    half = statistics.critical_t(free) * math.sqrt(total)
    return Estimate(value, value - half, value + half, num_seeds, math.sqrt(total), free)


def rliable_interval(
    tasks: Tasks, statistic: Statistic, resamples: int = RLIABLE_RESAMPLES
) -> tuple[float, float]:
    """Return rliable's 95 % interval: a percentile bootstrap of the runs inside each task.

    It takes the unit of normalization as known and runs of one pretraining as independent, so it
    is too narrow (docs/statistics.md). It is there so that numbers stay comparable.
    """
    values, task = tasks.normalized()
    if tasks.fewest() < 2:
        return math.nan, math.nan
    order = np.argsort(task, kind="stable")
    values, task = values[order], task[order]
    counts = np.bincount(task, minlength=tasks.num_tasks)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    digest = hashlib.sha256(values.tobytes()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))  # same values, same interval
    drawn = [
        statistic(values[starts + rng.integers(np.repeat(counts, counts))], task, tasks.num_tasks)
        for _ in range(resamples)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


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


def _tasks_of(table: RunTable) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the transfers that have a number, and a sentence for each that is left out."""
    spec = table.spec
    if spec.main_metric == "return":
        return list(spec.transfers), []
    kept, left_out = [], []
    for source, target in spec.transfers:
        base = table.runs(source, target, spec.baseline)
        one = statistics.ratio(base.values, base.values, errors=[base.standard_errors] * 3)
        if len(base.values) and not math.isnan(one.value):
            kept.append((source, target))
        else:
            reason = one.note or f"{spec.baseline} is missing"
            left_out.append(f"{target} is left out: {reason}")
    return kept, left_out


def _reason(spec: ReportSpec, kept: list[tuple[str, str]]) -> str:
    if len(spec.transfers) < 2:
        return "there is one transfer only"
    if spec.main_metric == "return" and not spec.is_one_game:
        return (
            "returns of different environments have no common unit; normalize them by training "
            "from scratch (report.normalize: scratch)"
        )
    return "" if len(kept) > 1 else "fewer than two transfers can be normalized"


def _task_means(values: FloatArray, task: IntArray, number: int) -> FloatArray:
    counts = np.bincount(task, minlength=number)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.bincount(task, weights=values, minlength=number) / counts)
