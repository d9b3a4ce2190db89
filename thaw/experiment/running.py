"""What is known, on any machine, of a run that a process works on now."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from thaw.config.errors import InputError
from thaw.experiment.plan import PlannedRun
from thaw.files.attempts import read_attempts
from thaw.files.ownership import owner_of
from thaw.files.run_folder import RunFolder


def where_it_runs(folder: RunFolder, run: PlannedRun) -> dict[str, Any]:
    """Return a running run's host, attempt, steps, rate and time left; what is unknown is None."""
    owner = owner_of(folder.path)
    found: dict[str, Any] = {
        "host": owner.host if owner else None,
        "attempt": None,
        "steps_per_second": None,
        "seconds_left": None,
    }
    with suppress(InputError):  # a damaged file
        found["attempt"] = len(read_attempts(folder.path)) or None
    with suppress(OSError, ValueError, KeyError, TypeError):  # no row yet, or a damaged one
        row = folder.progress.last()
        steps, rate = int(row["steps"]), int(row["steps"]) / float(row["seconds"])
        found |= {
            "steps": steps,
            "steps_per_second": rate,
            "seconds_left": max(0, run.spec.steps - steps) / rate,
        }
    return found


def running_text(row: dict[str, Any]) -> str:
    """Return in words where a running run is, its rate, time left and attempt."""
    from thaw.report.words import duration

    words = []
    if row["steps_per_second"]:
        words.append(f"{row['steps_per_second']:,.0f} steps/s")
        words.append(f"{duration(row['seconds_left'])} left")
    return ", ".join([*words, place_text(row)])


def place_text(row: dict[str, Any]) -> str:
    """Return in words where a run is and which attempt it is; empty if nobody works on it."""
    if row["host"] is None:
        return ""
    return f"on {row['host']}" + (f", attempt {row['attempt']}" if row["attempt"] else "")


def mark_blocked(rows: Iterable[dict[str, Any]], runs: Iterable[PlannedRun]) -> None:
    """Call the runs blocked that wait for a pretraining that failed or is damaged.

    Args:
        rows: What ``thaw status`` shows of each run.
        runs: The runs, in the same order.
    """
    rows = list(rows)
    broken = {row["key"] for row in rows if row["status"] in ("failed", "damaged")}
    for row, run in zip(rows, runs, strict=True):
        if row["status"] == "waiting" and run.source_key in broken:
            row["status"], row["error"] = "blocked", f"{run.source_key} failed"
