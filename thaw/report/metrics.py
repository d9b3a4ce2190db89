"""Turns scores into numbers with intervals: one row per transfer, condition and metric.

Metrics of the final policy (docs/metrics.md has them all):
    return: mean return on the target, unclipped.
    return_on_source: mean return of the same policy on the source flavor.
    normalized_by_scratch: mean over seeds divided by the mean over the seeds of scratch.
    normalized_above_random: the same after the mean of random is taken off both.
    difference_to_scratch: mean minus the mean of scratch, unpaired; of another baseline paired
        where it shares the pretrainings.
    probability_of_improvement: that a run beats a run of update_all (rliable).
    lead: of the best trained condition over the one that it is least certainly ahead of.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from thaw.report import statistics
from thaw.report.gates import pretrained_runs
from thaw.report.runs import Runs, RunTable, compare
from thaw.report.scores import ON_SOURCE
from thaw.report.spec import INDEPENDENT_CONDITIONS, ReportSpec, condition_name
from thaw.report.statistics import Estimate
from thaw.report.verdict import Verdict, verdicts
from thaw.report.words import count, number

METRICS = (
    "return",
    "return_on_source",
    "normalized_by_scratch",
    "normalized_above_random",
    "difference_to_scratch",
    "probability_of_improvement",
)
COLUMNS = [
    *("source", "target", "condition", "metric"),
    *("mean", "ci_low", "ci_high", "num_seeds", "num_missing", "note"),
    *("confidence", "p_value", "p_holm"),
]
REFERENCE = "update_all"
"""The condition with which ``probability_of_improvement`` compares."""


def metrics_frame(scores: pd.DataFrame, spec: ReportSpec) -> pd.DataFrame:
    """Compute every metric of every planned condition.

    Args:
        scores: As :func:`thaw.report.scores.check_scores` returns them.
        spec: What was planned; other seeds are left out.

    Returns:
        The columns of :data:`COLUMNS`. Where there is no number, ``mean`` and the bounds are NaN
        and ``note`` says why. ``num_seeds`` and ``num_missing`` count the runs of the condition.
        ``p_value`` and ``p_holm`` are there for ``lead`` only.
    """
    table = RunTable(scores, spec)
    rows: list[dict[str, object]] = []
    for verdict in verdicts(scores, spec):
        source, target = verdict.source, verdict.target
        transfer = Transfer(table, source, target, verdict.confidence)
        if (before := transfer.before()) is not None:
            rows.append(_row(spec, verdict, "pretrain", "return_on_source", before))
        for condition in spec.conditions:
            for metric in METRICS:
                measured = transfer.measure(condition, metric)
                if measured is not None:
                    rows.append(_row(spec, verdict, condition, metric, measured))
        if verdict.runner_up:
            rows.append(_lead(verdict))
    return pd.DataFrame(rows, columns=COLUMNS)


class Transfer:
    """The metrics of one transfer's conditions."""

    def __init__(self, table: RunTable, source: str, target: str, confidence: float) -> None:
        """Keep what all metrics need.

        Args:
            table: The scores.
            source: Flavor address, empty where it is unknown.
            target: Flavor address.
            confidence: Of the intervals.
        """
        self.table = table
        self.source = source
        self.target = target
        self.confidence = confidence

    def runs(self, condition: str) -> Runs:
        """Return a condition's runs by their return on the target."""
        return self.table.runs(self.source, self.target, condition)

    def before(self) -> Estimate | None:
        """Return the return on the source before the transfer; None without pretraining runs."""
        before = pretrained_runs(self.table, self.source)
        return self._mean(before) if len(before.values) else None

    def measure(self, condition: str, metric: str) -> Estimate | None:
        """Return one metric; None if it is not defined for the condition."""
        if metric == "return_on_source":
            if condition in INDEPENDENT_CONDITIONS:
                return None
            runs = self.table.runs(self.source, self.target, condition, ON_SOURCE)
            return self._mean(runs) if len(runs.values) else _nothing("not measured")
        runs = self.runs(condition)
        if not len(runs.values):
            return _nothing("no finished run")
        if metric == "return":
            return self._mean(runs)
        reference = REFERENCE if metric == "probability_of_improvement" else self.baseline
        if condition == reference:
            return _nothing("is the reference", len(runs.values))
        other = self.runs(reference)
        if not len(other.values):
            return _nothing(f"{reference} is missing", len(runs.values))
        if metric == "probability_of_improvement":
            return statistics.probability_of_improvement(
                runs.values, other.values, confidence=self.confidence
            )
        if metric == "difference_to_scratch":
            gap, _ = compare(runs, other, self.confidence)
            return replace(gap, num_seeds=len(runs.values))
        return self._ratio(runs, other, above_random=metric == "normalized_above_random")

    @property
    def baseline(self) -> str:
        """The condition by which returns are normalized."""
        return self.table.spec.baseline

    def _mean(self, runs: Runs) -> Estimate:
        estimate = statistics.mean(
            runs.values,
            runs.standard_errors,
            bounds=self.table.spec.bounds,
            confidence=self.confidence,
        )
        if len(runs.values) != 2:
            return estimate
        both = " and ".join(number(value) for value in runs.values)
        return replace(estimate, note=f"2 seeds: {both}; no interval")

    def _ratio(self, runs: Runs, other: Runs, *, above_random: bool) -> Estimate:
        floor = self.runs("random") if above_random else None
        if floor is not None and not len(floor.values):
            return _nothing("random is missing", len(runs.values))
        estimate = statistics.ratio(
            runs.values,
            other.values,
            None if floor is None else floor.values,
            (
                runs.standard_errors,
                other.standard_errors,
                None if floor is None else floor.standard_errors,
            ),
            confidence=self.confidence,
        )
        name = condition_name(self.baseline)
        denominator = f"{name} minus random" if above_random else name
        return replace(estimate, note=estimate.note.replace("the denominator", denominator))


def metrics_json(
    spec: ReportSpec,
    metrics: pd.DataFrame,
    aggregates: pd.DataFrame,
    judged: Sequence[Verdict],
) -> str:
    """Return the text of metrics.json: the plan, all numbers and the verdicts.

    Args:
        spec: What was planned.
        metrics: From :func:`metrics_frame`.
        aggregates: From :func:`thaw.report.aggregates.aggregates_frame`.
        judged: One verdict per transfer.

    Returns:
        JSON, with null where there is no number.
    """
    document = {
        "name": spec.name,
        "transfers": [{"source": source, "target": target} for source, target in spec.transfers],
        "conditions": list(spec.conditions),
        "seeds": list(spec.seeds),
        "normalize": spec.normalize,
        "baseline": spec.baseline,
        "interval": {
            "mean": "Student's t over seeds, floored by the runs' own episodes",
            "difference": "paired t where pretrainings are shared, else Welch",
            "ratio": "Fieller",
            "over_transfers": "cluster jackknife with t; a pretraining is one unit",
            "confidence": statistics.CONFIDENCE,
        },
        "metrics": metrics.to_dict("records"),
        "aggregates": aggregates.to_dict("records"),
        "verdicts": [asdict(verdict) for verdict in judged],
    }
    return json.dumps(plain(document), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def plain(value: Any) -> Any:
    """Round numbers to six digits, as in metrics.csv; NaN, which JSON lacks, becomes None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value


def _row(
    spec: ReportSpec, verdict: Verdict, condition: str, metric: str, estimate: Estimate
) -> dict[str, object]:
    return {
        "source": verdict.source,
        "target": verdict.target,
        "condition": condition,
        "metric": metric,
        "mean": estimate.value,
        "ci_low": estimate.low,
        "ci_high": estimate.high,
        "num_seeds": estimate.num_seeds,
        "num_missing": num_missing(spec, verdict, estimate),
        "note": estimate.note,
        "confidence": verdict.confidence,
        "p_value": math.nan,
        "p_holm": math.nan,
    }


def num_missing(spec: ReportSpec, verdict: Verdict | None, estimate: Estimate) -> int:
    """Return how many of the runs that were asked for an estimate lacks."""
    planned = len(spec.seeds)
    if spec.racing is not None and verdict is not None:  # it did not ask for all of them
        planned = max(verdict.num_seeds, estimate.num_seeds)
    return planned - estimate.num_seeds


def _lead(verdict: Verdict) -> dict[str, object]:
    """Return the row of the best condition's least certain lead, with its p values."""
    lead = Estimate(verdict.difference, verdict.ci_low, verdict.ci_high, verdict.num_seeds)
    return {
        "source": verdict.source,
        "target": verdict.target,
        "condition": verdict.best,
        "metric": "lead",
        "mean": lead.value,
        "ci_low": lead.low,
        "ci_high": lead.high,
        "num_seeds": lead.num_seeds,
        "num_missing": 0,
        "note": f"over {verdict.runner_up}, {count(lead.num_seeds, 'seed')}",
        "confidence": verdict.confidence,
        "p_value": verdict.p_value,
        "p_holm": verdict.p_holm,
    }


def _nothing(note: str, num_seeds: int = 0) -> Estimate:
    return Estimate(math.nan, math.nan, math.nan, num_seeds, note=note)
