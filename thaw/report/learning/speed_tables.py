"""Two short tables of one transfer: how fast and at what price, and who leads at which budget."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from thaw.report.learning.budget import FIRST, QUARTERS, SECOND, speed_sentence
from thaw.report.spec import ReportSpec, condition_name, transfer_names
from thaw.report.tables import Cell, Column, TableFrame
from thaw.report.words import with_interval

_SPEED = {
    "asymptotic_gain": "End minus {baseline}",
    "area_gain": "Whole curve minus {baseline}",
    "forward_transfer": "Forward transfer",
    "steps_to_75": "Steps to 75 %",
    "share_reaching_75": "Runs that reach it",
    "dip": "Dip at the start",
    "change_on_source": "Change on the source",
}
_CAPTION = (
    "Mean [95 % interval]; n/a: point at the cell, or see metrics.csv, for the reason. Steps to "
    "75 %: agent steps until the return is 75 % of the way from random to the end of {baseline}; "
    "runs that do not reach it count with the whole budget. Dip: by how much the return falls at "
    "1 to 5 % of the budget. Change on the source: below zero is forgetting."
)


def speed_table(metrics: pd.DataFrame, spec: ReportSpec, source: str, target: str) -> TableFrame:
    """Return how fast each condition of one transfer learns, and what it costs.

    Args:
        metrics: From :func:`thaw.report.learning.curve_metrics.curve_metrics_frame`.
        spec: What was planned.
        source: Flavor address of the transfer.
        target: Flavor address of the transfer.

    Returns:
        One row per condition and one column per metric; no rows where there is no number at all.
    """
    rows = _rows(metrics, source, target)
    baseline = "scratch" if spec.baseline == "scratch" else condition_name(spec.baseline)
    shown = [
        metric
        for metric in _SPEED
        if any(name == metric and math.isfinite(row["mean"]) for (_, name), row in rows.items())
    ]
    conditions = [
        condition
        for condition in spec.conditions
        if shown and any((condition, metric) in rows for metric in shown)
    ]
    return TableFrame(
        metric="speed",
        title=f"How fast and at what price: {transfer_names(spec.transfers)[source, target]}",
        caption=_CAPTION.format(baseline=baseline),
        columns=tuple(Column(_SPEED[metric].format(baseline=baseline)) for metric in shown),
        labels=tuple(condition_name(condition) for condition in conditions),
        conditions=tuple(conditions),
        cells=tuple(
            tuple(_cell(rows.get((condition, metric))) for metric in shown)
            for condition in conditions
        ),
    )


def budget_table(metrics: pd.DataFrame, spec: ReportSpec, source: str, target: str) -> TableFrame:
    """Return who leads at each quarter of the budget.

    Args:
        metrics: From :func:`thaw.report.learning.curve_metrics.curve_metrics_frame`.
        spec: What was planned.
        source: Flavor address of the transfer.
        target: Flavor address of the transfer.

    Returns:
        One row per quarter; ``conditions`` has the leader of each. No rows without curves.
    """
    rows = _rows(metrics, source, target)
    leads = {metric: (c, row) for (c, metric), row in rows.items() if metric.startswith("lead_at_")}
    quarters = [percent for percent in QUARTERS if f"lead_at_{percent}" in leads]
    has_parts = (FIRST, f"difference_to_{SECOND}_at_{QUARTERS[0]}") in rows
    columns = ["Leads", "Ahead of the next by"]
    cells = []
    for percent in quarters:
        leader, row = leads[f"lead_at_{percent}"]
        ahead = row["ci_low"] > 0
        cell = Cell(condition_name(leader), "value", bold=ahead, note=str(row["note"]))
        line = [cell, _cell(row)]
        if has_parts:
            line.append(_cell(rows.get((FIRST, f"difference_to_{SECOND}_at_{percent}"))))
        cells.append(tuple(line))
    if has_parts:
        columns.append("Freeze head minus freeze embedding")
    caption = (
        "Returns over the last 5 % before each share of the budget; each interval is for that "
        "share alone. Bold: ahead of every other trained condition there. "
    )
    return TableFrame(
        metric="budget",
        title=f"Who leads at which budget: {transfer_names(spec.transfers)[source, target]}",
        caption=(caption + speed_sentence(metrics, source, target)).strip(),
        columns=tuple(Column(title) for title in columns),
        labels=tuple(f"{percent} % of the steps" for percent in quarters),
        conditions=tuple(leads[f"lead_at_{percent}"][0] for percent in quarters),
        cells=tuple(cells),
    )


def _rows(metrics: pd.DataFrame, source: str, target: str) -> dict[tuple[str, str], dict[Any, Any]]:
    """Return the rows of one transfer by condition and metric."""
    here = metrics[(metrics["source"] == source) & (metrics["target"] == target)]
    return {(row["condition"], row["metric"]): row for row in here.to_dict("records")}


def _cell(row: dict[Any, Any] | None) -> Cell:
    if row is None:
        return Cell("", "empty")
    note = str(row["note"])
    if not math.isfinite(row["mean"]):
        return Cell("n/a", "not_available", note=note)
    if row["metric"].startswith("share_"):
        text = f"{round(row['mean'] * row['num_seeds'])} of {row['num_seeds']}"
        return Cell(text, "value", note=note)
    return Cell(with_interval(row["mean"], row["ci_low"], row["ci_high"]), "value", note=note)
