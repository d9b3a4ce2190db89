"""Writes the page's tables: the report's tables, numbers over all transfers, and the heat map.

The page's script lets a reader sort a table of the class ``sortable``. A wide table scrolls
inside its own box.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import pandas as pd

from thaw.report.spec import ReportSpec, condition_name, transfer_names
from thaw.report.tables import Cell, TableFrame
from thaw.report.words import number

FEWEST_FOR_HEAT_MAP = 4
"""Transfers; fewer are easy to compare in the main table."""
_STRONGEST = 46
"""Percent of the accent color; text stays readable on it in both themes."""

_STATISTICS = {
    "iqm": "IQM",
    "mean": "mean",
    "median": "median",
    "optimality_gap": "optimality gap",
}
_AGGREGATES_CAPTION = (
    "Interquartile mean (IQM) over all runs, and mean of the transfers' means, each with a 95 % "
    "interval in which the runs of one pretraining are one unit. It speaks of these transfers, not "
    "of others."
)


def box(name: str, head: str, rows: Sequence[str], *, sortable: bool = True) -> str:
    """Return a table in a box that scrolls sideways where it is too wide.

    Args:
        name: For screen readers; must be escaped.
        head: The row of headings.
        rows: The other rows.
        sortable: Whether the page's script makes it sortable.
    """
    kind = ' class="sortable"' if sortable and len(rows) > 1 else ""
    return (
        f'<div class="wide" role="region" aria-label="{name}" tabindex="0"><table{kind}>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def table(frame: TableFrame, numbers: Mapping[str, int]) -> str:
    """Return one of the report's tables.

    Args:
        frame: What to print.
        numbers: The number of each condition's color variable.
    """
    head = '<th scope="col">condition</th>' + "".join(
        '<th scope="col" class="paper">paper</th>'
        if column.from_paper
        else f'<th scope="col">{escape(column.title)}</th>'
        for column in frame.columns
    )
    rows = [
        f'<tr><th scope="row">{swatch(numbers.get(condition))}{escape(label)}</th>'
        f"{''.join(map(_cell, cells))}</tr>"
        for condition, label, cells in zip(frame.conditions, frame.labels, frame.cells, strict=True)
    ]
    caption = f'<p class="soft">{escape(frame.caption)}</p>'
    return box(escape(frame.title), head, rows) + caption


def swatch(look: int | None) -> str:
    """Return a spot in a condition's color; nothing for a condition without one."""
    return (
        ""
        if look is None
        else f'<span class="swatch" style="background:var(--look-{look})"></span>'
    )


def aggregates(frame: pd.DataFrame) -> str:
    """Return the numbers over all transfers.

    Args:
        frame: From :func:`thaw.report.aggregates.aggregates_frame`, with at least one row.
    """
    there = [name for name in _STATISTICS if name in set(frame["statistic"])]
    head = '<th scope="col">condition</th>' + "".join(
        f'<th scope="col">{_STATISTICS[name]}</th>' for name in there
    )
    rows = []
    for condition, group in frame.groupby("condition", sort=False):
        found = {str(row["statistic"]): row for _, row in group.iterrows()}
        cells = "".join(f"<td>{_interval(found.get(name))}</td>" for name in there)
        name = escape(condition_name(str(condition)))
        rows.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    notes = " ".join(f"{note}." for note in dict.fromkeys(frame["note"]) if note)
    caption = f'<p class="soft">{escape(f"{_AGGREGATES_CAPTION} {notes}".strip())}</p>'
    return box("Over all transfers", head, rows) + caption


def heat_map(metrics: pd.DataFrame, spec: ReportSpec) -> str:
    """Return a table of means, each transfer colored from its lowest to its highest condition.

    Args:
        metrics: From :func:`thaw.report.metrics.metrics_frame`.
        spec: What was planned.

    Returns:
        Nothing with fewer than :data:`FEWEST_FOR_HEAT_MAP` transfers.
    """
    if len(spec.transfers) < FEWEST_FOR_HEAT_MAP:
        return ""
    shown = metrics[metrics["metric"] == spec.main_metric]
    columns = ["source", "target", "condition", "mean"]
    means = {
        (str(source), str(target), str(condition)): float(mean)
        for source, target, condition, mean in shown[columns].itertuples(index=False)
    }
    titles = transfer_names(spec.transfers)
    head = '<th scope="col">transfer</th>' + "".join(
        f'<th scope="col">{escape(condition_name(c))}</th>' for c in spec.conditions
    )
    rows = []
    for transfer in spec.transfers:
        values = [means.get((*transfer, c), np.nan) for c in spec.conditions]
        finite = [value for value in values if np.isfinite(value)]
        low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
        cells = "".join(_heat(value, low, high) for value in values)
        rows.append(f'<tr><th scope="row">{escape(titles[transfer])}</th>{cells}</tr>')
    caption = (
        "The same means as in the main table. The stronger a cell's color, the nearer is its "
        "condition to the best of its transfer. Colors say nothing about certainty."
    )
    return f'{box("All transfers at a glance", head, rows)}<p class="soft">{caption}</p>'


def _heat(value: float, low: float, high: float) -> str:
    if not np.isfinite(value):
        return '<td class="not_available">n/a</td>'
    share = round(_STRONGEST * (value - low) / (high - low)) if high > low else 0
    color = f"color-mix(in srgb,var(--accent) {share}%,transparent)"
    return f'<td style="background:{color}">{number(value)}</td>'


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    text = re.sub(r" (\[[^\]]*\])", r' <span class="interval">\1</span>', text)
    text = re.sub(r" (\([^)]*seeds\))", r' <span class="seeds">\1</span>', text)
    text = f"<strong>{text}</strong>" if cell.bold else text
    title = f' title="{escape(cell.note)}"' if cell.note else ""
    return f'<td class="{cell.kind}"{title}>{text}</td>'


def _interval(row: pd.Series | None) -> str:
    if row is None or not np.isfinite(float(row["mean"])):
        return "n/a"
    low, high = float(row["ci_low"]), float(row["ci_high"])
    interval = f' <span class="interval">[{low:.3f}, {high:.3f}]</span>'
    return f"{float(row['mean']):.3f}{interval if np.isfinite(low) else ''}"
