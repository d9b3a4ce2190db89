"""What a transfer begins with and what it costs: the first return, the dip, the source.

References:
    Taylor and Stone 2009, Transfer Learning for Reinforcement Learning Domains: jumpstart.
    Powers et al. 2022, CORA: the return before a phase minus that after it is isolated forgetting.
    Lopez-Paz and Ranzato 2017, Gradient Episodic Memory: backward transfer has our sign.
    Zhou et al. 2024, WSRL (arXiv 2412.07762): unlearning when fine-tuning begins.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from thaw.report import statistics
from thaw.report.gates import pretrained_runs
from thaw.report.learning.curve_measures import EARLY, early_return, rise
from thaw.report.learning.speed import Measured
from thaw.report.learning.thresholds import reaching_own
from thaw.report.learning.transfer_curves import TransferCurves, noted, nothing
from thaw.report.runs import Runs
from thaw.report.scores import ON_SOURCE
from thaw.report.spec import INDEPENDENT_CONDITIONS, condition_name
from thaw.report.statistics import Estimate


def first_returns(transfer: TransferCurves, *, with_curves: bool) -> Iterator[Measured]:
    """Yield what the untouched policy gets on the target.

    Args:
        transfer: The runs.
        with_curves: Whether there are learning curves.
    """
    zero = transfer.scores("freeze_all")
    if "freeze_all" not in transfer.spec.conditions:
        return
    names = ("jumpstart",) * with_curves + ("jumpstart_over_random", "zero_shot_gap")
    if not len(zero.values):
        yield from (("freeze_all", name, nothing("no finished run")) for name in names)
        return
    if with_curves:
        yield "freeze_all", "jumpstart", _jumpstart(transfer, zero)
    random = transfer.scores("random")
    above = (
        transfer.difference(zero, random) if len(random.values) else nothing("random is missing")
    )
    yield "freeze_all", "jumpstart_over_random", above
    yield "freeze_all", "zero_shot_gap", _zero_shot_gap(transfer, zero)


def price(transfer: TransferCurves, *, with_curves: bool) -> Iterator[Measured]:
    """Yield the dip, the recovery and the change on the source of each condition.

    Args:
        transfer: The runs.
        with_curves: Whether there are learning curves.
    """
    for condition in transfer.learning:
        if condition in INDEPENDENT_CONDITIONS:
            continue
        if with_curves:
            yield from _dip(transfer, condition)
        yield from _change_on_source(transfer, condition)


def _jumpstart(transfer: TransferCurves, zero: Runs) -> Estimate:
    base = transfer.measured(transfer.baseline, lambda curve, _: float(curve.values[0]))
    name = condition_name(transfer.baseline)
    if not len(base.values):
        return nothing(transfer.no_curve(transfer.baseline), len(zero.values))
    edge = max(float(curve.steps[0]) for curve in transfer.curves(transfer.baseline))
    note = f"{name} by its first bin, up to {edge:,.0f} steps: an untrained network, not random"
    return noted(transfer.difference(zero, base), note)


def _zero_shot_gap(transfer: TransferCurves, zero: Runs) -> Estimate:
    if not transfer.source or _game(transfer.source) != _game(transfer.target):
        return nothing(
            "source and target are not flavors of one environment: their returns have no common "
            "unit",
            len(zero.values),
        )
    before = pretrained_runs(transfer.table, transfer.source)._replace(paired=zero.paired)
    if not len(before.values):
        return nothing("the pretraining's own return is missing", len(zero.values))
    return transfer.difference(zero, before)


def _dip(transfer: TransferCurves, condition: str) -> Iterator[Measured]:
    zero = transfer.scores("freeze_all")
    early = transfer.measured(condition, early_return)
    names = ("dip", "share_recovered", "recovery_steps")
    if not len(zero.values):
        reason = "freeze_all, the return before training, is missing"
        yield from ((condition, name, nothing(reason)) for name in names)
        return
    if len(early.values):
        yield condition, "dip", transfer.difference(zero, early)
    elif transfer.curves(condition):
        share = f"{EARLY[0]:.0%} and {EARLY[1]:.0%}".replace("%", " %")
        reason = f"no bin ends between {share} of the budget; use more bins (report.num_bins)"
        yield condition, "dip", nothing(reason)
    else:
        yield condition, "dip", nothing(transfer.no_curve(condition))
    yield from _recovery(transfer, condition, zero)


def _recovery(transfer: TransferCurves, condition: str, zero: Runs) -> Iterator[Measured]:
    window = transfer.window
    before = dict(zip(zero.seeds, zero.values.tolist(), strict=True))
    curves = [curve for curve in transfer.curves(condition) if curve.seed in before]
    if window is None or not curves or not (zero.paired and transfer.is_paired(condition)):
        reason = transfer.no_curve(condition)
        if window is not None and transfer.curves(condition):
            reason = "no run shares its pretraining with a run of freeze_all"
        yield condition, "share_recovered", nothing(reason)
        yield condition, "recovery_steps", nothing(reason)
        return
    found = reaching_own(
        [rise(curve, window) for curve in curves],
        np.array([before[curve.seed] for curve in curves]),
        window.end,
        transfer.confidence,
    )
    missed = found.share.num_seeds - round(found.share.value * found.share.num_seeds)
    note = f"{missed} of {len(curves)} did not come back and count as {window.end:,.0f}"
    yield condition, "share_recovered", found.share
    yield condition, "recovery_steps", noted(found.steps, note if missed else "")


def _change_on_source(transfer: TransferCurves, condition: str) -> Iterator[Measured]:
    table, source, target = transfer.table, transfer.source, transfer.target
    names = ("change_on_source", "change_on_source_relative")
    after = table.runs(source, target, condition, ON_SOURCE)
    before = pretrained_runs(table, source)._replace(paired=True) if source else None
    reason = ""
    if not len(after.values):
        reason = "not measured"
    elif before is None or not len(before.values):
        reason = "the pretraining's own return is missing"
    elif not after.paired:
        reason = "the runs are not known to start from these pretrainings"
    if reason or before is None:
        yield from ((condition, name, nothing(reason, len(after.values))) for name in names)
        return
    yield condition, names[0], transfer.difference(after, before)
    random = table.runs("", source, "random")
    yield condition, names[1], _relative_change(after, before, random, transfer.confidence)


def _relative_change(after: Runs, before: Runs, random: Runs, confidence: float) -> Estimate:
    """Estimate (after - before) / (before - random) by Fieller; after and before are paired."""
    shared = sorted(set(after.seeds) & set(before.seeds))
    one, other = after.of(shared).values, before.of(shared).values
    if not len(random.values):
        return nothing("random has no run on the source", len(shared))
    if min(len(shared), len(random.values)) < statistics.MIN_SEEDS:
        fewest = min(len(shared), len(random.values))
        return nothing(statistics.few_seeds(fewest), len(shared))
    skill = statistics.difference(other, random.values, confidence=confidence)
    if not skill.low > 0:
        return nothing("the pretraining is not shown to be above random", len(shared))
    change = one - other
    value = float(change.mean()) / skill.value
    covariance = np.cov(change, other) / len(shared)
    own = float(random.values.var(ddof=1)) / len(random.values)
    terms = (
        float((change - value * other).var(ddof=1)) / len(shared),
        value**2 * own,
    )
    if sum(terms) == 0:
        return replace(nothing("all seeds are equal: no interval", len(shared)), value=value)
    free = statistics.pooled_degrees(terms, (len(shared) - 1, len(random.values) - 1))
    t = statistics.critical_t(free, confidence)
    # The bounds are the roots of a x^2 - 2 b x + c = 0.
    a = skill.value**2 - t**2 * (float(covariance[1, 1]) + own)
    b = float(change.mean()) * skill.value - t**2 * float(covariance[0, 1])
    c = float(change.mean()) ** 2 - t**2 * float(covariance[0, 0])
    if a <= 0:
        return nothing("the pretraining is not shown to be above random", len(shared))
    root = math.sqrt(max(0.0, b * b - a * c))
    error = math.sqrt(sum(terms)) / skill.value
    return Estimate(value, (b - root) / a, (b + root) / a, len(shared), error, free)


def _game(address: str) -> str:
    return address.partition("?")[0].partition("@")[0]
