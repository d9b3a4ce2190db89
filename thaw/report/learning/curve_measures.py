"""Numbers of one learning curve: its area, its end, its beginning, and when it reaches a return.

All of them look at one run only. What lies between two points of a run is interpolated; what lies
before its first or after its last point is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from thaw.report.curves import Curve
from thaw.report.statistics import FloatArray

LAST_BINS = 5
"""Points whose mean is the end of a curve, as in Continual World; at most a quarter of them."""
SMOOTHING = 0.05
"""Width of a moving window, as a share of the budget: one bin of few episodes is too noisy."""
EARLY = (0.01, 0.05)
"""The window, as shares of the budget, whose mean is compared with the return before training."""
SLACK = 0.1
"""Share of the budget by which a curve may begin later or end earlier than others, and count."""


class Window(NamedTuple):
    """The range of steps in which the curves of one transfer are compared.

    Attributes:
        start: The latest first point of the curves that count.
        end: Their earliest last point: the common budget T.
        note: What a reader must know about it; may be empty.
    """

    start: float
    end: float
    note: str = ""

    def covered_by(self, curve: Curve) -> bool:
        """Whether a curve reaches over the whole window."""
        return bool(curve.steps[0] <= self.start and curve.steps[-1] >= self.end)


def common_window(groups: Mapping[str, Sequence[Curve]]) -> Window | None:
    """Return the window of several conditions' curves; None if they have no common range.

    A condition's budget is the median over its seeds, so that one run that ended early, or whose
    first episode ended late, does not shorten the comparison. Such a run is left out instead.
    """
    there = [curves for curves in groups.values() if curves]
    if not there:
        return None
    starts = [float(np.median([curve.steps[0] for curve in curves])) for curves in there]
    ends = [float(np.median([curve.steps[-1] for curve in curves])) for curves in there]
    slack = SLACK * min(ends)
    counted = [
        curve
        for curves in there
        for curve in curves
        if curve.steps[0] <= max(starts) + slack and curve.steps[-1] >= min(ends) - slack
    ]
    if not counted:
        return None
    start = max(float(curve.steps[0]) for curve in counted)
    end = min(float(curve.steps[-1]) for curve in counted)
    if end < start:
        return None
    unequal = max(ends) > min(ends) + slack
    note = f"budgets differ: compared up to {end:,.0f} steps" if unequal else ""
    return Window(start, end, note)


def value_at(curve: Curve, steps: float) -> float:
    """Return the interpolated return at a step; NaN outside of the curve."""
    return float(np.interp(steps, curve.steps, curve.values, left=np.nan, right=np.nan))


def area(curve: Curve, window: Window) -> float:
    """Return the mean return over a window by the trapezoid rule; NaN if the curve is shorter.

    The mean of the points would weigh the places where they are dense.
    """
    if window.end == window.start:
        return value_at(curve, window.end)
    inside = (curve.steps > window.start) & (curve.steps < window.end)
    steps = np.concatenate([[window.start], curve.steps[inside], [window.end]])
    edges = value_at(curve, window.start), value_at(curve, window.end)
    values = np.concatenate([[edges[0]], curve.values[inside], [edges[1]]])
    total = float(((values[1:] + values[:-1]) / 2 * np.diff(steps)).sum())
    return total / (window.end - window.start)


def end_return(curve: Curve, window: Window, *, before: int = 0) -> float:
    """Return the mean of the last points inside a window.

    Args:
        curve: Of one run.
        window: Points after its end do not count.
        before: How many such groups of points lie between; 1 gives the group before the last.
    """
    values = curve.values[curve.steps <= window.end]
    number = max(1, min(LAST_BINS, len(values) // 4))
    stop = len(values) - before * number
    return float(values[max(0, stop - number) : stop].mean()) if stop > 0 else math.nan


def early_return(curve: Curve, window: Window) -> float:
    """Return the mean of the points in the early window; NaN if there is none."""
    first, last = EARLY[0] * window.end, EARLY[1] * window.end
    chosen = (curve.steps > first * (1 + 1e-9)) & (curve.steps <= last * (1 + 1e-9))
    return float(curve.values[chosen].mean()) if chosen.any() else math.nan


def moving_mean(curve: Curve, width: float) -> FloatArray:
    """Return [Q] at each point the mean of the points in the last `width` steps up to it."""
    sums = np.concatenate([[0.0], np.cumsum(curve.values)])
    first = np.searchsorted(curve.steps, curve.steps - width * (1 - 1e-9), side="right")
    last = np.arange(1, len(curve.steps) + 1)
    return np.asarray((sums[last] - sums[first]) / (last - first))


def return_at(curve: Curve, window: Window, share: float) -> float:
    """Return the mean of the last 5 % of the budget before a share of it.

    Args:
        curve: Of one run.
        window: Whose end is the budget.
        share: Of the budget, as 0.25.

    Returns:
        The mean; where no point lies there, the interpolated return; NaN outside of the curve.
    """
    stop = share * window.end
    chosen = (curve.steps > stop - SMOOTHING * window.end * (1 - 1e-9)) & (
        curve.steps <= stop * (1 + 1e-9)
    )
    return float(curve.values[chosen].mean()) if chosen.any() else value_at(curve, stop)


class Rise(NamedTuple):
    """The highest moving mean that a curve has reached by each of its points.

    Attributes:
        steps: [Q] the points from the first whole moving window on.
        highest: [Q] the highest moving mean up to each of them.
    """

    steps: FloatArray
    highest: FloatArray

    def first_reach(self, thresholds: FloatArray) -> FloatArray:
        """Return [K] the first step at which each threshold is reached; infinite if it is not."""
        tolerance = 1e-9 * np.maximum(1.0, np.abs(thresholds))
        place = np.searchsorted(self.highest, thresholds - tolerance, side="left")
        return np.append(self.steps, np.inf)[place]


def rise(curve: Curve, window: Window) -> Rise:
    """Return how high a curve has been by each step.

    It looks at whole moving windows only: the first points alone would be too noisy, and the
    first crossing of a noisy curve comes too early.
    """
    width = SMOOTHING * window.end
    whole = (curve.steps >= width * (1 - 1e-9)) & (curve.steps <= window.end)
    means = moving_mean(curve, width)[whole]
    return Rise(curve.steps[whole], np.maximum.accumulate(means))


def finite(values: Iterable[tuple[int, float]]) -> tuple[tuple[int, ...], FloatArray]:
    """Return the seeds and values of the runs that have one."""
    known = [(seed, value) for seed, value in values if math.isfinite(value)]
    return tuple(seed for seed, _ in known), np.array([value for _, value in known])
