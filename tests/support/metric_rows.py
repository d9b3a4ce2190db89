"""The metrics of one transfer's curves, by condition and metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from curve_frames import SOURCE, TARGET, even

from thaw.report.learning.curve_metrics import UNITS, curve_metrics_frame
from thaw.report.scores import check_curves, check_scores
from thaw.report.spec import ReportSpec

Rows = dict[tuple[str, str], dict[Any, Any]]
"""Rows of the table of metrics, by condition and metric."""

TRANSFER = (SOURCE, TARGET)
ALL = ("random", "scratch", "update_all", "freeze_embedding", "freeze_head", "freeze_all")


def spec_of(num_seeds: int, **fields: Any) -> ReportSpec:
    """Return the spec of one transfer under all conditions."""
    return ReportSpec("n", (TRANSFER,), ALL, tuple(range(num_seeds)), **fields)


def measured(scores: pd.DataFrame, curves: pd.DataFrame | None, spec: ReportSpec) -> Rows:
    """Return the metrics, after a check that each is known and there once."""
    frame = curve_metrics_frame(
        check_scores(scores), None if curves is None else check_curves(curves), spec
    )
    assert not frame.duplicated(["source", "target", "condition", "metric"]).any()
    assert set(frame["metric"]) <= set(UNITS)
    return {(row["condition"], row["metric"]): row for row in frame.to_dict("records")}


def flat(values: Iterable[float], bins: int = 100) -> list[dict[int, float]]:
    """Curves that stay at one return."""
    return [even([value] * bins) for value in values]


def reach_at(step: int, bins: int = 100) -> dict[int, float]:
    """A curve that jumps from 0 to 1: every moving mean above 0.8 begins five bins later."""
    return even([float(10 * (i + 1) > step) for i in range(bins)])


def interval(row: Mapping[Any, Any]) -> tuple[float, float]:
    """Return both ends of a row's interval."""
    return float(row["ci_low"]), float(row["ci_high"])
