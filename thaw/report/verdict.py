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
from thaw.report.leads import Leads, leads_of, margin_of
from thaw.report.power import holm, seeds_for_lead
from thaw.report.questions import answers, reading
from thaw.report.race_words import race_sentence, race_text
from thaw.report.racing import Race, races
from thaw.report.runs import Runs, RunTable
from thaw.report.spec import ReportSpec, condition_name, flavor_name
from thaw.report.statistics import CONFIDENCE, Estimate
from thaw.report.words import count, estimate_text, listed, number, percent

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
        race: How the race went, or why its levels do not hold; empty without a race.
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
    race: str = ""

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
    if spec.racing is None:
        judged = [_verdict(table, *transfer) for transfer in spec.transfers]
    else:
        judged = [_race_verdict(table, race) for race in races(table)]
    adjusted = holm([verdict.p_value for verdict in judged])
    return [replace(v, p_holm=p) for v, p in zip(judged, adjusted, strict=True)]


def _race_verdict(table: RunTable, race: Race) -> Verdict:
    """Judge a transfer by its race; where seeds were added, by what holds at any number."""
    if race.is_valid:
        judged = _verdict(race.counted(table), race.source, race.target, race)
    else:
        judged = _verdict(table.for_any_number_of_seeds(), race.source, race.target)
    sentence = f"{judged.sentence} {race_sentence(race)}".strip()
    return replace(judged, sentence=sentence, race=race_text(race))


def _verdict(table: RunTable, source: str, target: str, race: Race | None = None) -> Verdict:
    trained = trained_runs(table, source, target)
    found_gates = gates(table, source, target)
    blocked = any(gate.blocks for gate in found_gates)
    margin = margin_of(table, source, target)
    answered = answers(table, source, target, margin, found_gates)
    best, leads = leads_of(trained) if race is None else _leads_in_race(race, trained)
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
            confidence=CONFIDENCE if race is None else race.confidence,
        )  # fmt: skip
    runner_up, (lead, paired) = min(leads.items(), key=lambda item: _certainty(item[1][0]))
    rivals = [name for name, (other, _) in leads.items() if not other.low > 0]
    equal = bool(rivals) and all(leads[name][0].is_within(margin) for name in rivals)
    p_values = [other.p_value for other, _ in leads.values()]
    p_value = math.nan if any(map(math.isnan, p_values)) else max(p_values)
    ahead = not rivals
    if race is not None:
        ahead, equal = race.ended == "won", race.ended == "equal"
        rivals, p_value = list(race.live[1:]), race.p_value
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
        confidence=lead.confidence,
        p_value=p_value,
        seeds_needed=(
            None if ahead or blocked or table.spec.racing is not None else _seeds_needed(lead)
        ),
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


def _leads_in_race(race: Race, trained: Mapping[str, Runs]) -> tuple[str, Leads]:
    """Return the leader, and its lead over those that it must still beat or has beaten last.

    A condition that another one has dropped is not compared again: its seeds are fewer, and it
    lost at a level of its own.
    """
    if not race.num_looks:
        return leads_of(trained)
    best, leads = leads_of({name: trained[name] for name in race.live})
    last = [drop for drop in race.drops if drop.look == race.num_looks - 1]
    return best, leads or {drop.condition: (drop.lead, drop.paired) for drop in last}


def _certainty(lead: Estimate) -> tuple[float, float]:
    """Order leads: without an interval by size, else the least certain first."""
    return (lead.low if lead.has_interval else -math.inf), lead.value


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
    if verdict.confidence != CONFIDENCE:
        how += f"; {percent(verdict.confidence)} intervals, look at {count(lead.num_seeds, 'seed')}"
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
