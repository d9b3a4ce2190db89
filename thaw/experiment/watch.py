"""Follows the runs in a suite's folder, and shows what `thaw run` shows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from thaw.experiment.display import Display
from thaw.experiment.plan import PlannedRun
from thaw.experiment.raced_runs import RacedRuns
from thaw.experiment.running import place_text, where_it_runs
from thaw.experiment.suite_folder import SuiteFolder
from thaw.files.ownership import owner_of

POLL_SECONDS = 1.0


def watch(path: str | Path) -> int:
    """Show a suite's runs until all are done, or until no process works on them any more.

    It only reads files, so it works from any machine and does not disturb the runs.

    Args:
        path: The suite's folder.

    Returns:
        The number of runs that are not done.

    Raises:
        InputError: Not a suite's folder.
    """
    folder = SuiteFolder(path)
    planned = folder.plan()
    runs = list(planned.runs)
    done = [run.key for run in runs if folder.status(run) == "done"]
    races, at_most = None, None
    if planned.suite.is_raced:
        races, at_most = RacedRuns(planned, folder, done), len(runs)
        runs = races.asked()
    seen = {run.key: "done" if run.key in done else "waiting" for run in runs}
    with Display(runs, done, at_most) as display:
        while True:
            may_continue = owner_of(folder.path) is not None  # asked before the files are read
            for run in runs:
                if seen[run.key] == "done":
                    continue
                status, run_folder = folder.status(run), folder.run_folder(run)
                may_continue |= status == "running"
                if status not in (seen[run.key], "waiting") and run.key not in display.tasks:
                    display.start(run, run_folder.progress_so_far()[0])
                if status in ("running", "stopped"):
                    where = place_text(where_it_runs(run_folder, run))
                    display.update(run, *run_folder.progress_so_far(), where)
                elif run.key in display.tasks:
                    if status == "done":
                        display.finish(run, "done", run_folder.result())
                    else:
                        display.finish(run, "failed", folder.error(run))
                seen[run.key] = status
                if races is not None and status == "done" and run.key not in races.rows:
                    for line in races.note(run):
                        display.print(line)
            if races is not None and (more := [r for r in races.asked() if r.key not in seen]):
                display.add(more, [])
                runs += more
                seen |= {run.key: "waiting" for run in more}
                continue
            num_left = sum(status != "done" for status in seen.values())
            if num_left == 0 or not may_continue:
                for line in describe_left(runs, seen, folder.path):
                    display.print(line)
                return num_left
            time.sleep(POLL_SECONDS)


def describe_left(runs: Iterable[PlannedRun], status: Mapping[str, str], folder: Path) -> list[str]:
    """Say why runs that have neither ended nor failed do not continue."""
    ended = ("failed", "damaged")
    left = [run for run in runs if status[run.key] not in ("done", *ended)]
    blocked = [run.key for run in left if status.get(run.source_key or "") in ended]
    lines = [f"not run {key}: its pretraining failed" for key in blocked]
    if len(blocked) < len(left):
        num_left = len(left) - len(blocked)
        lines.append(
            f"no thaw runs in {folder} any more; {num_left} runs are left; the same `thaw run` "
            "continues"
        )
    return lines
