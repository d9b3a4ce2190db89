"""What a report was planned to show, and the words it uses for conditions and flavors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from thaw.config.errors import InputError

CONDITION_NAMES = {
    "pretrain": "Before the transfer",
    "random": "Random",
    "scratch": "From scratch",
    "update_all": "Update all",
    "freeze_embedding": "Freeze embedding",
    "freeze_head": "Freeze head",
    "freeze_all": "Freeze all",
}
"""Human names; a condition that a user named is shown by :func:`condition_name`."""

INDEPENDENT_CONDITIONS = ("random", "scratch", "pretrain")
"""Start from no pretrained policy of the transfer: seed i shares nothing with a transfer's."""

UNTRAINED_CONDITIONS = ("random", "freeze_all", "pretrain")
"""Learn nothing on the target, so they never count as the best trained condition."""

_ATARI_VARIANT = re.compile(r"m\d+(d\d+)?")


@dataclass(frozen=True)
class ReportSpec:
    """What was planned; whatever of it is not among the scores is shown as missing.

    Attributes:
        name: The suite's name, the report's title.
        transfers: (source, target) flavor addresses, in display order; the source may be empty
            where nobody knows it.
        conditions: In display order.
        seeds: Planned for every transfer and condition.
        normalize: ``scratch`` divides by training from scratch, as the paper's table 1 does.
        paper: Which table of the paper stands beside ours; shown where its unit is ours.

    Raises:
        InputError: No transfer, condition or seed, or one of them twice; or pretrain among them.
    """

    name: str
    transfers: tuple[tuple[str, str], ...]
    conditions: tuple[str, ...]
    seeds: tuple[int, ...]
    normalize: Literal["none", "scratch"] = "none"
    paper: Literal["table1", "table2"] | None = None

    def __post_init__(self) -> None:
        fields: dict[str, tuple[object, ...]] = {
            "transfers": self.transfers,
            "conditions": self.conditions,
            "seeds": self.seeds,
        }
        for field, values in fields.items():
            if not values:
                raise InputError(f"a report needs {field}, but got none; name at least one")
            if len(set(values)) < len(values):
                raise InputError(f"a report's {field} must differ, but got {values}")
        if "pretrain" in self.conditions:
            raise InputError("'pretrain' is no condition of a transfer; leave it out")

    @property
    def one_game(self) -> bool:
        """Whether all targets are flavors of one environment, so that returns have one unit."""
        games = {target.partition("?")[0].partition("@")[0] for _, target in self.transfers}
        return len(games) == 1


def condition_name(condition: str) -> str:
    """Return the human name: ``freeze_embedding`` is ``Freeze embedding``."""
    known = CONDITION_NAMES.get(condition)
    if known is not None:
        return known
    words = condition.replace("_", " ")
    return words[:1].upper() + words[1:]


def flavor_name(address: str) -> str:
    """Return the human name of a flavor: ``catch@large_ball`` is ``Catch, large ball``.

    Atari modes stay as they are (``Space Invaders m1d1``), names with capitals of their own too.
    """
    base, _, options = address.partition("?")
    base, _, variant = base.partition("@")
    family, _, name = base.rpartition("/")
    words = name.replace("_", " ")
    text = words.title() if words.islower() else words
    if family == "androidenv":
        text = f"AndroidEnv {text}"
    if _ATARI_VARIANT.fullmatch(variant):
        text += f" {variant}"
    elif variant:
        text += f", {variant.replace('_', ' ')}"
    return f"{text} ({options.replace('&', ', ')})" if options else text


def transfer_names(transfers: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return a short name for each transfer, all different.

    The target's name is enough where each target has one source; otherwise the source is said
    too, and the addresses themselves where even that is ambiguous.
    """
    pairs = list(transfers)
    names = {pair: flavor_name(pair[1]) for pair in pairs}
    if len(set(names.values())) < len(names):
        names = {
            pair: name + (f", from {flavor_name(pair[0])}" if pair[0] else "")
            for pair, name in names.items()
        }
    if len(set(names.values())) < len(names):
        names = {(source, target): f"{source} -> {target}" for source, target in pairs}
    return names
