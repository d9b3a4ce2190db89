"""What commands print: bars, JSON, lines on standard error."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from thaw.config.errors import InputError
from thaw.experiment.signals import drop_dead_terminal


@contextlib.contextmanager
def bar(what: str, total: int, unit: str) -> Iterator[Any]:
    """Show a bar with rate and time left on a terminal; nothing when piped."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(),
        TextColumn(f"{{task.completed:.0f}}/{{task.total:.0f}} {unit}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task(what, total=total)
        yield lambda amount: bars.advance(task, amount)


def check_at_least(flag: str, value: int | None, least: int) -> None:
    """Check a flag's number; None was not given.

    Raises:
        InputError: It is too small.
    """
    if value is not None and value < least:
        raise InputError(f"{flag} is {value}; it must be at least {least}")


def check_above_zero(flag: str, value: float) -> None:
    """Check a flag's number of seconds.

    Raises:
        InputError: It is 0, below, or no number.
    """
    if not value > 0:
        raise InputError(f"{flag} is {value:g}; it must be above 0")


@contextlib.contextmanager
def environments_on_stderr() -> Iterator[None]:
    """Let all that is printed go to standard error for a while, also by libraries in C.

    Standard output is for results; an environment that prints would mix its lines with them.
    """
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # there is no standard output
        yield
        return
    try:
        with contextlib.suppress(OSError):
            os.dup2(2, 1)
        yield
    finally:
        sys.stdout.flush()
        ctypes.CDLL(None).fflush(None)  # what C code has printed but not written yet
        os.dup2(kept, 1)
        os.close(kept)


def print_json(document: object) -> None:
    """Print a document on standard output."""
    print(json.dumps(document, indent=2))


def say(line: str) -> None:
    """Print a line on standard error."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:  # its terminal was closed, or its reader has left
        drop_dead_terminal()
