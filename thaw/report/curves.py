"""Averages learning curves over seeds, aligned on the right edges of the bins."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from thaw.report import statistics
from thaw.report.scores import planned_rows
from thaw.report.spec import ReportSpec


class CurvePoints(NamedTuple):
    """One condition's curve of P points, one at the right edge of each bin.

    Attributes:
        steps: [P] agent steps after the transfer.
        mean: [P] mean return over the seeds that have a value in the bin.
        low: [P] lower bound; NaN where fewer than three seeds have a value.
        high: [P] upper bound, NaN in the same way.
        num_seeds: [P] int, the seeds that have a value.
    """

    steps: statistics.FloatArray
    mean: statistics.FloatArray
    low: statistics.FloatArray
    high: statistics.FloatArray
    num_seeds: np.ndarray[Any, np.dtype[np.int64]]


def curve_points(
    curves: pd.DataFrame,
    spec: ReportSpec,
    source: str,
    target: str,
    condition: str,
) -> CurvePoints:
    """Average a condition's curves over seeds, aligned on the right edges of the bins.

    A seed that finished no episode in a bin has no value there; nothing is filled in.

    Args:
        curves: As :func:`thaw.report.scores.check_curves` returns them.
        spec: What was planned.
        source: Flavor address of the transfer, empty where it is unknown.
        target: Flavor address of the transfer.
        condition: Of the transfer.
    """
    rows = planned_rows(curves, spec, source, target, condition)
    wide = rows.pivot(index="seed", columns="steps", values="mean_return").sort_index()
    values = wide.to_numpy(dtype=np.float64)  # [N, P]
    present = ~np.isnan(values)
    num_points = values.shape[1]
    mean, low, high = (np.full(num_points, np.nan) for _ in range(3))
    masks, which = np.unique(present, axis=1, return_inverse=True)
    for i in range(masks.shape[1] if num_points else 0):
        seeds, points = masks[:, i], which.ravel() == i
        there = values[np.ix_(seeds, points)]
        mean[points] = there.mean(axis=0)
        if len(there) >= statistics.MIN_SEEDS:
            half = statistics.critical_t(len(there) - 1) * there.std(axis=0, ddof=1)
            half = half / np.sqrt(len(there))
            low[points], high[points] = mean[points] - half, mean[points] + half
    steps = wide.columns.to_numpy(dtype=np.float64)
    return CurvePoints(steps, mean, low, high, present.sum(axis=0))
