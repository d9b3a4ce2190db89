"""How fast a condition learns on the target: areas, ends, regret, and steps to a return.

References:
    Taylor and Stone 2009, Transfer Learning for Reinforcement Learning Domains: A Survey.
    Wolczyk et al. 2021, Continual World: forward transfer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from thaw.report import statistics
from thaw.report.learning.curve_measures import Rise, area, end_return, rise
from thaw.report.learning.thresholds import Reaching, reaching_fixed, reaching_relative
from thaw.report.learning.transfer_curves import TransferCurves, noted, nothing
from thaw.report.runs import Runs, compare
from thaw.report.spec import condition_name
from thaw.report.statistics import Estimate
from thaw.report.words import number

SHARES = {"50": 0.5, "75": 0.75, "90": 0.9}
"""Thresholds, as shares of the way from random to the end of scratch."""

Measured = tuple[str, str, Estimate]
"""Condition, metric and number."""


def speed(transfer: TransferCurves) -> Iterator[Measured]:
    """Yield the numbers of every learning condition of a transfer."""
    areas = {c: transfer.measured(c, area) for c in transfer.learning}
    ends = {c: transfer.measured(c, end_return) for c in transfer.learning}
    for condition in transfer.learning:
        yield from _areas(transfer, condition, areas)
        if condition != transfer.baseline:
            yield condition, "asymptotic_gain", _asymptotic_gain(transfer, condition, ends)
        yield condition, "regret", _regret(transfer, condition, areas, ends)
        yield from _reaching(transfer, condition, ends)


def _areas(transfer: TransferCurves, condition: str, areas: dict[str, Runs]) -> Iterator[Measured]:
    own = areas[condition]
    if not len(own.values):
        yield condition, "area", nothing(transfer.no_curve(condition))
        return
    about = transfer.left_out(condition)
    window = transfer.window
    bounds = transfer.spec.bounds
    estimate = statistics.mean(own.values, bounds=bounds, confidence=transfer.confidence)
    yield condition, "area", noted(estimate, about, window.note if window else "")
    if condition == transfer.baseline:
        return
    base = areas.get(transfer.baseline)
    names = ("area_gain", "forward_transfer", "area_ratio", "area_ratio_above_random")
    if base is None or not len(base.values):
        reason = nothing(transfer.no_curve(transfer.baseline), len(own.values))
        yield from ((condition, name, reason) for name in names)
        return
    random = transfer.scores("random").values
    found = (
        transfer.difference(own, base),
        _forward_transfer(own, base, bounds, transfer),
        _ratio(own, base, None, transfer),
        _ratio(own, base, random, transfer)
        if len(random)
        else nothing("random is missing", len(own.values)),
    )
    yield from ((condition, name, noted(e, about)) for name, e in zip(names, found, strict=True))


def _forward_transfer(
    own: Runs, base: Runs, bounds: tuple[float, float] | None, transfer: TransferCurves
) -> Estimate:
    """Return (A - A_scratch) / (u - A_scratch) = 1 - (u - A) / (u - A_scratch), by Fieller."""
    if bounds is None:
        return nothing("no highest possible return is declared", len(own.values))
    left = statistics.ratio(
        bounds[1] - own.values, bounds[1] - base.values, confidence=transfer.confidence
    )
    name = condition_name(transfer.baseline)
    note = left.note.replace("the denominator", f"{number(bounds[1])} minus {name}'s area")
    return replace(left, value=1 - left.value, low=1 - left.high, high=1 - left.low, note=note)


def _ratio(
    own: Runs, base: Runs, floor: statistics.FloatArray | None, transfer: TransferCurves
) -> Estimate:
    estimate = statistics.ratio(own.values, base.values, floor, confidence=transfer.confidence)
    name = f"{condition_name(transfer.baseline)}'s area" + (
        "" if floor is None else " minus random"
    )
    return replace(estimate, note=estimate.note.replace("the denominator", name))


def _asymptotic_gain(transfer: TransferCurves, condition: str, ends: dict[str, Runs]) -> Estimate:
    own, base = ends[condition], ends.get(transfer.baseline)
    if not len(own.values):
        return nothing(transfer.no_curve(condition))
    if base is None or not len(base.values):
        return nothing(transfer.no_curve(transfer.baseline), len(own.values))
    rising = [c for c in (condition, transfer.baseline) if _still_rises(transfer, c)]
    note = f"still rising at the end: {', '.join(map(condition_name, rising))}" if rising else ""
    return noted(transfer.difference(own, base), note, transfer.left_out(condition))


def _still_rises(transfer: TransferCurves, condition: str) -> bool:
    """Whether the last points are shown to be above the group of points before them."""
    last = transfer.measured(condition, end_return)
    earlier = transfer.measured(condition, lambda c, w: end_return(c, w, before=1))
    shared = sorted(set(last.seeds) & set(earlier.seeds))
    change = statistics.paired_difference(last.of(shared).values, earlier.of(shared).values)
    return change.low > 0


def _regret(
    transfer: TransferCurves, condition: str, areas: dict[str, Runs], ends: dict[str, Runs]
) -> Estimate:
    """Return the mean distance to a reference: the highest possible return, or the best end."""
    own = areas[condition]
    if not len(own.values):
        return nothing(transfer.no_curve(condition))
    if transfer.spec.bounds is not None:
        high = transfer.spec.bounds[1]
        note = f"to the highest possible return, {number(high)}"
    else:
        means = {c: float(runs.values.mean()) for c, runs in ends.items() if len(runs.values)}
        best = max(means, key=means.__getitem__)
        high = means[best]
        note = f"to the end of {condition_name(best)}, {number(high)}, which favors that condition"
    estimate = statistics.mean(high - own.values, confidence=transfer.confidence)
    return noted(estimate, note)


def _reaching(
    transfer: TransferCurves, condition: str, ends: dict[str, Runs]
) -> Iterator[Measured]:
    window = transfer.window
    rises = {
        c: [rise(curve, window) for curve in transfer.curves(c)] if window else []
        for c in (condition, transfer.baseline)
    }
    own, base = rises[condition], rises[transfer.baseline]
    is_base = condition == transfer.baseline
    why_not = _why_no_threshold(transfer, ends) if own else transfer.no_curve(condition)
    random = transfer.scores("random").values
    for name, share in SHARES.items():
        if why_not or window is None:
            yield condition, f"steps_to_{name}", nothing(why_not, len(own))
            continue
        high = ends[transfer.baseline].values
        found = reaching_relative(
            None if is_base else own, base, high, random, share, window.end, transfer.confidence
        )
        threshold = share * (float(high.mean()) - float(random.mean())) + float(random.mean())
        yield from _three(condition, name, found, threshold, own, window.end)
    fixed = transfer.spec.threshold
    if fixed is None or not own or window is None:
        return
    found = reaching_fixed(
        own, None if is_base or not base else base, fixed, window.end, transfer.confidence
    )
    yield from _three(condition, "threshold", found, fixed, own, window.end)


def _three(
    condition: str,
    name: str,
    found: Reaching,
    threshold: float,
    own: Sequence[Rise],
    budget: float,
) -> Iterator[Measured]:
    reached, total = round(found.share.value * found.share.num_seeds), found.share.num_seeds
    note = f"return {number(threshold)}"
    missed = total - reached
    kept = f"{missed} of {total} did not reach it and count as {budget:,.0f}" if missed else ""
    if found.steps.value <= max(float(rise.steps[0]) for rise in own):
        kept = "reached in the first window of 5 % of the budget; no earlier step is looked at"
    yield condition, f"share_reaching_{name}", noted(found.share, note)
    yield condition, f"steps_to_{name}", noted(found.steps, note, kept)
    if found.saved is not None:
        yield condition, f"steps_saved_to_{name}", noted(found.saved, note)


def _why_no_threshold(transfer: TransferCurves, ends: dict[str, Runs]) -> str:
    """Return why there is no threshold between random and the baseline; empty if there is one."""
    name = condition_name(transfer.baseline)
    high, low = ends.get(transfer.baseline), transfer.scores("random")
    if high is None or not len(high.values):
        return transfer.no_curve(transfer.baseline)
    if not len(low.values):
        return "random is missing"
    gain, _ = compare(high, low, transfer.confidence)
    if gain.low > 0 or (math.isnan(gain.low) and gain.value > 0):
        return ""
    return f"{name} is not shown to end above random, so no return lies between them"
