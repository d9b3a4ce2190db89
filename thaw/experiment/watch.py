"""Follows the runs in a suite's folder, and shows what `thaw run` shows."""

from __future__ import annotations

import time
from pathlib import Path

from thaw.experiment.display import Display
from thaw.experiment.suite_folder import SuiteFolder

POLL_SECONDS = 1.0


def watch(path: str | Path) -> int:
    """Show a suite's runs until each is done or has failed.

    It only reads files, so it works from any terminal and does not disturb the runs.

    Args:
        path: The suite's folder.

    Returns:
        The number of runs that failed.

    Raises:
        InputError: Not a suite's folder.
    """
    folder = SuiteFolder(path)
    runs = folder.plan().runs
    done = [run.key for run in runs if folder.status(run) == "done"]
    seen = {run.key: "done" if run.key in done else "waiting" for run in runs}
    with Display(runs, done) as display:
        while True:
            for run in runs:
                status, run_folder = folder.status(run), folder.run_folder(run)
                if status not in (seen[run.key], "waiting") and run.key not in display.tasks:
                    display.start(run)
                if status == "started":
                    display.update(run, *run_folder.progress_so_far())
                elif run.key in display.tasks:
                    if status == "done":
                        display.finish(run, "done", run_folder.result())
                    else:
                        display.finish(run, "failed", folder.error(run))
                seen[run.key] = status
            if all(status in ("done", "failed", "damaged") for status in seen.values()):
                return sum(status != "done" for status in seen.values())
            time.sleep(POLL_SECONDS)
