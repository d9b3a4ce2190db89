"""What commands print: bars, JSON, lines on standard error."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
from collections.abc import Callable, Iterator

from thaw.config.errors import printable
from thaw.experiment.signals import drop_dead_terminal


@contextlib.contextmanager
def bar(what: str, total: int, unit: str) -> Iterator[Callable[[float], None]]:
    """Show a bar with the time left on a terminal, and nothing elsewhere.

    Yields:
        A function that advances the bar by so many units.
    """
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


@contextlib.contextmanager
def prints_on_stderr() -> Iterator[None]:
    """Send everything that is printed to standard error for a while, also by libraries in C.

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
        ctypes.CDLL(None).fflush(None)  # C libraries have a buffer of their own
        os.dup2(kept, 1)
        os.close(kept)


def print_json(document: object) -> None:
    """Print a document on standard output."""
    print(json.dumps(document, indent=2))


def say(line: str) -> None:
    """Print a line on standard error."""
    try:
        print(printable(line), file=sys.stderr, flush=True)
    except OSError:  # the terminal was closed, or the reader has left
        drop_dead_terminal()
