"""The verdict as a function of the budget: who leads after a quarter of the steps, and after all.

A condition that leads early and no longer at the end has a difference of speed, which a longer or
shorter budget would show otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from thaw.report.curves import Curve
from thaw.report.leads import leads_of
from thaw.report.learning.curve_measures import Window, area, return_at, value_at
from thaw.report.learning.speed import Measured
from thaw.report.learning.transfer_curves import TransferCurves, noted, nothing
from thaw.report.runs import Runs
from thaw.report.spec import condition_name
from thaw.report.statistics import Estimate, FloatArray
from thaw.report.words import listed, with_interval

QUARTERS = (25, 50, 75, 100)
"""Percent of the budget at which the conditions are compared."""
FIRST, SECOND = "freeze_head", "freeze_embedding"
"""The comparison that was fixed before the runs: train the embedding, or train the head?"""
GRID_POINTS = 101
"""Points of a difference curve at most."""


class DifferenceCurve(NamedTuple):
    """The difference of two conditions at P steps, each with an interval of its own.

    Attributes:
        steps: [P] agent steps after the transfer.
        value: [P] mean return of the first minus that of the second.
        low: [P] lower bound, pointwise; NaN where there is none.
        high: [P] upper bound, NaN in the same way.
    """

    steps: FloatArray
    value: FloatArray
    low: FloatArray
    high: FloatArray


def budget(transfer: TransferCurves) -> Iterator[Measured]:
    """Yield the leads, and freeze head minus freeze embedding, at each quarter of the budget."""
    if transfer.window is None:
        return
    at = {
        percent: {c: transfer.measured(c, _mean_at(percent)) for c in transfer.learning}
        for percent in QUARTERS
    }
    for percent, runs in at.items():
        there = {condition: found for condition, found in runs.items() if len(found.values)}
        if len(there) > 1:
            yield _lead(transfer, there, f"lead_at_{percent}")


def parts(transfer: TransferCurves, *, with_curves: bool) -> Iterator[Measured]:
    """Yield freeze head minus freeze embedding: at the end, over the curve, and by budget.

    Args:
        transfer: The runs.
        with_curves: Whether there are learning curves.
    """
    if not {FIRST, SECOND} <= set(transfer.spec.conditions):
        return
    name = f"difference_to_{SECOND}"
    yield FIRST, name, _difference(transfer, transfer.scores(FIRST), transfer.scores(SECOND))
    if not with_curves:
        return
    both = [transfer.measured(c, area) for c in (FIRST, SECOND)]
    yield FIRST, f"area_{name}", _difference(transfer, *both)
    for percent in QUARTERS:
        both = [transfer.measured(c, _mean_at(percent)) for c in (FIRST, SECOND)]
        yield FIRST, f"{name}_at_{percent}", _difference(transfer, *both)
    both = [transfer.measured(c, _change) for c in (FIRST, SECOND)]
    yield FIRST, f"{name}_change", _difference(transfer, *both)


def difference_curve(
    transfer: TransferCurves, first: str = FIRST, second: str = SECOND
) -> DifferenceCurve | None:
    """Return the difference of two conditions along the budget; None without common curves.

    Args:
        transfer: The runs.
        first: The condition whose return counts positive.
        second: The condition whose return is subtracted.
    """
    window = transfer.window
    ones, others = transfer.curves(first), transfer.curves(second)
    if window is None or not ones or not others:
        return None
    steps = _grid([*ones, *others], window)
    found = []
    for at in steps:

        def there(curve: Curve, _: Window, step: float = float(at)) -> float:
            return value_at(curve, step)

        found.append(
            transfer.difference(transfer.measured(first, there), transfer.measured(second, there))
        )
    value, low, high = (
        np.array([getattr(estimate, field) for estimate in found])
        for field in ("value", "low", "high")
    )
    return DifferenceCurve(steps, value, low, high)


def speed_sentence(metrics: pd.DataFrame, source: str, target: str) -> str:
    """Say whether freeze head and freeze embedding differ in speed; empty without curves.

    Args:
        metrics: From :func:`thaw.report.learning.curve_metrics.curve_metrics_frame`.
        source: Flavor address of the transfer.
        target: Flavor address of the transfer.
    """
    name = f"difference_to_{SECOND}"
    here = metrics[(metrics["source"] == source) & (metrics["target"] == target)]
    rows = {str(row["metric"]): row for row in here.to_dict("records")}
    found = [rows.get(f"{name}_{end}") for end in ("at_25", "at_100", "change")]
    early, late, change = (_bounds(row) for row in found)
    if any(np.isnan(value) for value, *_ in (early, late, change)):
        return ""
    texts = [with_interval(*bounds) for bounds in (early, late)]
    numbers = f"{texts[0]} after a quarter of the budget, {texts[1]} at its end"
    text = f"Freeze head minus freeze embedding: {numbers}."
    ahead_early, ahead_late = _sign(early), _sign(late)
    moved = _sign(change)
    if ahead_early and moved == -ahead_early:
        leader = condition_name(FIRST if ahead_early > 0 else SECOND)
        if ahead_late == -ahead_early:
            return f"{text} {leader} leads early and falls behind: the budget decides."
        rest = "is ahead at the end too" if ahead_late else "is no longer shown to be ahead"
        return f"{text} {leader} leads early, the lead shrinks, and it {rest}: it is faster."
    if ahead_late and moved == ahead_late:
        leader = condition_name(FIRST if ahead_late > 0 else SECOND)
        return f"{text} The lead of {leader} grows with the budget."
    return f"{text} The change between the two is {with_interval(*change)}."


def _mean_at(percent: int) -> Callable[[Curve, Window], float]:
    def measure(curve: Curve, window: Window) -> float:
        return return_at(curve, window, percent / 100)

    return measure


def _change(curve: Curve, window: Window) -> float:
    """Return how much a run gained from the first quarter of the budget to its end."""
    return return_at(curve, window, 1.0) - return_at(curve, window, QUARTERS[0] / 100)


def _difference(transfer: TransferCurves, first: Runs, second: Runs) -> Estimate:
    for condition, runs in ((FIRST, first), (SECOND, second)):
        if not len(runs.values):
            return nothing(f"{condition_name(condition)} has no such run")
    return transfer.difference(first, second)


def _lead(transfer: TransferCurves, there: dict[str, Runs], metric: str) -> Measured:
    """Return the lead of the condition with the highest mean, as in a verdict at the end."""
    best, leads = leads_of(there, transfer.confidence)
    lead, _ = min(
        leads.values(),
        key=lambda found: (found[0].low if found[0].has_interval else -np.inf, found[0].value),
    )
    rivals = [name for name, (other, _) in leads.items() if not other.low > 0]
    if rivals:
        names = [condition_name(name) for name in (best, *rivals)]
        note = f"not decided; the best may be {listed(names, 'or')}"
    else:
        note = "ahead of every other trained condition"
    return best, metric, noted(lead, note)


def _grid(curves: Sequence[Curve], window: Window) -> FloatArray:
    """Return the steps of the densest curve inside a window, thinned."""
    densest = max(curves, key=lambda curve: len(curve.steps)).steps
    inside = densest[(densest > window.start) & (densest < window.end)]
    steps = np.unique(np.concatenate([[window.start], inside, [window.end]]))
    if len(steps) <= GRID_POINTS:
        return steps
    return np.asarray(steps[np.linspace(0, len(steps) - 1, GRID_POINTS).round().astype(int)])


def _bounds(row: dict[Any, Any] | None) -> tuple[float, float, float]:
    if row is None:
        return (np.nan, np.nan, np.nan)
    return float(row["mean"]), float(row["ci_low"]), float(row["ci_high"])


def _sign(bounds: tuple[float, float, float]) -> int:
    """Return 1 or -1 where an interval lies on one side of zero, else 0."""
    return int(bounds[1] > 0) - int(bounds[2] < 0)
