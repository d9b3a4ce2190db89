"""How much pretraining is enough: the return after the transfer, by the steps before it.

The runs that start from milestones are in no other part of the report. Its verdicts concern the
final policy of the pretraining.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from thaw.report import statistics
from thaw.report.curves import CurvePoints
from thaw.report.leads import margin_of
from thaw.report.panels import Curve, CurvePanel
from thaw.report.runs import RunTable, compare
from thaw.report.spec import ReportSpec, condition_name, transfer_names
from thaw.report.statistics import NO_ESTIMATE, Estimate
from thaw.report.words import estimate_text, number

LEVELS = ("scratch", "random")
"""Conditions without a source; they are drawn level."""

COLUMNS = (
    "source", "target", "condition", "source_step", "mean", "ci_low", "ci_high", "num_seeds",
    "final_minus_this", "final_minus_this_low", "final_minus_this_high", "paired",
)  # fmt: skip


class Amount(NamedTuple):
    """One condition of one transfer after one amount of pretraining."""

    source_step: int
    result: Estimate
    """Mean return on the target."""
    rest: Estimate
    """What the rest of the pretraining adds; no number at its end."""
    is_paired: bool


class Amounts(NamedTuple):
    """One condition of one transfer, by the amount of pretraining; the last one is all of it."""

    source: str
    target: str
    condition: str
    by_step: tuple[Amount, ...]
    sentence: str


def amounts_of_pretraining(
    source_steps: pd.DataFrame, scores: pd.DataFrame, spec: ReportSpec
) -> list[Amounts]:
    """Return each condition that starts from a pretraining, in the order of the spec.

    Args:
        source_steps: As :func:`thaw.report.scores.check_source_steps` returns them.
        scores: As :func:`thaw.report.scores.check_scores` returns them; for the margin.
        spec: What was planned; it names the steps.
    """
    tables = {
        step: RunTable(source_steps[source_steps["source_step"] == step], spec)
        for step in spec.source_steps
    }
    there = set(source_steps["condition"])
    final = RunTable(scores, spec)
    return [
        _amounts(tables, (source, target), condition, margin_of(final, source, target))
        for source, target in spec.transfers
        for condition in spec.conditions
        if condition in there
    ]


def pretraining_panels(
    amounts: list[Amounts], scores: pd.DataFrame, spec: ReportSpec
) -> list[CurvePanel]:
    """Return one panel per transfer: x is the steps of pretraining."""
    table, names = RunTable(scores, spec), transfer_names(spec.transfers)
    panels = []
    for transfer in spec.transfers:
        curves = {found.condition: _points(found) for found in amounts if found[:2] == transfer}
        for condition in LEVELS:
            if condition in spec.conditions:
                runs = table.runs(*transfer, condition)
                level = statistics.mean(runs.values, runs.standard_errors, bounds=spec.bounds)
                ends = (spec.source_steps[0], spec.source_steps[-1])
                curves[condition] = _curve_points([(step, level) for step in ends])
        drawn = [Curve(c, curves[c]) for c in spec.conditions if c in curves]
        drawn = [curve for curve in drawn if len(curve.points.steps)]
        panels.append(
            CurvePanel(transfer, names[transfer], spec.source_steps[-1], tuple(drawn), ())
        )
    return panels


def pretraining_frame(amounts: list[Amounts]) -> pd.DataFrame:
    """Return the numbers of all panels: one row per transfer, condition and step."""
    return pd.DataFrame(_rows(amounts), columns=list(COLUMNS))


def _rows(amounts: list[Amounts]) -> Iterator[tuple[object, ...]]:
    for found in amounts:
        for step, result, rest, is_paired in found.by_step:
            yield (
                *found[:3], step, result.value, result.low, result.high, result.num_seeds,
                rest.value, rest.low, rest.high, is_paired,
            )  # fmt: skip


def _amounts(
    tables: dict[int, RunTable], transfer: tuple[str, str], condition: str, margin: float
) -> Amounts:
    runs = {step: table.runs(*transfer, condition) for step, table in tables.items()}
    last = max(runs)
    by_step = []
    for step, there in runs.items():
        bounds = tables[step].spec.bounds
        result = statistics.mean(there.values, there.standard_errors, bounds=bounds)
        rest, is_paired = NO_ESTIMATE, False
        if step != last and len(there.values) and len(runs[last].values):
            rest, is_paired = compare(runs[last], there)
        by_step.append(Amount(step, result, rest, is_paired))
    sentence = f"{condition_name(condition)}: {enough_sentence(by_step[:-1], last, margin)}"
    return Amounts(*transfer, condition, tuple(by_step), sentence)


def enough_sentence(earlier: Sequence[Amount], last: int, margin: float) -> str:
    """Say which amount is enough, and which is not.

    Each claim is a sequence of tests that ends with the first one that shows nothing, so that
    several amounts make no claim more likely by chance (fixed-sequence tests, Maurer et al. 1995).

    Args:
        earlier: All amounts but the last, the smallest first.
        last: The steps of the whole pretraining.
        margin: A smaller difference in return does not count; NaN if it is unknown.
    """
    if not any(amount.rest.has_interval for amount in earlier):
        return "not decided; there are too few finished runs for an interval."
    enough = None
    for amount in reversed(earlier):  # enough is what no larger amount contradicts
        if not _adds_less_than(amount.rest, margin):
            break
        enough = amount
    if enough is not None:
        return (
            f"{enough.source_step:,} steps are enough, {enough.source_step / last:.2g} of the "
            f"pretraining. The rest adds less than the margin of {number(margin)}: "
            f"{estimate_text(enough.rest)}."
        )
    newest = earlier[-1]
    gain = f"from {newest.source_step:,} to {last:,} steps it gains {estimate_text(newest.rest)}"
    if newest.rest.low > 0:
        return f"all of the pretraining counts; {gain}."
    too_few = list(itertools.takewhile(lambda amount: amount.rest.low > 0, earlier))
    text = f"not decided which amount is enough; {gain}."
    if too_few:
        most = too_few[-1]
        text += (
            f" {most.source_step:,} steps are not enough: the rest adds {estimate_text(most.rest)}."
        )
    if not math.isfinite(margin):
        text += " No margin is known: set report.margin."
    return text


def _adds_less_than(rest: Estimate, margin: float) -> bool:
    """Whether a one-sided test, with the interval's error, shows less than a margin."""
    return rest.has_interval and rest.at(2 * rest.confidence - 1).high < margin


def _points(amounts: Amounts) -> CurvePoints:
    return _curve_points([(amount.source_step, amount.result) for amount in amounts.by_step])


def _curve_points(results: list[tuple[int, Estimate]]) -> CurvePoints:
    known = [(step, result) for step, result in results if math.isfinite(result.value)]
    return CurvePoints(
        np.array([step for step, _ in known], dtype=np.float64),
        np.array([result.value for _, result in known]),
        np.array([result.low for _, result in known]),
        np.array([result.high for _, result in known]),
        np.array([result.num_seeds for _, result in known], dtype=np.int64),
    )
