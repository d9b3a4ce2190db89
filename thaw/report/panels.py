"""What the figures show: one panel per transfer. The files and the page draw the same panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from thaw.report import curves as curves_of_runs
from thaw.report.curves import CurvePoints, CurveTable
from thaw.report.runs import Runs, RunTable
from thaw.report.spec import UNTRAINED_CONDITIONS, ReportSpec, transfer_names
from thaw.report.statistics import FloatArray

MOST_POINTS = 300
"""Of one curve in a figure: more than a panel has room for."""
FEWEST_POINTS = 50
MOST_POINTS_OF_ALL = 24_000
"""With many curves each has fewer points, so that a page of 1,000 runs stays small."""
MOST_SEED_LINES = 20
"""Curves of single runs in one panel."""


class Curve(NamedTuple):
    """The curve of one condition."""

    condition: str
    points: CurvePoints


class SeedLine(NamedTuple):
    """The curve of one run of P points."""

    condition: str
    seed: int
    steps: FloatArray
    """[P] agent steps after the transfer."""
    returns: FloatArray
    """[P] mean return of the episodes in the bin."""


class CurvePanel(NamedTuple):
    """The learning curves of one transfer."""

    transfer: tuple[str, str]
    title: str
    last_step: float
    curves: tuple[Curve, ...]
    """In the order of the spec's conditions; one that does not train is level."""
    seeds: tuple[SeedLine, ...]
    """At most :data:`MOST_SEED_LINES`, whole seeds first."""


class FinalRow(NamedTuple):
    """The final returns of one condition."""

    condition: str
    runs: Runs
    mean: float
    """NaN where no run has finished."""
    low: float
    """NaN where there is no interval."""
    high: float


class FinalPanel(NamedTuple):
    """The final returns of one transfer."""

    transfer: tuple[str, str]
    title: str
    rows: tuple[FinalRow, ...]


def curve_panels(curves: pd.DataFrame, metrics: pd.DataFrame, spec: ReportSpec) -> list[CurvePanel]:
    """Return the learning curves of every transfer; nothing if no run trained.

    Long curves are thinned: every k-th point is kept as it is, and the last one.

    Args:
        curves: As :func:`thaw.report.scores.check_curves` returns them.
        metrics: From :func:`thaw.report.metrics.metrics_frame`; a condition that does not train
            is level at its mean return.
        spec: What was planned.
    """
    learning = curves[~curves["condition"].isin(UNTRAINED_CONDITIONS)]
    if learning.empty:
        return []
    table = CurveTable(learning, spec)
    names = transfer_names(spec.transfers)
    trained = [c for c in spec.conditions if c not in UNTRAINED_CONDITIONS]
    most = points_per_curve(len(spec.transfers) * len(trained))
    levels = _levels(metrics)
    panels = []
    for transfer in spec.transfers:
        runs = {condition: table.curves(*transfer, condition).curves for condition in trained}
        points = {condition: table.points(*transfer, condition) for condition in trained}
        last = float(max((p.steps[-1] for p in points.values() if len(p.steps)), default=1.0))
        drawn = []
        for condition in spec.conditions:
            found = points.get(condition) or _level(levels.get((*transfer, condition)), last)
            if found is not None and len(found.steps):
                drawn.append(Curve(condition, _thinned(found, most)))
        lines = _seed_lines(runs, most)
        panels.append(CurvePanel(transfer, names[transfer], last, tuple(drawn), lines))
    return panels


def final_panels(scores: pd.DataFrame, metrics: pd.DataFrame, spec: ReportSpec) -> list[FinalPanel]:
    """Return the final returns of every transfer.

    Args:
        scores: As :func:`thaw.report.scores.check_scores` returns them.
        metrics: From :func:`thaw.report.metrics.metrics_frame`.
        spec: What was planned.
    """
    names, table, levels = transfer_names(spec.transfers), RunTable(scores, spec), _levels(metrics)
    panels = []
    for transfer in spec.transfers:
        rows = []
        for condition in spec.conditions:
            mean, low, high, _ = levels.get((*transfer, condition), (np.nan,) * 4)
            runs = table.runs(*transfer, condition)
            rows.append(FinalRow(condition, runs, mean, low, high))
        panels.append(FinalPanel(transfer, names[transfer], tuple(rows)))
    return panels


def points_per_curve(num_curves: int) -> int:
    """Return how many points each curve of a report may have."""
    share = MOST_POINTS_OF_ALL // max(num_curves, 1)
    return min(MOST_POINTS, max(FEWEST_POINTS, share))


def return_range(panel: CurvePanel) -> tuple[float, float]:
    """Return the lowest and the highest value that a panel draws, its bands included."""
    arrays = [part for curve in panel.curves for part in curve.points[1:4]]
    values = np.concatenate(arrays) if arrays else np.zeros(1)
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)


def _kept(number: int, most: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return which of a curve's points are drawn, evenly spread, the last one included."""
    if number <= most:
        return np.arange(number)
    return np.unique(np.linspace(0, number - 1, most).round().astype(np.int64))


def _thinned(points: CurvePoints, most: int) -> CurvePoints:
    kept = _kept(len(points.steps), most)
    return CurvePoints(
        points.steps[kept],
        points.mean[kept],
        points.low[kept],
        points.high[kept],
        points.num_seeds[kept],
    )


def _seed_lines(
    runs: Mapping[str, Sequence[curves_of_runs.Curve]], most: int
) -> tuple[SeedLine, ...]:
    """Return the curves of single runs, all conditions of one seed before the next seed."""
    places = {condition: place for place, condition in enumerate(runs)}
    found = [(run.seed, places[c], c, run) for c, those in runs.items() for run in those]
    lines = []
    for seed, _, condition, run in sorted(found, key=lambda item: item[:2])[:MOST_SEED_LINES]:
        kept = _kept(len(run.steps), most)
        lines.append(SeedLine(condition, seed, run.steps[kept], run.values[kept]))
    return tuple(lines)


def _levels(
    metrics: pd.DataFrame,
) -> dict[tuple[str, str, str], tuple[float, float, float, int]]:
    """Return mean, bounds and number of seeds of each condition's return on the target."""
    shown = metrics[metrics["metric"] == "return"]
    names = ["source", "target", "condition", "mean", "ci_low", "ci_high", "num_seeds"]
    return {
        (str(source), str(target), str(condition)): (float(mean), float(low), float(high), int(n))
        for source, target, condition, mean, low, high, n in shown[names].itertuples(index=False)
    }


def _level(level: tuple[float, float, float, int] | None, last: float) -> CurvePoints | None:
    """Return a flat curve at a condition's mean return; None where it has none."""
    if level is None or not np.isfinite(level[0]):
        return None
    mean, low, high = (np.full(2, value) for value in level[:3])
    return CurvePoints(np.array([0.0, last]), mean, low, high, np.full(2, level[3]))
