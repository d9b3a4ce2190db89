"""What must be said before a verdict: reasons why the runs cannot answer the question.

A verdict on runs that learned nothing would be a statement about noise.
"""

from __future__ import annotations

import math

import numpy as np

from thaw.report import statistics
from thaw.report.answers import Gate
from thaw.report.runs import Runs, RunTable, compare
from thaw.report.scores import EVALUATION, ON_TARGET
from thaw.report.spec import UNTRAINED_CONDITIONS, ReportSpec, condition_name, flavor_name
from thaw.report.statistics import CONFIDENCE
from thaw.report.words import count, estimate_text, listed, number

NOISE_QUANTILE = 1.96
"""Two means of episodes are taken for different beyond this many standard errors."""

CEILING_SHARE = 0.05
"""A mean within this share of the distance from random to the upper bound is at the ceiling."""


def gates(table: RunTable, source: str, target: str) -> tuple[Gate, ...]:
    """Return what must be said before the verdict of one transfer; blocking gates first."""
    spec = table.spec
    trained = trained_runs(table, source, target)
    random = table.runs(source, target, "random")
    found = [
        _missing_runs(table, source, target),
        _few_seeds(trained),
        pretraining_failed(table, source),
        _nothing_learned(trained, random),
        _ceiling(trained, random, spec),
    ]
    return tuple(sorted((gate for gate in found if gate), key=lambda gate: not gate.blocks))


def trained_runs(table: RunTable, source: str, target: str) -> dict[str, Runs]:
    """Return the runs of each condition that trains on the target and has a finished run."""
    runs = {
        condition: table.runs(source, target, condition)
        for condition in table.spec.conditions
        if condition not in UNTRAINED_CONDITIONS
    }
    return {condition: found for condition, found in runs.items() if len(found.values)}


def pretrained_runs(table: RunTable, source: str) -> Runs:
    """Return the pretrainings of a source, by the evaluation of their final policies.

    The rows of transfers are evaluated in the same way. Without an evaluation, the runs' own
    scores are returned.
    """
    evaluated = table.runs("", source, "pretrain", EVALUATION)
    own = table.runs("", source, "pretrain", ON_TARGET)
    return evaluated if len(evaluated.values) >= len(own.values) else own


def _missing_runs(table: RunTable, source: str, target: str) -> Gate | None:
    spec = table.spec
    missing = {
        condition: len(spec.seeds) - len(table.runs(source, target, condition).seeds)
        for condition in spec.conditions
        if condition not in UNTRAINED_CONDITIONS
    }
    if spec.racing is not None or not any(missing.values()):
        return None
    names = [f"{number_} of {condition_name(c)}" for c, number_ in missing.items() if number_]
    total = sum(missing.values())
    sentence = f"{count(total, 'planned run')} {'is' if total == 1 else 'are'} missing: "
    sentence += f"{listed(names)}. Runs that are late or crashed are seldom like the others"
    return Gate("missing_runs", f"{sentence}.", blocks=not spec.inferred)


def _few_seeds(trained: dict[str, Runs]) -> Gate | None:
    fewest = min((len(runs.values) for runs in trained.values()), default=0)
    if fewest >= statistics.MIN_SEEDS:
        return None
    have = f"{count(fewest, 'seed')} for a condition" if fewest else "no trained condition"
    return Gate(
        "few_seeds",
        f"There {'is' if fewest < 2 else 'are'} {have}; a verdict needs "
        f"{statistics.MIN_SEEDS} at least, and 5 to 10 to find differences of one to two standard "
        "deviations.",
    )


def pretraining_failed(table: RunTable, source: str) -> Gate | None:
    """Return what must be said if the pretrainings of a source did not beat random there."""
    pretrained = pretrained_runs(table, source) if source else None
    random = table.runs("", source, "random")
    if pretrained is None or not len(pretrained.values) or not len(random.values):
        return None
    gain, _ = compare(pretrained, random, CONFIDENCE)
    worse, all_worse = _failed_seeds(pretrained, random), len(pretrained.values)
    if gain.has_interval and gain.low > 0:
        if not worse:
            return None
        return Gate(
            "pretraining_failed",
            f"{count(worse, 'pretraining')} of {len(pretrained.values)} did not beat random on "
            f"{flavor_name(source)}.",
            blocks=False,
        )
    if not gain.has_interval and _has_learned(pretrained, random):  # one or two seeds
        return None
    means = number(float(pretrained.values.mean())), number(float(random.values.mean()))
    if not gain.has_interval:
        beat = "did not beat" if worse == all_worse else "was not shown to beat"
        so = "there may be no skill whose transfer could be measured"
    elif gain.value <= 0 or worse == all_worse:
        beat, so = "did not beat", "there is no skill whose transfer could be measured"
    else:
        beat = "was not shown to beat"
        so = f"{count(worse, 'pretraining')} of {len(pretrained.values)} ended no better than it"
    return Gate(
        "pretraining_failed",
        f"Pretraining on {flavor_name(source)} {beat} the random policy ({means[0]} against "
        f"{means[1]}; difference {estimate_text(gain)}): {so}. Pretrain longer, or with other "
        "settings (docs/environments.md).",
    )


def _failed_seeds(pretrained: Runs, random: Runs) -> int:
    """Return how many pretrainings ended no better than the best random run."""
    return int(np.sum(pretrained.values <= random.values.max()))


def _has_learned(pretrained: Runs, random: Runs) -> bool:
    """Return whether a pretraining is above all random runs by more than its episodes' noise.

    Unknown noise is taken for none. Of two pretrainings that play at random, one is above two
    random runs in half of all cases, and by more than the noise in 1 of 100 (simulated).
    """
    best = int(np.argmax(random.values))
    noise = np.hypot(pretrained.standard_errors, random.standard_errors[best])
    margins = NOISE_QUANTILE * np.nan_to_num(noise)
    return bool(np.any(pretrained.values - margins > random.values[best]))


def _nothing_learned(trained: dict[str, Runs], random: Runs) -> Gate | None:
    if not len(random.values) or not trained:
        return None
    gains = {condition: compare(runs, random, CONFIDENCE)[0] for condition, runs in trained.items()}
    if any(not gain.has_interval or gain.low > 0 for gain in gains.values()):
        return None
    best = max(gains, key=lambda condition: gains[condition].value)
    return Gate(
        "nothing_learned",
        "No trained condition beat the random policy on the target (the best, "
        f"{condition_name(best)}, differs by {estimate_text(gains[best])}): nothing was learned "
        "that could be compared. Train longer, or with other settings.",
    )


def _ceiling(trained: dict[str, Runs], random: Runs, spec: ReportSpec) -> Gate | None:
    if spec.bounds is None or len(trained) < 2:
        return None
    low, high = spec.bounds
    floor = float(random.values.mean()) if len(random.values) else low
    near = high - CEILING_SHARE * (high - floor)
    means = {condition: float(runs.values.mean()) for condition, runs in trained.items()}
    if min(means.values()) < near or not math.isfinite(near):
        return None
    return Gate(
        "ceiling",
        f"Every trained condition is at the ceiling (the lowest mean is "
        f"{number(min(means.values()))} of at most {number(high)}): nothing is left to separate. "
        "Train for fewer steps, or take a harder target.",
    )
