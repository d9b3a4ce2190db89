"""How far a run is: what it tells its caller and writes to progress.csv and episodes.csv."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

PROGRESS_ROWS = 1000
"""Rows of progress.csv over a run: enough to see, few enough to read."""


class Stopped(Exception):
    """The run was asked to stop; it has saved and goes on when started again."""


class Progress(NamedTuple):
    """Told to whoever watches."""

    steps: int
    total_steps: int
    mean_return: float | None
    """Of the most recent training episodes; None before the first."""


Watch = Callable[[Progress], None]
