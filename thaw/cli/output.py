"""What commands print: bars, JSON, lines on standard error."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator


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
        TextColumn("{task.description}"), BarColumn(),
        TextColumn(f"{{task.completed:.0f}}/{{task.total:.0f}} {unit}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task(what, total=total)
        yield lambda amount: bars.advance(task, amount)


def print_json(document: object) -> None:
    """Print a document on standard output."""
    print(json.dumps(document, indent=2))


def say(line: str) -> None:
    """Print a line on standard error."""
    print(line, file=sys.stderr)
