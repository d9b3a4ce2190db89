"""The table of retries: what becomes of a run whose attempt ended, by cause.

===========  ==========================================================================
cause        tried again
===========  ==========================================================================
crash        twice: a signal killed its process, or it left without a word
stall        once: its environment made no progress
memory       once, alone: nothing else executes beside it
lost         while it advances; the 20th in a row that did not is the last
exception    not at all: it would happen again
outside      by the next ``thaw run``: the disk, or wrong files, which somebody mends
===========  ==========================================================================

Only the driver of a suite decides by this table. It counts in the run's attempts.json, so a driver
that was started again goes on counting. ``--retry-failed`` begins to count again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from thaw.files.attempts import Attempt

RETRIES = {"crash": 2, "stall": 1, "memory": 1, "exception": 0}
"""By cause: how often a run is tried again."""

LOST_IN_A_ROW = 20
"""So many attempts that were lost without an advance, one after the other, are a failure."""


class Decision(NamedTuple):
    """What becomes of a run."""

    again: bool
    """Whether it is tried again."""
    alone: bool
    """Whether nothing else may execute beside it then."""


def decide(attempts: Sequence[Attempt], steps: int) -> Decision:
    """Decide about a run that is not done.

    Args:
        attempts: All its attempts so far, of which the last has ended.
        steps: Where the next one would start.
    """
    if not attempts or attempts[-1].gave_up:
        return Decision(again=not attempts, alone=False)
    counted = _since_given_up(attempts)
    causes = [attempt.cause for attempt in counted]
    alone, cause = "memory" in causes, causes[-1]
    if cause == "lost":
        return Decision(_lost_in_a_row(counted, steps) < LOST_IN_A_ROW, alone)
    allowed = RETRIES.get(str(cause))
    return Decision(allowed is None or causes.count(cause) <= allowed, alone)


def _since_given_up(attempts: Sequence[Attempt]) -> Sequence[Attempt]:
    """Return the attempts after the last one before them that was a failure for good."""
    first = 0
    for place, attempt in enumerate(attempts[:-1], start=1):
        if attempt.gave_up or attempt.cause == "exception":
            first = place
    return attempts[first:]


def _lost_in_a_row(attempts: Sequence[Attempt], steps: int) -> int:
    """Count the last attempts that were lost and have not advanced the run."""
    count, ended_at = 0, steps
    for attempt in reversed(attempts):
        if attempt.cause != "lost" or ended_at > attempt.steps:
            break
        count, ended_at = count + 1, attempt.steps
    return count
