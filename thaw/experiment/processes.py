"""Executes several runs at once, each in its own process."""

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

from thaw.config.errors import one_line
from thaw.config.run_spec import RunSpec
from thaw.config.runtime import Runtime
from thaw.experiment.display import Display
from thaw.experiment.plan import Plan, PlannedRun
from thaw.experiment.suite_folder import SuiteFolder
from thaw.files.run_folder import RunFolder
from thaw.training.progress import Progress, Stopped
from thaw.training.run import execute_run

MESSAGE_SECONDS = 0.25
"""A run sends its progress at most this often."""


class Summary(NamedTuple):
    """How the execution of a suite ended; runs are named by their keys."""

    done: list[str]
    """Done earlier, in the order of the plan, then done now, in the order of their ends."""
    failed: dict[str, str]
    """The last line of each error; the whole traceback is in the run's error.txt."""
    not_run: list[str]
    """Stopped, or waiting for a pretraining that failed."""
    stopped_by: int | None
    """The signal that stopped the execution; the same command continues it."""
    seconds: float


class Message(NamedTuple):
    """What a run's process sends."""

    kind: str
    """progress, done, stopped or failed."""
    content: Any


class _Active(NamedTuple):
    run: PlannedRun
    process: BaseProcess
    connection: Connection


class Executor:
    """Executes the runs of one suite that are not done yet.

    Args:
        planned: The runs of the suite, pretrainings first.
        folder: The suite's folder.
        num_workers: How many runs execute at once.
        runtime: Device, threads, cadence of each run.
    """

    def __init__(
        self, planned: Plan, folder: SuiteFolder, num_workers: int, runtime: Runtime
    ) -> None:
        self.runs, self.folder = planned.runs, folder
        self.num_workers, self.runtime = num_workers, runtime
        status = {run.key: folder.status(run) for run in self.runs}
        # Keys only: dicts keep their order and are fast to search.
        self.done = {key: None for key, word in status.items() if word == "done"}
        self.damaged = [run for run in self.runs if status[run.key] == "damaged"]
        self.waiting = {
            run.key: run for run in self.runs if status[run.key] not in ("done", "damaged")
        }
        self.active: dict[str, _Active] = {}
        self.failed: dict[str, str] = {}
        self.not_run: list[str] = []
        self.stopped_by: int | None = None
        # The fork server imports torch once, and has no threads when it forks. torch's optimizers
        # import torch._dynamo when the first one is built: 1.6 s of every run if not done here.
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(
            ["thaw.training.run", "thaw.envs.catch", "torch._dynamo"]
        )

    def run_all(self) -> Summary:
        """Execute all runs that can be executed, several at once."""
        started = time.monotonic()
        done_before = len(self.done)
        with Display(self.runs, self.done) as self.display, self.signals():
            for run in self.damaged:
                self.failed[run.key] = self.folder.error(run)
                self.display.start(run)
                self.display.finish(run, "failed", self.failed[run.key])
            while self.waiting or self.active:
                self.start_waiting()
                if not self.active:
                    break
                for connection in wait([a.connection for a in self.active.values()], timeout=0.5):
                    self.receive(connection)
        self.not_run += self.waiting
        if len(self.done) == done_before and not self.failed and not self.not_run:
            self.display.print("all runs were done already")
        return Summary(
            list(self.done), self.failed, self.not_run, self.stopped_by, time.monotonic() - started
        )

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Make SIGINT and SIGTERM save and stop all runs."""

        def stop(signum: int, frame: object) -> None:
            del frame
            if self.stopped_by is None:
                self.display.print("stopping: the active runs are saved first")
            self.stopped_by = signum
            for active in self.active.values():
                active.process.terminate()

        before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
            for active in self.active.values():  # there are some only after an error of ours
                active.process.terminate()

    def start_waiting(self) -> None:
        """Start waiting runs whose pretraining is done, while a worker is free."""
        for run in list(self.waiting.values()):
            if self.stopped_by is not None or len(self.active) >= self.num_workers:
                return
            if run.source_key is None or run.source_key in self.done:
                del self.waiting[run.key]
                self.start(run)

    def start(self, run: PlannedRun) -> None:
        """Start a run in its own process."""
        source = self.folder.run_folder(run.source_key).path if run.source_key else None
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(
            target=_run_in_process,
            args=(theirs, run.spec, self.folder.run_folder(run).path, source, self.runtime),
            daemon=False,  # a daemon could not start processes for its environments
        )
        process.start()
        theirs.close()
        self.active[run.key] = _Active(run, process, ours)
        self.display.start(run)

    def receive(self, connection: object) -> None:
        """Take one message; a connection that closes without one means that the process died."""
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
            self.done[key] = None
        elif message.kind == "stopped":
            self.not_run.append(key)
        else:
            self.failed[key] = message.content
        self.display.finish(active.run, message.kind, message.content)


def _run_in_process(
    connection: Connection, spec: RunSpec, path: Path, source: Path | None, runtime: Runtime
) -> None:
    """Execute one run and send its messages; a failure's traceback goes to the run's folder."""
    asked_to_stop = False

    def stop(signum: int, frame: object) -> None:
        nonlocal asked_to_stop
        del signum, frame
        asked_to_stop = True

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, stop)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    folder = RunFolder(path)
    last_sent = 0.0

    def watch(progress: Progress) -> None:
        nonlocal last_sent
        now = time.monotonic()
        if now - last_sent >= MESSAGE_SECONDS:
            last_sent = now
            _send(connection, Message("progress", progress))

    try:
        result = execute_run(
            spec, folder, runtime, source=source, watch=watch, should_stop=lambda: asked_to_stop
        )
        _send(connection, Message("done", result))
    except Stopped:
        _send(connection, Message("stopped", None))
    except Exception as error:  # noqa: BLE001 - the other runs continue after any error
        folder.fail(traceback.format_exc())
        _send(connection, Message("failed", one_line(error)))


def _send(connection: Connection, message: Message) -> None:
    try:
        connection.send(message)
    except OSError:
        os._exit(1)  # the parent is gone; the checkpoint is on disk


def _die_with_parent() -> None:
    """End this process when its parent dies.

    An orphan would write to the same folder as the run that replaces it. A run may be killed at
    any moment without harm.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
