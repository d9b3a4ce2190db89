"""Answers the questions that users have about a transfer, each with one comparison of its own.

Which two conditions a question compares is fixed before the runs. So an answer is wrong in at most
5 % of the cases, whatever the ranking of the conditions turns out to be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from thaw.report.answers import Answer, Gate, QuestionName
from thaw.report.gates import pretrained_runs
from thaw.report.runs import Runs, RunTable, compare
from thaw.report.scores import ON_SOURCE
from thaw.report.spec import (
    INDEPENDENT_CONDITIONS,
    UNTRAINED_CONDITIONS,
    condition_name,
    flavor_name,
)
from thaw.report.statistics import Estimate
from thaw.report.words import confidence_text, count, estimate_text, number

Outcome = Literal["yes", "no", "open", "gated"]

MIRRORED = (
    "A change of what is seen and a change of what actions do can be one and the same: a mirrored "
    "picture and mirrored controls give equal runs."
)

_QUESTIONS: dict[QuestionName, str] = {
    "pretraining_helps": "Does the pretrained policy help at all?",
    "zero_shot": "Is the pretrained policy good enough as it is?",
    "which_part": "Which part should keep learning?",
    "forgetting": "What does it cost on the source?",
}


def answers(
    table: RunTable, source: str, target: str, margin: float, gates: Sequence[Gate]
) -> tuple[Answer, ...]:
    """Return the answers to all questions for which there are runs.

    Args:
        table: The scores.
        source: Flavor address of the transfer, empty where it is unknown.
        target: Flavor address of the transfer.
        margin: Differences below count as none; NaN where it is unknown.
        gates: A blocking one leaves every question without an answer.
    """
    blocked = any(gate.blocks for gate in gates)
    asked = [
        _pretraining_helps(table, source, target),
        _zero_shot(table, source, target, margin),
        _which_part(table, source, target, margin),
        *_forgetting(table, source, target),
    ]
    found = [answer for answer in asked if answer is not None]
    return tuple(_gated(answer) if blocked else answer for answer in found)


def _pretraining_helps(table: RunTable, source: str, target: str) -> Answer | None:
    condition = _main_transfer(table, source, target)
    baseline = _without_pretraining(table, source, target)
    if not condition or not baseline:
        return None
    name = condition_name(condition)
    moved, scratch = (table.runs(source, target, c) for c in (condition, baseline))
    alone = table.spec.baseline_name
    gain, paired = compare(moved, scratch)
    if gain.low > 0:
        outcome, sentence = "yes", f"Yes: {name} ends above {alone}."
    elif gain.high < 0:
        outcome, sentence = "no", f"No: {name} ends below {alone}."
    else:
        outcome = "open"
        sentence = f"Not decided: {name} and {alone} are not told apart."
    return _answer(
        "pretraining_helps", outcome, sentence, condition, baseline, moved, scratch, gain, paired
    )


def _zero_shot(table: RunTable, source: str, target: str, margin: float) -> Answer | None:
    condition = _main_transfer(table, source, target)
    untouched = table.runs(source, target, "freeze_all")
    if not condition or not len(untouched.values):
        return None
    name = condition_name(condition)
    moved = table.runs(source, target, condition)
    gain, paired = compare(moved, untouched)
    narrow = gain.at(2 * gain.confidence - 1)
    if gain.low > 0:
        outcome, sentence = "no", f"No: {name} ends above the untouched policy."
    elif gain.high < 0:
        outcome = "yes"
        sentence = f"Yes: the untouched policy is better than what {name} makes of it."
    elif gain.has_interval and math.isfinite(margin) and narrow.high < margin:
        outcome = "yes"
        sentence = f"Yes: {name} gains less than the margin over the untouched policy."
    else:
        outcome = "open"
        sentence = f"Not decided: {name} and the untouched policy are not told apart."
    return _answer(
        "zero_shot", outcome, sentence, condition, "freeze_all", moved, untouched, gain, paired
    )


def _which_part(table: RunTable, source: str, target: str, margin: float) -> Answer | None:
    embedding_trains = table.runs(source, target, "freeze_head")
    head_trains = table.runs(source, target, "freeze_embedding")
    if not len(embedding_trains.values) or not len(head_trains.values):
        return None
    gap, paired = compare(embedding_trains, head_trains)
    outcome: Outcome = "open"
    if gap.low > 0:
        outcome = "yes"
        sentence = "The embedding: training only the embedding beats training only the head."
    elif gap.high < 0:
        outcome = "no"
        sentence = "The head: training only the head beats training only the embedding."
    elif gap.is_within(margin):
        sentence = "Either will do: the two are equal within the margin."
    else:
        sentence = (
            "Not decided: training only the embedding and training only the head are not told "
            "apart."
        )
    return _answer(
        "which_part", outcome, sentence, "freeze_head", "freeze_embedding",
        embedding_trains, head_trains, gap, paired,
    )  # fmt: skip


def reading(answered: Sequence[Answer]) -> str:
    """Name what the answer on the parts may mean for the change, as a hypothesis."""
    part = next((answer for answer in answered if answer.name == "which_part"), None)
    if part is None or part.outcome not in ("yes", "no"):
        return ""
    if part.outcome == "yes":
        guess = "of appearance: new pictures, for which the old behavior still works"
    else:
        guess = "of behavior: the old features still work, but call for other actions"
    return (
        f"Hypothesis: the change is one {guess}. What was measured is the difference of the two "
        f"rules at this budget, {part.details} {MIRRORED}"
    )


def _forgetting(table: RunTable, source: str, target: str) -> list[Answer]:
    """Compare each trained condition's return on the source with that before the transfer."""
    before = pretrained_runs(table, source)._replace(paired=True)
    found = []
    for condition in table.spec.conditions:
        if condition in UNTRAINED_CONDITIONS or not source:
            continue
        after = table.runs(source, target, condition, ON_SOURCE)
        if not len(after.values) or not len(before.values) or not after.paired:
            continue
        change, paired = compare(after, before)
        name, place = condition_name(condition), flavor_name(source)
        if change.high < 0:
            outcome, sentence = "yes", f"{name} forgets: its return on {place} falls."
        elif change.low > 0:
            outcome, sentence = "no", f"{name} does not forget: its return on {place} rises."
        else:
            outcome = "open"
            sentence = f"{name}: no change of its return on {place} was shown."
        found.append(
            _answer(
                "forgetting",
                outcome,
                sentence,
                condition,
                "pretrain",
                after,
                before,
                change,
                paired,
            )
        )
    return found


def _main_transfer(table: RunTable, source: str, target: str) -> str:
    """Return the condition that stands for "transfer": update all, or the first that has runs."""
    there = [
        condition
        for condition in table.spec.conditions
        if condition not in (*UNTRAINED_CONDITIONS, *INDEPENDENT_CONDITIONS)
        and condition != _without_pretraining(table, source, target)
        and len(table.runs(source, target, condition).values)
    ]
    return "update_all" if "update_all" in there else "".join(there[:1])


def _without_pretraining(table: RunTable, source: str, target: str) -> str:
    """Return scratch, or else a baseline that shares no pretraining; empty if neither has runs."""
    for condition in ("scratch", table.spec.baseline):
        runs = table.runs(source, target, condition)
        if len(runs.values) and not runs.paired and condition != "update_all":
            return condition
    return ""


def _answer(
    name: QuestionName,
    outcome: str,
    sentence: str,
    first: str,
    second: str,
    runs: Runs,
    others: Runs,
    gap: Estimate,
    paired: bool,
) -> Answer:
    if not gap.has_interval:
        outcome, sentence = "open", f"Not decided: {gap.note or 'there are no runs to compare'}."
    means = [
        number(float(value.values.mean())) if len(value.values) else "-" for value in (runs, others)
    ]
    return Answer(
        name=name,
        question=_QUESTIONS[name],
        outcome=outcome,  # type: ignore[arg-type]
        sentence=sentence,
        details=(
            f"{condition_name(first)} {means[0]}, {condition_name(second)} {means[1]}: difference "
            f"{estimate_text(gap)}, {count(gap.num_seeds, 'seed')}, "
            f"{'paired' if paired else 'unpaired'}{confidence_text(gap.confidence)}."
        ),
        first=first,
        second=second,
        difference=gap.value,
        ci_low=gap.low,
        ci_high=gap.high,
        num_seeds=gap.num_seeds,
        paired=paired,
    )


def _gated(answer: Answer) -> Answer:
    sentence = "No answer: see above." if answer.name != "forgetting" else answer.sentence
    return replace(answer, outcome="gated", sentence=sentence)
