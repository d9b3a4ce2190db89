"""Where the runs of a suite execute: what the driver needs of such a place, and no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from thaw.config.run_spec import RunSpec


class Task(NamedTuple):
    """One run that is to be executed."""

    key: str
    spec: RunSpec
    folder: Path
    """The run's folder."""
    source: Path | None
    """The folder of the pretraining that it starts from; that run is done."""
    alone: bool = False
    """Whether nothing else may execute beside it: its memory was too small before."""


class Death(NamedTuple):
    """Why a run ended without a word of its own."""

    cause: Literal["crash", "stall", "memory", "lost"]
    """As in :data:`thaw.files.attempts.Cause`; lost is also a node that was taken away."""
    text: str
    """What happened, in one line."""


class Event(NamedTuple):
    """What a place has to say of a run that it executes.

    After ``start``, any number of ``progress`` follow, then exactly one of the others.
    """

    key: str
    kind: Literal["progress", "done", "failed", "stopped", "died"]
    content: Any
    """progress: a Progress; done: what result.json holds; failed: the error in one line, whose
    traceback is in the run's error.txt; stopped: None, the run is saved; died: a Death."""


class Executor(Protocol):
    """A place where runs execute. It starts and ends them, and decides nothing.

    The driver calls it from one thread. A run executes in :func:`thaw.training.run.execute_run`,
    whose files are the truth: an event only says that they are there.
    """

    name: str
    """As in ``thaw run --executor NAME``."""

    def begin(self, is_stopped: Callable[[], bool]) -> None:
        """Make ready, before the first run; return early once ``is_stopped()`` is true."""

    def has_room(self, *, alone: bool = False) -> bool:
        """Return whether another run can start now, or one that must be alone."""

    def start(self, task: Task) -> None:
        """Start a run and return at once; only call this where there is room.

        Its process writes attempts.json and log.txt in the run's folder.
        """

    def wait(self, seconds: float) -> list[Event]:
        """Return what has happened; wait for it at most so long."""

    def ask_to_stop(self) -> None:
        """Ask all runs to save and stop."""

    def kill(self) -> None:
        """Kill all runs at once, with everything that they have started."""

    def close(self) -> None:
        """Leave nothing running; call this at the end, and after any error."""
