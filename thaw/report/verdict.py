"""Says which condition won a transfer, by how much, and how certain that is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd
from scipy import stats

from thaw.report import statistics
from thaw.report.answers import Answer, Gate
from thaw.report.gates import gates, trained_runs
from thaw.report.power import holm, seeds_for_lead
from thaw.report.questions import answers, reading
from thaw.report.runs import Runs, RunTable, compare
from thaw.report.spec import ReportSpec, condition_name, flavor_name
from thaw.report.statistics import CONFIDENCE, Estimate
from thaw.report.words import count, estimate_text, listed, number

MARGIN_SHARE = 0.05
"""The margin of equality, where a suite names none: a share of scratch's lead over random."""

MOST_SEEDS = 30
"""The report does not advise to run more seeds than these."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of one transfer.

    Attributes:
        source: Flavor address, empty where it is unknown.
        target: Flavor address.
        decided: Whether the best is ahead of every other trained condition, and no gate blocks.
        best: The trained condition with the highest mean return; empty if nothing trained.
        runner_up: The trained condition of which the best is least certainly ahead; empty if
            there is none.
        difference: Mean return of the best minus that of the runner-up.
        ci_low: Lower bound of the difference, NaN if there is no interval.
        ci_high: Upper bound, NaN in the same way.
        num_seeds: Seeds from which the difference was computed.
        paired: Whether runs were compared seed by seed, from shared pretrainings.
        probability_of_improvement: That a run of the best beats a run of the runner-up.
        sentence: All of this as a sentence.
        reading: What the result may say about the difference of the two environments; may be
            empty.
        may_be_best: The conditions that may be the best, the one with the highest mean first.
        equal: Whether all of them were shown to be equal within the margin.
        margin: See :class:`~thaw.report.spec.ReportSpec`; NaN where it is unknown.
        confidence: Of all intervals of this transfer.
        p_value: The largest p value of the best against another condition; NaN if there is none.
        p_holm: The same, adjusted for the number of transfers (Holm).
        seeds_needed: Seeds with which a lead as large as the observed one would be found in 4 of
            5 cases; None where it is decided, unknown or above :data:`MOST_SEEDS`.
        next_step: What would bring a decision nearer; may be empty.
        gates: What must be said first.
        answers: To the questions that users have.
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
    may_be_best: tuple[str, ...] = ()
    equal: bool = False
    margin: float = math.nan
    confidence: float = CONFIDENCE
    p_value: float = math.nan
    p_holm: float = math.nan
    seeds_needed: int | None = None
    next_step: str = ""
    gates: tuple[Gate, ...] = ()
    answers: tuple[Answer, ...] = ()

    @property
    def is_blocked(self) -> bool:
        """Whether a gate leaves the transfer without a verdict."""
        return any(gate.blocks for gate in self.gates)


def verdicts(scores: pd.DataFrame, spec: ReportSpec) -> list[Verdict]:
    """Return one verdict per planned transfer, in display order.

    Args:
        scores: As :func:`thaw.report.scores.check_scores` returns them.
        spec: What was planned.
    """
    table = RunTable(scores, spec)
    judged = [_verdict(table, *transfer) for transfer in spec.transfers]
    adjusted = holm([verdict.p_value for verdict in judged])
    return [replace(v, p_holm=p) for v, p in zip(judged, adjusted, strict=True)]


def _verdict(table: RunTable, source: str, target: str) -> Verdict:
    trained = trained_runs(table, source, target)
    found_gates = gates(table, source, target)
    blocked = any(gate.blocks for gate in found_gates)
    margin = margin_of(table, source, target)
    answered = answers(table, source, target, margin, found_gates)
    best, leads = leads_of(trained)
    where = f"On {flavor_name(target)}" + (f" (from {flavor_name(source)})" if source else "")
    if not leads:
        have = f"only {condition_name(best)} has" if best else "no condition has"
        nan = math.nan
        sentence = (
            f"{where}: not decided; {have} finished runs, and a verdict needs two conditions."
        )
        return Verdict(
            source, target, False, best, "", nan, nan, nan, 0, False, nan, sentence, "",
            (best,) if best else (), margin=margin, gates=found_gates, answers=answered,
        )  # fmt: skip
    runner_up, (lead, paired) = min(leads.items(), key=lambda item: _certainty(item[1][0]))
    rivals = [name for name, (other, _) in leads.items() if not other.low > 0]
    ahead = not rivals
    equal = bool(rivals) and all(_is_within(leads[name][0], margin) for name in rivals)
    p_values = [other.p_value for other, _ in leads.values()]
    judged = Verdict(
        source=source,
        target=target,
        decided=ahead and not blocked,
        best=best,
        runner_up=runner_up,
        difference=lead.value,
        ci_low=lead.low,
        ci_high=lead.high,
        num_seeds=lead.num_seeds,
        paired=paired,
        probability_of_improvement=statistics.probability_of_improvement(
            trained[best].values, trained[runner_up].values
        ).value,
        sentence="",
        reading="",
        may_be_best=(best, *rivals),
        equal=equal and not blocked,
        margin=margin,
        p_value=math.nan if any(map(math.isnan, p_values)) else max(p_values),
        seeds_needed=None if ahead or blocked else _seeds_needed(lead),
        gates=found_gates,
        answers=answered,
    )
    sentence = f"{where}: {_outcome(judged, trained, lead)}"
    return replace(
        judged,
        sentence=sentence,
        reading="" if blocked else reading(answered),
        next_step=_next_step(judged, table),
    )


def leads_of(
    trained: Mapping[str, Runs], confidence: float = CONFIDENCE
) -> tuple[str, dict[str, tuple[Estimate, bool]]]:
    """Return the condition with the highest mean, and its lead over each other one.

    Each lead comes with whether it was paired. The best is *decided* only if every lead is above
    zero: then it is wrong in at most 5 % of the cases, even though the best was chosen by looking
    (Gutmann and Maymin 1987; Hung and Fithian 2019). To ask the runner-up alone is not enough
    where spreads differ (docs/statistics.md).
    """
    if not trained:
        return "", {}
    best = max(trained, key=lambda condition: float(trained[condition].values.mean()))
    leads = {
        other: compare(trained[best], trained[other], confidence)
        for other in sorted(trained, key=lambda name: -float(trained[name].values.mean()))
        if other != best
    }
    return best, leads


def margin_of(table: RunTable, source: str, target: str) -> float:
    """Return the margin within which two conditions count as equal; NaN where it is unknown."""
    if table.spec.margin is not None:
        return table.spec.margin
    scratch = table.runs(source, target, table.spec.baseline).values
    random = table.runs(source, target, "random").values
    if not len(scratch) or not len(random):
        return math.nan
    distance = float(scratch.mean() - random.mean())
    return MARGIN_SHARE * distance if distance > 0 else math.nan


def _certainty(lead: Estimate) -> tuple[float, float]:
    """Order leads: without an interval by size, else the least certain first."""
    return (lead.low if lead.has_interval else -math.inf), lead.value


def _is_within(lead: Estimate, margin: float) -> bool:
    """Whether a difference is shown to be smaller than the margin: two one-sided tests at 5 %."""
    if not (lead.has_interval and math.isfinite(margin)):
        return False
    narrow = lead.at(0.9)
    return -margin < narrow.low and narrow.high < margin


def _seeds_needed(lead: Estimate) -> int | None:
    """Return the seeds that find a lead as large as the observed one in 4 of 5 cases.

    The spread is taken at the upper 80 % bound of what was seen, because few seeds show too small
    a spread as often as too large a one.
    """
    if not lead.has_interval or lead.value <= 0:
        return None
    return seeds_for_lead(lead.value, _upper_deviation(lead), most=MOST_SEEDS)


def _upper_deviation(lead: Estimate) -> float:
    deviation = lead.standard_error * math.sqrt(lead.num_seeds)
    return deviation * math.sqrt(lead.degrees / stats.chi2.ppf(0.2, lead.degrees))


def _outcome(verdict: Verdict, trained: Mapping[str, Runs], lead: Estimate) -> str:
    """Say the outcome of a transfer in words."""
    best, runner_up = condition_name(verdict.best), condition_name(verdict.runner_up)
    how = f"{count(lead.num_seeds, 'seed')}, {'paired' if verdict.paired else 'unpaired'}"
    blocking = [gate.sentence for gate in verdict.gates if gate.blocks]
    if blocking:
        return f"no verdict. {blocking[0]}"
    if verdict.decided:
        every = "ahead of every other trained condition"
        if len(trained) == 2:
            every = f"ahead of {runner_up}"
        return (
            f"{best} won: {every}, least of {runner_up}, by {estimate_text(lead)} ({how})."
            if len(trained) > 2
            else f"{best} won: {every} by {estimate_text(lead)} ({how})."
        )
    names = [condition_name(name) for name in verdict.may_be_best]
    if verdict.equal:
        within = f"are equal within {number(verdict.margin)}"
        return f"{listed(names)} {within}: any of them will do ({how})."
    if not lead.has_interval:
        return f"not decided; {best} has the highest mean, but {lead.note}."
    return (
        f"not decided; the best may be {listed(names, 'or')}. {best} has the highest mean; its "
        f"lead over {runner_up} is {estimate_text(lead)} ({how})."
    )


def _next_step(verdict: Verdict, table: RunTable) -> str:
    """Say what would bring a decision nearer: how many seeds, by which command, how long."""
    few = any(gate.name == "few_seeds" for gate in verdict.gates)
    others = [gate for gate in verdict.gates if gate.blocks and gate.name != "few_seeds"]
    if verdict.decided or verdict.equal or others or table.spec.racing is not None:
        return ""
    if few:
        return _command(table, 5)
    if math.isnan(verdict.ci_low):  # no spread was seen, so nothing can be said of more seeds
        return ""
    if verdict.seeds_needed is None:
        return (
            f"If the true lead is as small as this one, it takes more than {MOST_SEEDS} seeds to "
            "show it."
        )
    more = verdict.seeds_needed - verdict.num_seeds
    text = (
        f"If the true lead is as large as this one, {verdict.seeds_needed} seeds find it in 4 of 5 "
        f"cases ({max(more, 1)} more). Choose the number now and look again once at the end."
    )
    return f"{text} {_command(table, max(verdict.seeds_needed, verdict.num_seeds + 1))}".strip()


def _command(table: RunTable, seeds: int) -> str:
    """Return the command that gives a suite more seeds, with its estimated time."""
    spec = table.spec
    if not spec.more_seeds:
        return ""
    seconds = table.seconds_per_seed()
    took = ""
    if math.isfinite(seconds):
        more = seeds - len(spec.seeds)
        took = f" (about {max(1, round(more * seconds / 60 / spec.num_workers))} min)"
    return f"{spec.more_seeds.format(seeds=seeds)}{took}"
