"""thaw in processes of its own, which are found, counted and killed by their role."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import fault_driver
from fault_sizes import patience, wait_until

CHECKPOINT_SECONDS = 0.05


class Process(NamedTuple):
    """A process of a running thaw."""

    pid: int
    parent: int
    command: str


class RunningThaw:
    """One call of the command, its output in files, its processes marked.

    Args:
        arguments: Of the command.
        cwd: Its working folder; stdout and stderr go to files there.
        environment: More variables.
    """

    program: Sequence[str] = (sys.executable, fault_driver.__file__)

    def __init__(self, arguments: Sequence[object], cwd: Path, **environment: str) -> None:
        self.mark = uuid.uuid4().hex
        self.out_file, self.err_file = cwd / f"{self.mark}.out", cwd / f"{self.mark}.err"
        with self.out_file.open("wb") as out, self.err_file.open("wb") as err:
            self.process = subprocess.Popen(
                [*self.program, *map(str, arguments)],
                cwd=cwd,
                env=os.environ
                | {"OMP_NUM_THREADS": "1", "FAULT_CHECKPOINT_SECONDS": str(CHECKPOINT_SECONDS)}
                | environment
                | {"FAULT_MARK": self.mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.started = time.time()

    @property
    def err(self) -> str:
        """What it said on stderr so far."""
        return self.err_file.read_text(encoding="utf-8", errors="replace")

    @property
    def out(self) -> str:
        """What it said on stdout so far."""
        return self.out_file.read_text(encoding="utf-8", errors="replace")

    @property
    def is_over(self) -> bool:
        """Whether the driver has ended."""
        return self.process.poll() is not None

    def end(self, seconds: float) -> int | None:
        """Wait for the driver's end; return its exit status, None if it did not end."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def family(self) -> list[Process]:
        """Return the processes that were started by this call and live."""
        return marked(self.mark)

    def fork_server(self) -> int | None:
        """Return the fork server's process id."""
        mine = self.process.pid
        found = [p.pid for p in self.family() if p.parent == mine and "forkserver" in p.command]
        return found[0] if found else None

    def workers(self) -> list[int]:
        """Return the process ids of the runs under way."""
        server = self.fork_server()
        return [p.pid for p in self.family() if server is not None and p.parent == server]

    def send(self, signum: int, *, group: bool) -> None:
        """Send a signal to the driver, or to all as a terminal does."""
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.process.pid, signum)

    def leaves_nothing(self) -> bool:
        """Whether within five seconds no process is left."""
        return wait_until(lambda: not self.family(), patience(5))

    def clear(self) -> None:
        """Kill what is left."""
        for process in self.family():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        if self.process.poll() is None:
            self.process.wait(60)


def marked(mark: str) -> list[Process]:
    """Return the live processes whose environment has this mark."""
    found = []
    wanted = f"FAULT_MARK={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted not in (folder / "environ").read_bytes():
                continue
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            # The name, in brackets, may hold spaces; state and parent follow it.
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if state not in "ZX":
            found.append(Process(int(folder.name), int(parent), command))
    return found
