"""Replays a race from the scores: which condition was dropped when, and which seeds come next.

A race looks at its runs at planned numbers of seeds. At each look the leader, which has the highest
mean, drops every trained condition that it beats at the level of this look. The levels of all looks
add up to 5 %, so looking several times costs nothing (union bound). Measured error and power:
docs/statistics.md.

A race has no state but its finished runs. The same scores give the same answer, so it can be
continued after a kill, and replayed by anybody who has the scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from thaw.config.racing import ERROR, RacingConfig
from thaw.report.leads import leads_of, margin_of
from thaw.report.runs import RunTable
from thaw.report.spec import UNTRAINED_CONDITIONS
from thaw.report.statistics import Estimate

Seeds = tuple[int, ...]

Ended = Literal["", "won", "equal", "last look"]


@dataclass(frozen=True)
class Drop:
    """A condition that the leader beat.

    Attributes:
        condition: It gets no more seeds.
        leader: The condition that beat it.
        look: Place of the look among the planned ones.
        num_seeds: Seeds of both at that look.
        lead: Of the leader, with its interval at the level of the look.
        paired: Whether the two were compared seed by seed.
    """

    condition: str
    leader: str
    look: int
    num_seeds: int
    lead: Estimate
    paired: bool


@dataclass(frozen=True)
class Race:
    """How the race of one transfer stands.

    Attributes:
        source: Flavor address.
        target: Flavor address.
        plan: The looks and their levels.
        num_looks: Looks that were made.
        live: Trained conditions that may still be the best, the leader first.
        drops: The others, in the order of their drops.
        ended: ``won``: one is left. ``equal``: those that are left were shown to be equal within
            the margin. ``last look``: not decided. Empty while the race goes on.
        asked: Seeds that the race has asked for so far, by condition, with controls.
        missing: Those that are not there yet; the next look waits for them.
        added: Seeds that are there although no race asked for them: somebody added them.
    """

    source: str
    target: str
    plan: RacingConfig
    num_looks: int
    live: tuple[str, ...]
    drops: tuple[Drop, ...]
    ended: Ended
    asked: Mapping[str, Seeds]
    missing: Mapping[str, Seeds]
    added: Mapping[str, Seeds]

    @property
    def is_valid(self) -> bool:
        """Whether the levels hold: nobody added seeds."""
        return not self.added and not self.plan.by_hand

    @property
    def num_seeds(self) -> int:
        """Seeds at the last look that was made; 0 before the first one."""
        return self.plan.looks[self.num_looks - 1] if self.num_looks else 0

    @property
    def confidence(self) -> float:
        """1 - the level of the last look that was made, or of the first one before it."""
        return 1 - self.plan.levels[max(self.num_looks - 1, 0)]

    @property
    def p_value(self) -> float:
        """How small the error of the whole race could have been for its last drop; 1 without a win.

        The p value of a look counts ERROR / level times, which is its share of the race's error.
        """
        if self.ended != "won":
            return 1.0
        spent = [drop.lead.p_value * ERROR / self.plan.levels[drop.look] for drop in self.drops]
        return min(1.0, max(spent, default=1.0))

    def counted(self, table: RunTable) -> RunTable:
        """Return the table with the seeds of the last look, and with its confidence.

        A dropped condition keeps the seeds and the confidence of the look that dropped it.
        """
        seeds = {name: asked[: self.num_seeds or None] for name, asked in self.asked.items()}
        levels = self.plan.levels
        dropped = {drop.condition: 1 - levels[drop.look] for drop in self.drops}
        confidence = {name: dropped.get(name, self.confidence) for name in seeds}
        return table.counting(seeds, confidence)


def races(table: RunTable) -> list[Race]:
    """Replay the races of all transfers.

    Args:
        table: The scores; its spec has the plan of the race, and the planned seeds in their order.
    """
    replayed = [replay(table, *transfer) for transfer in table.spec.transfers]
    # Runs without a source serve every transfer to their target, and random also the source.
    asked: dict[tuple[str, str, str], set[int]] = {}
    growing: set[tuple[str, str, str]] = set()
    for race in replayed:
        for condition, seeds in race.asked.items():
            keys = [_owner(table, race, condition)]
            if condition == "random":
                keys.append(("", race.source, "random"))
            for key in keys:
                asked.setdefault(key, set()).update(seeds)
            # An earlier run may have been lost, so a race that waits cannot judge later ones.
            if not race.ended and condition not in {drop.condition for drop in race.drops}:
                growing.update(keys)
    return [
        replace(
            race,
            added={
                condition: more
                for condition in race.asked
                if (key := _owner(table, race, condition)) not in growing
                and (more := _others(table, race, condition, asked[key]))
            },
        )
        for race in replayed
    ]


def replay(table: RunTable, source: str, target: str) -> Race:
    """Replay the race of one transfer, without asking whether seeds were added."""
    spec = table.spec
    plan = spec.racing
    assert plan is not None
    controls = [name for name in spec.conditions if name in UNTRAINED_CONDITIONS]
    live = [name for name in spec.conditions if name not in UNTRAINED_CONDITIONS]
    drops: list[Drop] = []
    asked: dict[str, Seeds] = {}
    missing: dict[str, Seeds] = {}
    ended: Ended = ""
    num_looks = 0
    for look, (num_seeds, level) in enumerate(zip(plan.looks, plan.levels, strict=True)):
        if len(spec.seeds) < num_seeds:  # possible only where seeds were added by hand
            break
        asked |= dict.fromkeys([*live, *controls], spec.seeds[:num_seeds])
        counted = table.counting(asked, {})
        runs = {name: counted.runs(source, target, name) for name in asked}
        missing = {
            name: absent
            for name in (*live, *controls)
            if (absent := tuple(s for s in asked[name] if s not in runs[name].seeds))
        }
        if missing:
            break
        num_looks += 1
        leader, leads = leads_of({name: runs[name] for name in live}, 1 - level)
        drops += [
            Drop(name, leader, look, num_seeds, lead, paired)
            for name, (lead, paired) in leads.items()
            if lead.low > 0
        ]
        dropped = {drop.condition for drop in drops}
        live = [leader, *(name for name in leads if name not in dropped)]
        margin = margin_of(counted, source, target)
        if len(live) == 1:
            ended = "won"
        elif all(leads[name][0].is_within(margin) for name in live[1:]):
            ended = "equal"
        elif look == len(plan.looks) - 1:
            ended = "last look"
        if ended:
            break
    return Race(
        source, target, plan, num_looks, tuple(live), tuple(drops), ended, asked, missing, {}
    )


def _owner(table: RunTable, race: Race, condition: str) -> tuple[str, str, str]:
    """Return what identifies the runs of a condition: transfers may share them."""
    rows = table.rows(race.source, race.target, condition)
    return (rows[0]["source"] if rows else race.source), race.target, condition


def _others(table: RunTable, race: Race, condition: str, asked: set[int]) -> Seeds:
    found: Sequence[int] = table.runs(race.source, race.target, condition).seeds
    return tuple(seed for seed in found if seed not in asked)
