"""What a report shows, and the names that it uses for conditions, flavors and transfers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from thaw.config.errors import InputError
from thaw.config.flavor import FAMILIES
from thaw.config.racing import RacingConfig
from thaw.config.suite import check_margin_and_bounds

CONDITION_NAMES = {
    "pretrain": "Before the transfer",
    "random": "Random",
    "scratch": "From scratch",
    "update_all": "Update all",
    "freeze_embedding": "Freeze embedding",
    "freeze_head": "Freeze head",
    "freeze_all": "Freeze all",
    "linear_probe_then_all": "Linear probe, then all",
    "gradual_unfreezing": "Gradual unfreezing",
    "layer_decay": "Layer decay",
    "l2_sp": "L2-SP",
    "shrink_and_perturb": "Shrink and perturb",
    "reset_value": "Reset value",
    "critic_warm_up": "Critic warm-up",
    "first_block_only": "First block only",
    "last_block_and_head": "Last block and head",
    "random_features": "Random features",
    "kickstart": "Kickstart",
    "norms_only": "Norms only",
}
"""Names for a reader; :func:`condition_name` makes one for any other condition."""

INDEPENDENT_CONDITIONS = ("random", "scratch", "pretrain")
"""Conditions that start from no pretrained policy, so their seeds are independent of all others."""

UNTRAINED_CONDITIONS = ("random", "freeze_all", "pretrain")
"""Conditions without training on the target; none of them can be the best trained condition."""

_NAMED_BY_THAW = ("catch", "atari", "procgen", "androidenv")
"""The families whose names are words in small letters; the others have ids."""

_ATARI_VARIANT = re.compile(r"m\d+(d\d+)?")


@dataclass(frozen=True)
class ReportSpec:
    """The planned runs; the report shows those without a score as missing.

    Attributes:
        name: The suite's name, the report's title.
        transfers: (source, target) flavor addresses, in display order; the source is empty where
            it is unknown.
        conditions: In display order.
        seeds: Planned for every transfer and condition.
        normalize: ``scratch`` divides returns by those of training from scratch, as the paper's
            table 1 does.
        paper: The table of the paper whose numbers are shown next to ours, where they have the
            same metric.
        baseline: The condition by which returns are normalized and against which differences are
            taken.
        margin: Two conditions whose true difference is smaller count as equal; in units of return.
            By default 5 % of the distance from random to scratch.
        bounds: The lowest and highest possible return; intervals are cut there.
        threshold: A return, fixed before the runs, whose first reaching is timed.
        paired: Whether runs without a source that have one seed start from one pretrained policy.
            Runs with a source do.
        inferred: Whether the plan was made from the scores, so that no run can be missing.
        more_seeds: The command that gives a suite more seeds, with ``{seeds}`` for their number;
            empty where there is none.
        num_workers: How many runs execute at once; for the estimated time of that command.
        racing: How seeds were added; None if all were planned from the beginning.
        source_steps: The steps of the pretraining from which the conditions start, rising; the
            last is its end. Empty if they start only there.

    Raises:
        InputError: No transfer, condition or seed; one of them twice; ``pretrain`` as a
            condition; a negative margin, or bounds in the wrong order.
    """

    name: str
    transfers: tuple[tuple[str, str], ...]
    conditions: tuple[str, ...]
    seeds: tuple[int, ...]
    normalize: Literal["none", "scratch"] = "none"
    paper: Literal["table1", "table2"] | None = None
    baseline: str = "scratch"
    margin: float | None = None
    bounds: tuple[float, float] | None = None
    threshold: float | None = None
    paired: bool = False
    inferred: bool = False
    more_seeds: str = ""
    num_workers: int = 1
    racing: RacingConfig | None = None
    source_steps: tuple[int, ...] = ()

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
                raise InputError(
                    f"a report's {field} must differ, but are {values}; name each only once"
                )
        if "pretrain" in self.conditions:
            raise InputError("'pretrain' is not a condition of a transfer; leave it out")
        check_margin_and_bounds(self.margin, self.bounds)

    @property
    def main_metric(self) -> str:
        """The metric of the main table."""
        return "normalized_by_scratch" if self.normalize == "scratch" else "return"

    @property
    def baseline_name(self) -> str:
        """The baseline within a sentence."""
        is_scratch = self.baseline == "scratch"
        return "training from scratch" if is_scratch else condition_name(self.baseline)

    @property
    def is_one_game(self) -> bool:
        """Whether all targets are flavors of one environment, so that returns have one unit."""
        games = {target.partition("?")[0].partition("@")[0] for _, target in self.transfers}
        return len(games) == 1


def condition_name(condition: str) -> str:
    """Return a condition's name for a reader: ``freeze_embedding`` is ``Freeze embedding``.

    A condition of the user's keeps its own name.
    """
    return CONDITION_NAMES.get(condition, condition)


def flavor_name(address: str) -> str:
    """Return a flavor's name for a reader: ``catch@large_ball`` is ``Catch, large ball``.

    Names in families of others (Gymnasium's ids) stay as they are, and so does every target that
    is no address of thaw's: ``ALE/Pong-v5``.
    """
    base, _, options = address.partition("?")
    base, _, variant = base.partition("@")
    family, _, name = base.partition("/")
    if family not in FAMILIES or bool(name) == (family == "catch"):
        return address
    if family in _NAMED_BY_THAW:
        name = (name or family).replace("_", " ")
        name = name.title() if name.islower() else name
    text = f"AndroidEnv {name}" if family == "androidenv" else name
    if _ATARI_VARIANT.fullmatch(variant):
        text += f" {variant}"
    elif variant:
        text += f", {variant.replace('_', ' ')}"
    return f"{text} ({options.replace('&', ', ')})" if options else text


def transfer_names(transfers: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return a short name for each transfer, all different.

    That is the target's name if each target has one source. Otherwise the name includes the
    source, and if names are still equal, it consists of the addresses.
    """
    pairs = list(transfers)
    names = {pair: flavor_name(pair[1]) for pair in pairs}
    if len(set(names.values())) < len(names):
        names = {
            pair: name + (f", from {flavor_name(pair[0])}" if pair[0] else "")
            for pair, name in names.items()
        }
    if len(set(names.values())) < len(names):
        names = {
            (source, target): f"{source} -> {target}".removeprefix(" -> ")
            for source, target in pairs
        }
    return names
