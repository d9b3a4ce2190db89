"""At which steps of a pretraining a policy is kept."""

from __future__ import annotations

import itertools
import math
from typing import Annotated

import msgspec

from thaw.config.errors import InputError

NumMilestones = Annotated[int, msgspec.Meta(ge=1, le=100)]

FIRST_SHARE = 0.01
"""Of all steps, at the first of several milestones."""


def milestone_steps(number: int, steps: int) -> tuple[int, ...]:
    """Return the steps of a run's milestones: log-spaced from 1 % of its steps to all of them.

    They are rounded to two digits, because they become names. The last one is the run's end.

    Args:
        number: How many, at least 1.
        steps: Of the whole run.

    Raises:
        InputError: The run is too short for so many.
    """
    shares = [FIRST_SHARE ** (1 - place / (number - 1)) for place in range(number - 1)]
    found = (*(_rounded(steps * share) for share in shares), steps)
    if found[0] < 1 or any(late <= early for early, late in itertools.pairwise(found)):
        raise InputError(
            f"milestones is {number}, but of {steps:,} steps so many log-spaced ones are not "
            "different; take fewer"
        )
    return found


def _rounded(value: float) -> int:
    """Round to two digits."""
    unit = 10 ** max(0, math.floor(math.log10(max(value, 1))) - 1)
    return int(round(value / unit) * unit)
