"""How a race went, in words."""

from __future__ import annotations

from thaw.report.racing import Race
from thaw.report.spec import condition_name
from thaw.report.words import count, listed, percent


def race_text(race: Race) -> str:
    """Say how a race went, or why it does not count."""
    if not race.is_valid:
        return _added_text(race)
    return " ".join(filter(None, [_looks_text(race), _dropped_text(race), _end_text(race)]))


def race_sentence(race: Race) -> str:
    """Say what the verdict's own sentence does not say of its race; may be empty."""
    if not race.is_valid:
        return _added_text(race)
    return " ".join(filter(None, [_dropped_text(race), "" if race.ended else _end_text(race)]))


def _looks_text(race: Race) -> str:
    looks = len(race.plan.looks)
    if not race.num_looks:
        return f"Race with {count(looks, 'look')}: none made yet."
    level = race.plan.levels[race.num_looks - 1]
    return (
        f"Race: look {race.num_looks} of {looks}, at {count(race.num_seeds, 'seed')}, level "
        f"{percent(level)}."
    )


def _dropped_text(race: Race) -> str:
    dropped = [
        f"{condition_name(drop.condition)} (by {condition_name(drop.leader)} at "
        f"{count(drop.num_seeds, 'seed')})"
        for drop in race.drops
    ]
    return f"Dropped: {listed(dropped)}." if dropped else ""


def _end_text(race: Race) -> str:
    names = [condition_name(name) for name in race.live]
    match race.ended:
        case "won":
            return f"{names[0]} is left and won."
        case "equal":
            return f"{listed(names)} are left and equal."
        case "last look":
            return f"{listed(names)} are left after the last look: not decided."
    waits = sum(map(len, race.missing.values()))
    at = race.plan.looks[race.num_looks]
    return f"{listed(names)} race on; the look at {at} seeds waits for {count(waits, 'run')}."


def _added_text(race: Race) -> str:
    what = "Seeds were added to this race by hand"
    if race.added:
        added = [f"{condition_name(c)} {count(len(s), 'seed')}" for c, s in race.added.items()]
        what += f" ({listed(added)})"
    return (
        f"{what}, so the levels of its looks do not hold. All runs are judged by intervals that "
        "hold at any number of seeds; they are wider."
    )
