"""Learning curves averaged over seeds, aligned on the bins' right edges."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from thaw.report import statistics
from thaw.report.spec import ReportSpec

CURVE_RESAMPLES = 2_000
"""Of the bootstrap at each point of a curve; enough for a band, which is drawn and not quoted."""


class CurvePoints(NamedTuple):
    """One condition's curve: at each bin's right edge the mean over the seeds that are there.

    Attributes:
        steps: [P] agent steps after the transfer.
        mean: [P].
        low: [P], NaN where fewer than two seeds have a value.
        high: [P], likewise.
        num_seeds: [P] int.
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
    resamples: int = CURVE_RESAMPLES,
) -> CurvePoints:
    """Average a condition's curves over seeds, aligned on the bin edge.

    A bin in which a seed finished no episode has no value of that seed; nothing is filled in.
    """
    here = curves[(curves["target"] == target) & (curves["condition"] == condition)]
    own = here[here["source"] == source]
    rows = own if len(own) else here[here["source"] == ""]
    rows = rows[rows["seed"].isin(spec.seeds)]
    wide = rows.pivot(index="seed", columns="steps", values="mean_return").sort_index()
    values = wide.to_numpy(dtype=np.float64)  # [N, P]
    present = ~np.isnan(values)
    num_points = values.shape[1]
    mean, low, high = (np.full(num_points, np.nan) for _ in range(3))
    rng = statistics.generator(source, target, condition, "curve")
    masks, which = np.unique(present, axis=1, return_inverse=True)
    for i in range(masks.shape[1] if num_points else 0):
        seeds, points = masks[:, i], which.ravel() == i
        there = values[np.ix_(seeds, points)]
        mean[points] = there.mean(axis=0)
        if len(there) > 1:
            weights = statistics.resample_weights(len(there), resamples, rng)
            low[points], high[points] = statistics.percentile_interval(weights @ there)
    steps = wide.columns.to_numpy(dtype=np.float64)
    return CurvePoints(steps, mean, low, high, present.sum(axis=0))
