"""Several runs at once, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from thaw.config.run_spec import RunSpec
from thaw.config.runtime import Runtime
from thaw.config.suite import Suite
from thaw.experiment.display import Display
from thaw.experiment.plan import PlannedRun, plan
from thaw.experiment.suite_folder import SuiteFolder
from thaw.files.run_folder import RunFolder
from thaw.training.progress import Progress, Stopped
from thaw.training.run import execute_run

MESSAGE_SECONDS = 0.25
"""A run tells its progress at most this often."""


class Summary(NamedTuple):
    """How it went."""

    done: list[str]
    failed: dict[str, str]
    """The last line of the error, by run key; the whole is in the run's error.txt."""
    not_run: list[str]
    """Stopped, or waiting for a pretraining that failed."""
    stopped_by: int | None
    """The signal that ended it early; the same command goes on."""
    seconds: float


class Message(NamedTuple):
    """What a run's process tells."""

    kind: str
    """progress, done, stopped or failed."""
    content: Any


class _Active(NamedTuple):
    run: PlannedRun
    process: BaseProcess
    connection: Connection


class Executor:
    """The runs of one suite, waiting and active."""

    def __init__(
        self, suite: Suite, folder: SuiteFolder, num_workers: int, runtime: Runtime
    ) -> None:
        self.folder, self.num_workers, self.runtime = folder, num_workers, runtime
        self.runs = {run.key: run for run in plan(suite).runs}
        status = {key: folder.status(run) for key, run in self.runs.items()}
        self.done = [key for key in self.runs if status[key] == "done"]
        self.damaged = [run for key, run in self.runs.items() if status[key] == "damaged"]
        self.waiting = [r for key, r in self.runs.items() if status[key] not in ("done", "damaged")]
        self.active: dict[str, _Active] = {}
        self.failed: dict[str, str] = {}
        self.not_run: list[str] = []
        self.stopped_by: int | None = None
        # A fork server has torch imported once, and no threads when it forks. torch's optimizers
        # import torch._dynamo when the first one is built: 1.6 s of every run if not done here.
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(
            ["thaw.training.run", "thaw.envs.catch", "torch._dynamo"]
        )

    def execute(self) -> Summary:
        """Do all runs that can be done, several at once."""
        started = time.monotonic()
        done_before = len(self.done)
        with Display(self.runs.values(), self.done) as self.display, self.signals():
            for run in self.damaged:
                self.failed[run.key] = self.folder.error(run)
                self.display.start(run)
                self.display.finish(run, "failed", self.failed[run.key])
            while self.waiting or self.active:
                self.start_what_can_start()
                if not self.active:
                    break
                for connection in wait([a.connection for a in self.active.values()], timeout=0.5):
                    self.receive(connection)
        self.not_run += [run.key for run in self.waiting]
        if len(self.done) == done_before and not self.failed and not self.not_run:
            self.display.print("all runs were done already")
        return Summary(
            self.done, self.failed, self.not_run, self.stopped_by, time.monotonic() - started
        )

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM save and stop."""

        def stop(signum: int, frame: object) -> None:
            del frame
            if self.stopped_by is None:
                self.display.print("stopping: the runs under way are saved first")
            self.stopped_by = signum
            for active in self.active.values():
                active.process.terminate()

        before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
            for active in self.active.values():  # after an error of ours only: else none is left
                active.process.terminate()

    def start_what_can_start(self) -> None:
        """Fill the free places with runs whose pretraining is there."""
        for run in list(self.waiting):
            if self.stopped_by is not None or len(self.active) >= self.num_workers:
                return
            if run.source_key is None or run.source_key in self.done:
                self.waiting.remove(run)
                self.start(run)

    def start(self, run: PlannedRun) -> None:
        """Start a run in a process of its own."""
        source = self.folder.run_folder(run.source_key).path if run.source_key else None
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(
            target=_run_in_process,
            args=(theirs, run.spec, self.folder.run_folder(run).path, source, self.runtime),
            daemon=False,  # a daemon could not have processes of its own, for its environments
        )
        process.start()
        theirs.close()
        self.active[run.key] = _Active(run, process, ours)
        self.display.start(run)

    def receive(self, connection: object) -> None:
        """Take one message; a closed connection without a last word is a death."""
        active = next(a for a in self.active.values() if a.connection is connection)
        key = active.run.key
        try:
            message = active.connection.recv()
        except EOFError:
            active.process.join()
            message = Message("stopped", None)
            if self.stopped_by is None:
                reason = f"its process died (exit code {active.process.exitcode})"
                self.folder.run_folder(key).fail(reason)
                message = Message("failed", reason)
        if message.kind == "progress":
            progress = message.content
            self.display.update(active.run, progress.steps, progress.mean_return)
            return
        active.process.join()
        active.connection.close()
        del self.active[key]
        if message.kind == "done":
            self.done.append(key)
        elif message.kind == "stopped":
            self.not_run.append(key)
        else:
            self.failed[key] = message.content
        self.display.finish(active.run, message.kind, message.content)


def _run_in_process(
    connection: Connection, spec: RunSpec, path: Path, source: Path | None, runtime: Runtime
) -> None:
    """Be one run's process: execute, tell, and keep the traceback of a failure."""
    asked_to_stop = False

    def stop(signum: int, frame: object) -> None:
        nonlocal asked_to_stop
        del signum, frame
        asked_to_stop = True

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, stop)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    folder = RunFolder(path)
    last_told = 0.0

    def watch(progress: Progress) -> None:
        nonlocal last_told
        now = time.monotonic()
        if now - last_told >= MESSAGE_SECONDS:
            last_told = now
            _tell(connection, Message("progress", progress))

    try:
        result = execute_run(
            spec, folder, runtime, source=source, watch=watch, should_stop=lambda: asked_to_stop
        )
        _tell(connection, Message("done", result))
    except Stopped:
        _tell(connection, Message("stopped", None))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other runs go on
        folder.fail(traceback.format_exc())
        message = " ".join(f"{type(error).__name__}: {error}".split())
        _tell(connection, Message("failed", message))


def _tell(connection: Connection, message: Message) -> None:
    try:
        connection.send(message)
    except OSError:
        os._exit(1)  # the parent is gone; what mattered is on disk


def _die_with_parent() -> None:
    """End this process when the one that started it was killed.

    An orphan would write beside the run that takes its place. A run may die at any moment.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
