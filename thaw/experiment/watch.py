"""Look on while a suite's folder fills, from any terminal: what `thaw run` itself shows."""

from __future__ import annotations

import time
from pathlib import Path

from thaw.experiment.display import Display
from thaw.experiment.suite_folder import SuiteFolder

POLL_SECONDS = 1.0


def watch(path: str | Path) -> int:
    """Show a suite's runs until each is done or has failed.

    Only files are read, so whoever executes the suite need not know.

    Args:
        path: What --out was.

    Returns:
        How many runs failed.

    Raises:
        InputError: No suite's folder.
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
