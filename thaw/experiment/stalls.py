"""Notices a run that makes no progress: its environment hangs in ``step`` or ``reset``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_SECONDS = 0.25
"""The caller looks at least this often."""

MAX_GAP_SECONDS = 5.0
"""A look that comes later than this means that the process that looks was suspended itself."""


class Silence:
    """For how long a run has shown no progress, without the time in which thaw was suspended."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.looked = time.monotonic()

    def look(self) -> float:
        """Return the seconds since the last progress."""
        now = time.monotonic()
        self.seconds += min(now - self.looked, MAX_GAP_SECONDS)
        self.looked = now
        return self.seconds

    def end(self) -> None:
        """Note that there was progress."""
        self.seconds = 0.0
        self.looked = time.monotonic()


def describe_stall(seconds: float, steps: int, total_steps: int) -> str:
    """Say that a run stalled, and what to do."""
    return (
        f"no progress for {seconds:g} s (last: step {steps:,} of {total_steps:,}): its environment "
        "hangs in step or reset; if it is only slow, give a larger --stall-seconds"
    )


@contextmanager
def watchdog(silence: Silence, seconds: float, stalled: Callable[[], None]) -> Iterator[None]:
    """Call a function, in a thread of its own, if a silence lasts too long."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            if silence.look() > seconds:
                stalled()
                return

    threading.Thread(target=look, name="watchdog", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
