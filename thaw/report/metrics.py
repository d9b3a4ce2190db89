"""Turns scores into numbers with intervals: one row per transfer, condition and metric.

Metrics of the final policy:
    return: mean return on the target, unclipped.
    return_on_source: mean return of the same policy on the source flavor.
    normalized_by_scratch: mean over seeds divided by the mean over the seeds of scratch.
    difference_to_scratch: mean minus the mean of scratch, whose seeds are independent.
    probability_of_improvement: that a run beats a run of update_all (rliable).
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from thaw.report import statistics
from thaw.report.scores import ON_SOURCE, ON_TARGET, RUN_IDENTITY, ReturnColumns, planned_rows
from thaw.report.spec import INDEPENDENT_CONDITIONS, ReportSpec, condition_name
from thaw.report.statistics import RESAMPLES, Estimate, FloatArray, generator

METRICS = (
    "return",
    "return_on_source",
    "normalized_by_scratch",
    "difference_to_scratch",
    "probability_of_improvement",
)
COLUMNS = [
    *("source", "target", "condition", "metric"),
    *("mean", "ci_low", "ci_high", "num_seeds", "num_missing", "note"),
]
REFERENCE = "update_all"
"""The condition with which ``probability_of_improvement`` compares."""

_NORMAL_95 = 1.96
"""Half the width of a normal distribution's 95 % interval, in standard deviations."""


class Runs(NamedTuple):
    """The finished runs of one condition of one transfer, by planned seed.

    Attributes:
        seeds: [N] int.
        values: [N] float, mean returns.
        standard_errors: [N] float, standard errors of the values over the episodes of each run;
            NaN where unknown.
        paired: Whether the run of each seed starts from the source's pretraining of that seed.
    """

    seeds: tuple[int, ...]
    values: FloatArray
    standard_errors: FloatArray
    paired: bool


def select_runs(
    scores: pd.DataFrame,
    spec: ReportSpec,
    source: str,
    target: str,
    condition: str,
    columns: ReturnColumns = ON_TARGET,
) -> Runs:
    """Return the planned runs of one condition of one transfer; seeds without a value are left out.

    Args:
        scores: As :func:`thaw.report.scores.check_scores` returns them.
        spec: What was planned.
        source: Flavor address, empty where it is unknown.
        target: Flavor address.
        condition: Of the transfer.
        columns: The mean return to take.
    """
    rows = planned_rows(scores, spec, source, target, condition).sort_values("seed")
    rows = rows.reindex(columns=[*RUN_IDENTITY, *columns])  # an absent column is NaN
    rows = rows[rows[columns.mean].notna()]
    return Runs(
        seeds=tuple(int(seed) for seed in rows["seed"]),
        values=rows[columns.mean].to_numpy(dtype=np.float64),
        standard_errors=rows[columns.standard_error].to_numpy(dtype=np.float64),
        paired=bool((rows["source"] == source).any()) and condition not in INDEPENDENT_CONDITIONS,
    )


def metrics_frame(
    scores: pd.DataFrame, spec: ReportSpec, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Compute every metric of every planned condition.

    Args:
        scores: As :func:`thaw.report.scores.check_scores` returns them.
        spec: What was planned; other seeds are left out.
        resamples: Of the bootstrap.

    Returns:
        The columns of :data:`COLUMNS`. Where there is no number, ``mean`` and the bounds are NaN
        and ``note`` says why. ``num_seeds`` and ``num_missing`` count the runs of the condition.
    """
    rows: list[dict[str, object]] = []
    for source, target in spec.transfers:
        pretrained = select_runs(scores, spec, "", source, "pretrain")
        if len(pretrained.values):
            rng = generator(source, "pretrain", "return_on_source")
            estimate = statistics.bootstrap_mean(pretrained.values, rng, resamples)
            rows.append(_row(spec, source, target, "pretrain", "return_on_source", estimate, ""))
        for condition in spec.conditions:
            for metric in METRICS:
                measured = _measure(scores, spec, (source, target), condition, metric, resamples)
                if measured is not None:
                    rows.append(_row(spec, source, target, condition, metric, *measured))
    return pd.DataFrame(rows, columns=COLUMNS)


def aggregates_frame(
    scores: pd.DataFrame, spec: ReportSpec, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Aggregate each condition over all transfers, with runs resampled inside each transfer.

    Normalized returns are divided by the mean of scratch, which is taken as known (like a
    reference score in rliable). A transfer that cannot be normalized is left out of every
    condition. Returns that are not normalized are aggregated only if all targets are flavors of
    one environment, because returns of different games have no common unit.

    Returns:
        Columns condition, metric, statistic (mean or iqm), mean, ci_low, ci_high, num_tasks,
        num_seeds (of the transfer with the fewest), note; no rows with fewer than two transfers.
    """
    columns = [
        *("condition", "metric", "statistic", "mean", "ci_low", "ci_high"),
        *("num_tasks", "num_seeds", "note"),
    ]
    metric = spec.main_metric
    units, left_out = {}, []
    for transfer in spec.transfers:
        units[transfer] = 1.0
        if metric != "return":
            scratch = select_runs(scores, spec, *transfer, "scratch")
            reason = why_not_normalized(scratch, transfer[1], resamples)
            if reason:
                del units[transfer]
                left_out.append(f"{transfer[1]} is left out: {reason}")
            else:
                units[transfer] = float(scratch.values.mean())
    if len(units) < 2 or (metric == "return" and not spec.is_one_game):
        return pd.DataFrame(columns=columns)
    rows: list[dict[str, object]] = []
    for condition in spec.conditions:
        if condition == "scratch" and metric != "return":
            continue
        tasks, note = [], "; ".join(left_out)
        for (source, target), unit in units.items():
            tasks.append(select_runs(scores, spec, source, target, condition).values / unit)
            if not len(tasks[-1]):
                note = f"{condition_name(condition)} has no finished run on {target}"
        for statistic in ("mean", "iqm"):
            rng = generator(condition, metric, statistic)
            estimate = statistics.bootstrap_aggregate(tasks, statistic, rng, resamples)
            row = _bounds(estimate) | {"num_tasks": len(tasks), "num_seeds": estimate.num_seeds}
            row |= {"condition": condition, "metric": metric, "statistic": statistic, "note": note}
            rows.append(row)
    return pd.DataFrame(rows, columns=columns)


def why_not_normalized(scratch: Runs, target: str, resamples: int = RESAMPLES) -> str:
    """Return why returns cannot be divided by those of scratch; an empty string if they can.

    The mean of scratch must be known to be above zero: by its interval over seeds, or with one
    seed by the standard error of that run. With a mean below zero, a better policy would get a
    smaller ratio.
    """
    if not len(scratch.values):
        return "scratch is missing"
    mean = float(scratch.values.mean())
    if len(scratch.values) > 1:
        estimate = statistics.bootstrap_mean(
            scratch.values, generator(target, "scratch", "denominator"), resamples
        )
        low, high = estimate.low, estimate.high
    else:
        low, high = (
            mean - _NORMAL_95 * scratch.standard_errors[0],
            mean + _NORMAL_95 * scratch.standard_errors[0],
        )
    if np.isnan(low):
        return "one scratch seed without a standard error cannot be told from zero"
    if low <= 0 <= high:
        return f"scratch's interval [{low:.3g}, {high:.3g}] touches zero"
    return "scratch is below zero, so a ratio would turn the order around" if high < 0 else ""


def metrics_json(
    spec: ReportSpec, metrics: pd.DataFrame, aggregates: pd.DataFrame, verdicts: list[Any]
) -> str:
    """Return the text of metrics.json: the plan, all numbers and the verdicts.

    Args:
        spec: What was planned.
        metrics: From :func:`metrics_frame`.
        aggregates: From :func:`aggregates_frame`.
        verdicts: One dict per transfer.

    Returns:
        JSON, with null where there is no number.
    """
    document = {
        "name": spec.name,
        "transfers": [{"source": source, "target": target} for source, target in spec.transfers],
        "conditions": list(spec.conditions),
        "seeds": list(spec.seeds),
        "normalize": spec.normalize,
        "interval": {
            "kind": "percentile bootstrap over seeds",
            "confidence": statistics.CONFIDENCE,
            "resamples": RESAMPLES,
        },
        "metrics": metrics.to_dict("records"),
        "aggregates": aggregates.to_dict("records"),
        "verdicts": verdicts,
    }
    return json.dumps(_plain(document), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _measure(
    scores: pd.DataFrame,
    spec: ReportSpec,
    transfer: tuple[str, str],
    condition: str,
    metric: str,
    resamples: int,
) -> tuple[Estimate, str] | None:
    """Return the estimate and a note; None if the metric is not defined for the condition."""
    source, target = transfer
    if metric == "return_on_source":
        if condition in INDEPENDENT_CONDITIONS:
            return None
        runs = select_runs(scores, spec, source, target, condition, ON_SOURCE)
    else:
        runs = select_runs(scores, spec, source, target, condition)
    values = runs.values
    num_seeds = len(values)

    def nothing(note: str) -> tuple[Estimate, str]:
        return Estimate(np.nan, np.nan, np.nan, num_seeds), note

    if not num_seeds:
        return nothing("not measured" if metric == "return_on_source" else "no finished run")
    note = "one seed: no interval" if num_seeds == 1 else ""
    rng = generator(source, target, condition, metric)
    if metric in ("return", "return_on_source"):
        return statistics.bootstrap_mean(values, rng, resamples), note
    reference = REFERENCE if metric == "probability_of_improvement" else "scratch"
    if condition == reference:
        return nothing("is the reference")
    other = select_runs(scores, spec, source, target, reference)
    if not len(other.values):
        return nothing(f"{reference} is missing")
    if len(other.values) == 1:
        note = note or f"one seed of {reference}: no interval"
    if metric == "probability_of_improvement":
        estimate = statistics.probability_of_improvement(values, other.values, rng, resamples)
        return estimate, note
    if metric == "difference_to_scratch":
        return statistics.bootstrap_difference(values, other.values, rng, resamples), note
    reason = why_not_normalized(other, target, resamples)
    if reason:
        return nothing(reason)
    return statistics.bootstrap_ratio(values, other.values, rng, resamples), note


def _row(
    spec: ReportSpec,
    source: str,
    target: str,
    condition: str,
    metric: str,
    estimate: Estimate,
    note: str,
) -> dict[str, object]:
    return {
        "source": source,
        "target": target,
        "condition": condition,
        "metric": metric,
        **_bounds(estimate),
        "num_seeds": estimate.num_seeds,
        "num_missing": len(spec.seeds) - estimate.num_seeds,
        "note": note,
    }


def _bounds(estimate: Estimate) -> dict[str, object]:
    return {"mean": estimate.value, "ci_low": estimate.low, "ci_high": estimate.high}


def _plain(value: Any) -> Any:
    """Round numbers to six digits, as in metrics.csv; NaN, which JSON lacks, becomes None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value
