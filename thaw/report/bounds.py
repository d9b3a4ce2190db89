"""Checks that returns lie within the bounds that were declared for them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from thaw.config.errors import InputError
from thaw.report.scores import ON_SOURCE, ON_TARGET

TOLERANCE = 1e-9
"""The share of the bounds' distance by which a mean may miss a bound: it is rounded."""


def check_within_bounds(
    frame: pd.DataFrame, bounds: tuple[float, float] | None, where: str = "scores"
) -> None:
    """Check that every return lies within the bounds.

    Intervals are cut there. Beyond them, an interval would not hold its own mean.

    Args:
        frame: Scores or curves, checked.
        bounds: The lowest and the highest possible return; None if they are not known.
        where: Named at the start of an error.

    Raises:
        InputError: A return is outside; the message names the row.
    """
    if bounds is None:
        return
    low, high = bounds
    slack = TOLERANCE * (high - low)
    for name in (ON_TARGET.mean, ON_SOURCE.mean):
        if name not in frame:
            continue
        values = frame[name].to_numpy(dtype=float)
        outside = np.flatnonzero((values < low - slack) | (values > high + slack))
        if len(outside):
            row = int(outside[0])
            raise InputError(
                f"{where}: row {row + 1}: {name} {values[row]:.10g} is outside the bounds "
                f"{low:g} to {high:g}; bounds are the lowest and the highest possible return: "
                "correct --bounds (in a suite report.bounds of its suite.yaml), or leave them out"
            )
