"""Ends what a run has started once the run itself has ended, however that came about.

Ray's own processes mostly die with the one that started Ray, but not all of them do when it is
killed; nor do processes that an environment started, as an emulator. A script of its own, without
imports of ours: ``python reaper.py FOLDER`` waits until its standard input ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

MARK = "THAW_RAY_SESSION"
"""In the environment of all that is started for one run; its value is the run's folder for Ray."""

SWEEPS = 10
"""Sweeps in a row: a process may start another one while it is being killed."""


def belonging(folder: str) -> list[int]:
    """Return the processes that were started for what works in a folder.

    They inherit ``THAW_RAY_SESSION`` or hold a file there open: Ray's own overwrite what the
    system shows of their environment, but write logs; an emulator may do the opposite. Linux
    alone shows either; elsewhere there are none.
    """
    mark = f"{MARK}={folder}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # another user's, or one that has just ended
            words = (process / "environ").read_bytes().split(b"\0")
            files = (os.readlink(file) for file in (process / "fd").iterdir())
            if mark in words or any(file.startswith(folder) for file in files):
                found.append(int(process.name))
    return found


def reap(folder: str, spared: set[int]) -> None:
    """Kill everything that belongs to a folder, but for some processes, and delete it."""
    for _ in range(SWEEPS):
        process_ids = set(belonging(folder)) - spared
        for process_id in process_ids:
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)
        if not process_ids:
            break
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    run = os.getppid()  # has a log open there too
    sys.stdin.read()
    reap(sys.argv[1], {run, os.getpid()})
