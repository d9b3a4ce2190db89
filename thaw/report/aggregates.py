"""Numbers over all transfers: the interquartile mean and others, with their intervals."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from thaw.report import statistics
from thaw.report.runs import RunTable
from thaw.report.spec import ReportSpec
from thaw.report.tasks import STATISTICS, Tasks, gather, jackknife, profile, rliable_intervals

COLUMNS = [
    *("condition", "metric", "statistic", "mean", "ci_low", "ci_high"),
    *("num_tasks", "num_seeds", "note", "rliable_low", "rliable_high"),
]


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
    kept, left_out, certain = normalizable(table)
    rows: list[dict[str, object]] = []
    if _reason(spec, kept):
        return pd.DataFrame(columns=COLUMNS)
    names = ["iqm", "mean", "median"] + (["optimality_gap"] if metric != "return" else [])
    for condition in spec.conditions:
        if condition == spec.baseline and metric != "return":
            continue
        tasks = gather(table, kept, condition, normalize=metric != "return")
        drawn = [(math.nan, math.nan)] * len(names)
        if isinstance(tasks, Tasks):
            drawn = rliable_intervals(tasks, [STATISTICS[name] for name in names])
        for name, (low, high) in zip(names, drawn, strict=True):
            row: dict[str, object] = {"condition": condition, "metric": metric, "statistic": name}
            if isinstance(tasks, str):
                estimate, note = statistics.NO_ESTIMATE, tasks
            else:
                estimate = jackknife(tasks, STATISTICS[name])
                # The jackknife is wrong for what is not smooth.
                if name == "median" or not certain:
                    estimate = replace(estimate, low=math.nan, high=math.nan)
                if metric == "return" and spec.bounds is not None:
                    low_end, high_end = np.clip([estimate.low, estimate.high], *spec.bounds)
                    estimate = replace(estimate, low=float(low_end), high=float(high_end))
                note = "; ".join([*left_out, estimate.note] if estimate.note else left_out)
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
    kept, _, certain = normalizable(table)
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
    frames = []
    for condition, tasks in there.items():
        share, low, high = profile(tasks, thresholds)
        if not certain:
            low, high = np.full_like(share, np.nan), np.full_like(share, np.nan)
        found = {"condition": condition, "threshold": thresholds, "share": share}
        frames.append(pd.DataFrame(found | {"ci_low": low, "ci_high": high}))
    return pd.concat(frames, ignore_index=True)


def why_no_aggregates(scores: pd.DataFrame, spec: ReportSpec) -> str:
    """Return why there is no number over all transfers; an empty string if there is one."""
    kept, left_out, _ = normalizable(RunTable(scores, spec))
    return "; ".join([_reason(spec, kept), *left_out]) if _reason(spec, kept) else ""


def normalizable(table: RunTable) -> tuple[list[tuple[str, str]], list[str], bool]:
    """Return the transfers that have a number, a sentence for each other, and if these are certain.

    A transfer that is left out because few seeds could not tell its denominator from zero might
    have stayed with other seeds. Those that stay then have too large a denominator more often than
    too small a one, and an interval over them would hold the truth too seldom (docs/statistics.md).
    """
    spec = table.spec
    if spec.main_metric == "return":
        return list(spec.transfers), [], True
    kept, left_out, certain = [], [], True
    for source, target in spec.transfers:
        base = table.runs(source, target, spec.baseline)
        one = statistics.ratio(base.values, base.values, errors=[base.standard_errors] * 3)
        if len(base.values) and not math.isnan(one.value):
            kept.append((source, target))
        else:
            reason = one.note or f"{spec.baseline} is missing"
            left_out.append(f"{target} is left out: {reason}")
            if len(base.values) and base.values.mean() > 0:
                certain = False
                left_out[-1] += ", so there is no interval"
    return kept, left_out, certain


def _reason(spec: ReportSpec, kept: list[tuple[str, str]]) -> str:
    if len(spec.transfers) < 2:
        return "there is one transfer only"
    if spec.main_metric == "return" and not spec.is_one_game:
        return (
            "returns of different environments have no common unit; normalize them by training "
            "from scratch (report.normalize: scratch)"
        )
    return "" if len(kept) > 1 else "fewer than two transfers can be normalized"
