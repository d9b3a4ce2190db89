"""Racing: seeds are added in blocks, and only where the verdict is still open."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import msgspec

from thaw.config.errors import InputError
from thaw.config.strict import Config

ERROR = 0.05
"""How often a race may name a winner where two conditions are equal: all looks together."""


MOST_SEEDS = 10_000
"""Of a suite."""


class RacingConfig(Config, frozen=True, kw_only=True):
    """When a race looks at its runs, and how certain it must be at each look.

    The plan is part of the suite, and is written down before the first run. The levels add up to
    at most :data:`ERROR`, so that looking several times does not make the error larger (union
    bound, for any dependence).
    """

    looks: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)] = (3, 5, 8, 12)
    """Seeds of each condition at each look; rising, from 3 on."""
    levels: tuple[float, ...] = ()
    """Two-sided error of each look. By default they rise as 1, 3, 6, 10, ... and add up to 5 %."""
    by_hand: bool = False
    """Whether seeds were added by hand later, which ends the race: all seeds of the suite are run,
    and the report says only what holds at any number of seeds."""

    def __post_init__(self) -> None:
        looks = self.looks
        if looks[0] < 3 or any(after <= before for before, after in pairwise(looks)):
            raise InputError(
                f"racing looks {list(looks)} must rise and begin with 3 or more, as in "
                "[3, 5, 8, 12]"
            )
        if looks[-1] > MOST_SEEDS:
            raise InputError(f"racing looks end at {looks[-1]}; {MOST_SEEDS} seeds are the most")
        if not self.levels:
            weights = [look * (look + 1) / 2 for look in range(1, len(looks) + 1)]
            levels = tuple(round(ERROR * weight / sum(weights), 12) for weight in weights)
            msgspec.structs.force_setattr(self, "levels", levels)
        if len(self.levels) != len(looks) or min(self.levels) <= 0:
            raise InputError(
                f"racing levels {list(self.levels)} must be one positive number for each of the "
                f"{len(looks)} looks"
            )
        if sum(self.levels) > ERROR + 1e-9:
            raise InputError(
                f"racing levels add up to {sum(self.levels):g}; they may add up to {ERROR} at most"
            )
