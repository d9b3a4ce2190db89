"""Says which condition won a transfer, by how much, and how certain that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from thaw.report import statistics
from thaw.report.metrics import Runs, select_runs
from thaw.report.spec import UNTRAINED_CONDITIONS, ReportSpec, condition_name, flavor_name
from thaw.report.statistics import RESAMPLES, Estimate, generator

FEW_SEEDS = 5
"""With fewer seeds, a verdict warns that its interval is too narrow.

Measured with four equal conditions: the interval of the best minus the runner-up is above zero
36 % of the time with 2 seeds, 14 % with 3, 7 % with 5 and 2 % with 10.
"""


@dataclass(frozen=True)
class Verdict:
    """The outcome of one transfer.

    Attributes:
        source: Flavor address, empty where it is unknown.
        target: Flavor address.
        decided: Whether the interval of the difference is above zero.
        best: The trained condition with the highest mean return; empty if nothing trained.
        runner_up: The trained condition with the next mean return; empty if there is none.
        difference: Mean return of the best minus that of the runner-up.
        ci_low: Lower bound of the difference, NaN if there is no interval.
        ci_high: Upper bound, NaN in the same way.
        num_seeds: Seeds from which the difference was computed.
        paired: Whether runs were compared seed by seed, from shared pretrainings.
        probability_of_improvement: That a run of the best beats a run of the runner-up.
        sentence: All of this as a sentence.
        reading: What the result says about the difference of the two environments; may be empty.
    """

    source: str
    target: str
    decided: bool
    best: str
    runner_up: str
    difference: float
    ci_low: float
    ci_high: float
    num_seeds: int
    paired: bool
    probability_of_improvement: float
    sentence: str
    reading: str


def verdicts(scores: pd.DataFrame, spec: ReportSpec, resamples: int = RESAMPLES) -> list[Verdict]:
    """Return one verdict per planned transfer, in display order.

    Args:
        scores: As :func:`thaw.report.scores.check_scores` returns them.
        spec: What was planned.
        resamples: Of the bootstrap.
    """
    return [_verdict(scores, spec, *transfer, resamples) for transfer in spec.transfers]


def compare(
    first: Runs, second: Runs, rng: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[Estimate, bool]:
    """Estimate the difference of mean returns, paired by seed where pretrainings are shared.

    Returns:
        The estimate, and whether it was paired. Its ``num_seeds`` counts the shared seeds of
        paired runs, else the runs of the condition with fewer. Pairing needs two shared seeds.
    """
    shared = sorted(set(first.seeds) & set(second.seeds))
    if first.paired and second.paired and (len(shared) >= 2 or first.seeds == second.seeds):
        values = [
            runs.values[np.isin(np.asarray(runs.seeds, dtype=int), shared)]
            for runs in (first, second)
        ]
        return statistics.bootstrap_paired_difference(values[0], values[1], rng, resamples), True
    estimate = statistics.bootstrap_difference(first.values, second.values, rng, resamples)
    fewest = min(len(first.values), len(second.values))
    return Estimate(estimate.value, estimate.low, estimate.high, fewest), False


def _verdict(
    scores: pd.DataFrame, spec: ReportSpec, source: str, target: str, resamples: int
) -> Verdict:
    trained = {
        condition: select_runs(scores, spec, source, target, condition)
        for condition in spec.conditions
        if condition not in UNTRAINED_CONDITIONS
    }
    trained = {condition: runs for condition, runs in trained.items() if len(runs.values)}
    ranking = sorted(trained, key=lambda condition: -float(trained[condition].values.mean()))
    where = f"On {flavor_name(target)}"
    if source:
        where += f" (from {flavor_name(source)})"
    if len(ranking) < 2:
        have = f"only {condition_name(ranking[0])} has" if ranking else "none has"
        sentence = (
            f"{where}: not decided; {have} finished runs, and a verdict needs two conditions."
        )
        best, nan = (ranking[0] if ranking else ""), float("nan")
        return Verdict(source, target, False, best, "", nan, nan, nan, 0, False, nan, sentence, "")
    best, runner_up = ranking[:2]
    rng = generator(source, target, best, runner_up, "verdict")
    difference, paired = compare(trained[best], trained[runner_up], rng, resamples)
    probability = statistics.probability_of_improvement(
        trained[best].values, trained[runner_up].values, rng, resamples
    ).value
    decided = difference.low > 0
    mean = float(trained[best].values.mean())
    both = ""
    if paired and difference.num_seeds < len(trained[best].seeds):
        both = f"on the {difference.num_seeds} seeds that both have, "
    outcome = (
        f"{condition_name(best)} has the highest mean return, {_number(mean)}; {both}it leads "
        f"{condition_name(runner_up)} by {_number(difference.value)}"
    )
    if mean == float(trained[runner_up].values.mean()):
        outcome = f"{condition_name(best)} and {condition_name(runner_up)} tie at {_number(mean)}"
    sentence = (
        f"{where}: {'' if decided else 'not decided; '}{outcome} "
        f"({_certainty(difference, paired, probability)})."
    )
    if difference.num_seeds < 2:
        sentence += " One seed shows no spread."
    elif not decided:
        sentence += " The interval is not above zero."
    elif difference.num_seeds < FEW_SEEDS:
        sentence += (
            f" With {difference.num_seeds} seeds such an interval is too narrow; "
            f"use {FEW_SEEDS} or more before you rely on it."
        )
    return Verdict(
        source=source,
        target=target,
        decided=decided,
        best=best,
        runner_up=runner_up,
        difference=difference.value,
        ci_low=difference.low,
        ci_high=difference.high,
        num_seeds=difference.num_seeds,
        paired=paired,
        probability_of_improvement=probability,
        sentence=sentence,
        reading=(
            "Nothing of the pretrained policy helped within this budget."
            if decided and best == "scratch"
            else _reading(trained, source, target, resamples)
        ),
    )


def _certainty(difference: Estimate, paired: bool, probability: float) -> str:
    interval = "no interval"
    if np.isfinite(difference.low):
        interval = f"95 % interval {_number(difference.low)} to {_number(difference.high)}"
    seeds = "1 seed" if difference.num_seeds == 1 else f"{difference.num_seeds} seeds"
    how = f"{seeds}, paired" if paired else f"{seeds}, unpaired"
    return f"{interval}, {how}; probability of improvement {probability:.2f}"


def _reading(trained: dict[str, Runs], source: str, target: str, resamples: int) -> str:
    """Say which part of the policy transfers, from the two rules that train one part each."""
    if "freeze_embedding" not in trained or "freeze_head" not in trained:
        return ""
    embedding_trains, head_trains = trained["freeze_head"], trained["freeze_embedding"]
    rng = generator(source, target, "freeze_head", "freeze_embedding", "reading")
    difference, _ = compare(embedding_trains, head_trains, rng, resamples)
    if difference.low > 0:
        return (
            "Training only the embedding beats training only the head: the change seems to be one "
            "of appearance. Once the policy understands the new images, its old behavior works."
        )
    if difference.high < 0:
        return (
            "Training only the head beats training only the embedding: the old features still "
            "work, and the change seems to be one of behavior."
        )
    return (
        "Training only the embedding and training only the head cannot be told apart: this does "
        "not show whether the change is one of appearance or of behavior."
    )


def _number(value: float) -> str:
    """Format with three decimals below 10, three digits below 100, else as a whole number."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 10 else f"{value + 0.0:.3f}"
