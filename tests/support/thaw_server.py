"""Many commands in one process: `thaw` without the seconds that its imports take.

The commands go through :func:`thaw.cli.main.main`. Runs are processes of their own, as always.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import fault_driver
from fault_processes import marked
from fault_sizes import patience

START_SECONDS = 120


class Answer(NamedTuple):
    """What a command said and did."""

    status: int | None
    """None: it did not end, and was killed."""
    out: str
    err: str
    wrote: list[str]
    """Paths outside of the working folder that the process itself wrote, made or removed."""
    executed: list[str]
    """Programs that it started and addresses that it called."""
    imported: list[str]
    """Modules that it took from the working folder."""
    grown_mib: float
    """By how much the most memory that the process ever took has grown."""

    @property
    def lines(self) -> list[str]:
        """The lines on stderr that tell a problem, not a run's progress."""
        return [line for line in self.err.splitlines() if not line.startswith(PROGRESS)]


PROGRESS = (
    "[", "again ", "FAILED ", "not run ", "not saved ", "all runs were done", "saved; ",
    "1 failed; ", "2 failed; ", "3 failed; ", "4 failed; ", "5 failed; ",
)  # fmt: skip
"""How lines of `thaw run` begin that belong to a single run or sum up."""


class ThawServer:
    """A process that answers commands, one after the other.

    Args:
        folder: For its output.
        memory_mib: How much address space it may take in addition to what it has after its
            imports; None is no limit.
    """

    def __init__(self, folder: Path, memory_mib: int | None = None) -> None:
        self.folder, self.memory_mib = folder, memory_mib
        self.process: subprocess.Popen[str] | None = None

    def __call__(self, *arguments: object, cwd: Path, seconds: float = 60.0) -> Answer:
        """Run one command; kill the server if the command does not end."""
        return self._ask({"arguments": [str(a) for a in arguments], "cwd": str(cwd)}, seconds)

    def read_scores(self, path: Path, kind: str, seconds: float = 60.0) -> Answer:
        """Read a CSV file with thaw.report.scores: ``read_scores`` or ``read_curves``."""
        return self._ask({"read": kind, "path": str(path), "cwd": str(path.parent)}, seconds)

    def _ask(self, request: dict[str, Any], seconds: float) -> Answer:
        if self.process is None:
            self._start()
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        reply = self._reply(patience(seconds))
        if reply is None:
            err = (self.folder / "err").read_text(encoding="utf-8", errors="replace")
            code = self.process.poll()
            self.end()
            what = f"no answer after {seconds:g} s" if code is None else f"died with {code}"
            return Answer(None, "", f"{err}\n{what}", [], [], [], 0.0)
        return Answer(**reply)

    def _start(self) -> None:
        self.mark = uuid.uuid4().hex
        self.answers, theirs = os.pipe()
        limit = [str(self.memory_mib)] if self.memory_mib is not None else []
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(self.folder), str(theirs), *limit],
            env=os.environ
            | {"OMP_NUM_THREADS": "1", "FAULT_CHECKPOINT_SECONDS": "0.05"}
            | {"FAULT_MARK": self.mark, "PYTHONPATH": os.pathsep.join(sys.path)}
            | {"PYTHONDONTWRITEBYTECODE": "1"},  # what Python compiles is no file of a command
            stdin=subprocess.PIPE,
            text=True,
            pass_fds=[theirs],
            start_new_session=True,
        )
        os.close(theirs)
        assert self._reply(patience(START_SECONDS)) == {}

    def _reply(self, seconds: float) -> dict[str, Any] | None:
        """Return the next line of the server; None if there is none in time."""
        limit = time.monotonic() + seconds
        text = b""
        while not text.endswith(b"\n"):
            ready, _, _ = select.select([self.answers], [], [], max(0, limit - time.monotonic()))
            part = os.read(self.answers, 65536) if ready else b""
            if not part:
                return None
            text += part
        reply: dict[str, Any] = json.loads(text)
        return reply

    def end(self) -> None:
        """Kill the server with all that it has started."""
        if self.process is None:
            return
        for process in marked(self.mark):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        self.process.wait(60)
        assert self.process.stdin is not None
        self.process.stdin.close()
        os.close(self.answers)
        self.process = None


# --------------------------------------------------------------------------- in the server itself


class _Watch:
    """Python's audit events: what is written, started and imported during a command."""

    def __init__(self) -> None:
        self.cwd = ""
        self.active = False
        self.wrote: list[str] = []
        self.executed: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
                self._wrote(arguments[0])
        elif event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink"):
            for path in arguments[:2]:
                # `mkdir` of a folder that is there makes nothing.
                if isinstance(path, str | bytes | os.PathLike) and not (
                    event == "os.mkdir" and os.path.isdir(path)
                ):
                    self._wrote(path)
        elif event in EXECUTES:
            self.executed.append(f"{event} {arguments[0]!r:.200}")
        elif event == "socket.connect" and isinstance(arguments[1], tuple):
            self.executed.append(f"{event} {arguments[1]!r:.200}")

    def _wrote(self, path: str | bytes | os.PathLike[str]) -> None:
        text = os.path.realpath(os.path.join(self.cwd, os.fsdecode(path)))
        if not text.startswith((self.cwd + os.sep, *CACHES)) and text != self.cwd:
            self.wrote.append(text)


EXECUTES = (
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork",
    "os.forkpty", "pty.spawn",
)  # fmt: skip

CACHES = (
    "/dev/", "/proc/", os.path.expanduser("~/.cache/"), os.path.expanduser("~/.config/"),
    os.path.join(tempfile.gettempdir(), "envpool-"),
)  # fmt: skip
"""Where libraries may write."""


def serve(folder: Path, answers: int, memory_mib: int | None) -> None:
    """Answer commands until stdin ends."""
    import resource

    from thaw.cli.main import main

    for module in ("thaw.bench", "thaw.experiment.execute", "thaw.report.write"):
        importlib.import_module(module)  # what the commands import when they need it
    fault_driver.save_often()
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    for number, name in ((0, "in"), (1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
    if memory_mib is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + memory_mib * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    note = _Watch()
    sys.addaudithook(note)
    with os.fdopen(answers, "w", encoding="utf-8") as replies:
        print("{}", file=replies, flush=True)
        for line in requests:
            request = json.loads(line)
            os.chdir(request["cwd"])
            note.cwd, note.wrote, note.executed = os.path.realpath(request["cwd"]), [], []
            for number in (1, 2):
                os.ftruncate(number, 0)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            path, modules = list(sys.path), set(sys.modules)
            note.active = memory_mib is not None
            status = _answer(main, request)
            note.active = False
            sys.path[:] = path
            imported = _taken_from(note.cwd, set(sys.modules) - modules)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            out, err = ((folder / name).read_text("utf-8", "replace") for name in ("out", "err"))
            answer = Answer(status, out, err, note.wrote, note.executed, imported, grown / 1024)
            print(json.dumps(answer._asdict()), file=replies, flush=True)


def _answer(main: Any, request: dict[str, Any]) -> int:
    """Run a command as Python would: what is not caught is a traceback and status 1."""
    try:
        if "read" in request:
            from thaw.report import scores

            try:
                getattr(scores, request["read"])(request["path"])
            except ValueError as error:  # as `thaw report` does
                print(f"thaw: {' '.join(str(error).split())}", file=sys.stderr)
                return 2
            return 0
        return int(main(request["arguments"]))
    except BaseException:  # noqa: BLE001 - all that would end the command
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _taken_from(folder: str, names: set[str]) -> list[str]:
    """Forget the modules that lie in a folder, so that the next command imports its own."""
    found = [
        name
        for name in names
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(folder + os.sep)
    ]
    for name in found:
        del sys.modules[name]
    return sorted(found)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
