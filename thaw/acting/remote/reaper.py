"""Kills a run's leftover processes after the run has exited or was killed.

Most of Ray's processes end with the process that started Ray, but some survive when that is
killed. So do processes that an environment started, such as an emulator. This is a script without
imports from thaw: ``python reaper.py FOLDER`` waits until its standard input ends.

The run may first send it one line, the path of the raylet's socket, and at last the line ``bye``.
If the raylet dies and the run then ends without ``bye``, Ray has ended the run's process in the
middle of a call, where no Python code runs. Then this script says so in the run's place.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

MARK = "THAW_RAY_SESSION"
"""An environment variable of all processes of one run; its value is the run's Ray folder."""

SWEEPS = 10
"""Sweeps in a row, because a process may start another one while it is killed."""


def belonging(folder: str) -> list[int]:
    """Return the ids of the processes that belong to a run's Ray folder.

    They inherited ``THAW_RAY_SESSION`` or have a file in the folder open. Both are needed: Ray's
    processes overwrite the environment that the system shows, but write logs in the folder; an
    emulator keeps the environment and may write no log. Only Linux shows either; on other systems
    the list is empty.
    """
    mark = f"{MARK}={folder}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # another user's process, or one that has just ended
            words = (process / "environ").read_bytes().split(b"\0")
            files = (os.readlink(file) for file in (process / "fd").iterdir())
            if mark in words or any(file.startswith(folder) for file in files):
                found.append(int(process.name))
    return found


def reap(folder: str, spared: set[int]) -> None:
    """Kill all processes that belong to a folder, except the spared ones; delete the folder."""
    for _ in range(SWEEPS):
        process_ids = set(belonging(folder)) - spared
        for process_id in process_ids:
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)
        if not process_ids:
            break
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)


def wait_for_the_end() -> bool:
    """Wait until standard input ends; return True if the raylet's death ended the run."""
    raylet: socket.socket | None = None
    lines = b""
    while True:
        watched: list[int | socket.socket] = [0] if raylet is None else [0, raylet]
        ready, _, _ = select.select(watched, [], [])
        # The raylet first: it also dies after a run that was killed, and that is no news.
        if raylet in ready and 0 not in ready:
            return read_all() == b""
        new = os.read(0, 2**12)
        lines += new
        if not new:
            return False
        if b"bye\n" in lines:
            read_all()  # Ray is being shut down
            return False
        if raylet is None and b"\n" in lines:
            raylet = socket.socket(socket.AF_UNIX)
            with suppress(OSError):  # it is dead already: the socket reads as closed
                raylet.connect(lines.split(b"\n")[0])


def read_all() -> bytes:
    """Read standard input to its end."""
    return sys.stdin.buffer.read()


if __name__ == "__main__":
    run = os.getppid()  # has a log in the folder open too
    is_death = wait_for_the_end()
    if is_death:
        print(f"thaw: {sys.argv[2]}", file=sys.stderr, flush=True)
    reap(sys.argv[1], {run, os.getpid()})
