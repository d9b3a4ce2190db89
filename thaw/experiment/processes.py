"""Several runs at once, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from thaw.config.run_spec import RunSpec
from thaw.config.runtime import Runtime
from thaw.config.suite import Suite
from thaw.experiment.display import Display
from thaw.experiment.plan import PlannedRun, plan
from thaw.experiment.process_tree import kill_tree
from thaw.experiment.signals import STOP_SIGNALS, StopRequest, blocked, handled, set_handlers
from thaw.experiment.stalls import LOOK_SECONDS, Silence, describe_stall
from thaw.experiment.suite_folder import SuiteFolder
from thaw.files.run_folder import RunFolder
from thaw.training.progress import Progress, Stopped
from thaw.training.run import execute_run

MESSAGE_SECONDS = 0.25
"""A run tells its progress at most this often."""

ALIVE_SECONDS = 1.0
"""Between two updates and while it is scored, a run says at most this often that it goes on."""

EXIT_SECONDS = 5.0
"""A run's process that has said its last word must end within this time; a thread that its
environment left behind may keep it from that."""

SAVE_SECONDS = 2.0
"""After a second signal, the time in which a run may still save."""


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
    not_saved: list[str]
    """Stopped by force, after a second signal; they go on from their last checkpoints."""


class Message(NamedTuple):
    """What a run's process tells."""

    kind: str
    """progress, alive, done, stopped or failed."""
    content: Any


@dataclass(eq=False)
class _Active:
    """A run's process."""

    run: PlannedRun
    process: BaseProcess
    connection: Connection
    silence: Silence = field(default_factory=Silence)
    steps: int = 0
    has_stalled: bool = False
    is_asked_to_stop: bool = False
    has_ended: bool = False
    """Whether its last word was received."""
    left_at: float = 0.0
    """When that was, or when its connection closed without it."""

    def kill(self) -> None:
        """End the process and what it has started."""
        if self.process.pid is not None and self.process.is_alive():
            kill_tree(self.process.pid)


class Executor:
    """The runs of one suite, waiting and active."""

    def __init__(
        self, suite: Suite, folder: SuiteFolder, num_workers: int, runtime: Runtime
    ) -> None:
        self.folder, self.num_workers, self.runtime = folder, num_workers, runtime
        self.runs = {run.key: run for run in plan(suite).runs}
        self.done = [key for key, run in self.runs.items() if folder.status(run) == "done"]
        self.waiting = [run for key, run in self.runs.items() if key not in self.done]
        self.active: dict[str, _Active] = {}
        self.leaving: list[_Active] = []
        """Runs that tell nothing more; their processes are about to end."""
        self.failed: dict[str, str] = {}
        self.not_run: list[str] = []
        self.not_saved: list[str] = []
        self.stalled_once: set[str] = set()
        self.stop = StopRequest()
        self.is_told = False
        self.killing_since: float | None = None
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
            if self.waiting:
                self.load_fork_server()
            while self.waiting or self.active or self.leaving:
                self.start_what_can_start()
                if not (self.active or self.leaving):
                    break
                self.listen()
                self.look_after()
        self.not_run += [run.key for run in self.waiting]
        if len(self.done) == done_before and not self.failed and not self.not_run:
            self.display.print("all runs were done already")
        return Summary(
            self.done,
            self.failed,
            self.not_run,
            self.stop.signum,
            time.monotonic() - started,
            self.not_saved,
        )

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Let a signal save and stop, and a second one end what does not stop."""
        with handled(self.stop):
            try:
                yield
            finally:
                for active in self.active.values():  # after an error of ours only: none is left
                    active.process.terminate()

    def load_fork_server(self) -> None:
        """Let the fork server import torch, unless a signal comes before it is ready."""
        _start_fork_server()

        def start_and_end() -> None:
            with suppress(EOFError, OSError):  # it was killed; the first run starts another one
                self.context.Process(target=_do_nothing).start()

        first = threading.Thread(target=start_and_end, daemon=True)
        first.start()
        while first.is_alive() and self.stop.signum is None:
            first.join(LOOK_SECONDS)
        if first.is_alive():
            # It would go on importing, and hold our standard error open, for seconds.
            process_id = getattr(getattr(forkserver, "_forkserver", None), "_forkserver_pid", None)
            if process_id is not None:
                kill_tree(process_id)

    def start_what_can_start(self) -> None:
        """Fill the free places with runs whose pretraining is there."""
        for run in list(self.waiting):
            num_processes = len(self.active) + len(self.leaving)
            if self.stop.signum is not None or num_processes >= self.num_workers:
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
        _start_fork_server()
        process.start()
        theirs.close()
        self.active[run.key] = _Active(run, process, ours)
        self.display.start(run)

    def listen(self) -> None:
        """Take what runs tell now, or wait a moment for it."""
        speaking = {active.connection: active for active in self.active.values()}
        ending = {
            active.process.sentinel: active for active in (*self.active.values(), *self.leaving)
        }
        ready = wait([*speaking, *ending], timeout=LOOK_SECONDS)
        for active in list(self.active.values()):
            if active.connection.poll():
                self.receive(active)
            elif active.process.sentinel in ready:  # what it started may hold its connection
                self.leave(active)

    def receive(self, active: _Active) -> None:
        """Take one message; a closed connection without a last word is a death."""
        try:
            message = active.connection.recv()
        except (EOFError, OSError):
            self.leave(active)
            return
        active.silence.end()
        if message.kind == "progress":
            progress = message.content
            active.steps = progress.steps
            self.display.update(active.run, progress.steps, progress.mean_return)
        elif message.kind != "alive":
            active.has_ended = True
            self.leave(active)
            self.finish(active, message)

    def leave(self, active: _Active) -> None:
        """Expect nothing more from a run but the end of its process."""
        active.connection.close()
        active.left_at = time.monotonic()
        del self.active[active.run.key]
        self.leaving.append(active)

    def finish(self, active: _Active, message: Message) -> None:
        """Note how a run ended."""
        key = active.run.key
        if message.kind == "done":
            self.done.append(key)
        elif message.kind == "stopped":
            self.not_run.append(key)
        else:
            self.failed[key] = message.content
        self.display.finish(active.run, message.kind, message.content)

    def look_after(self) -> None:
        """End what hangs, pass a stop on, and see which processes have ended."""
        if self.stop.signum is not None:
            self.stop_active()
        for active in self.active.values():
            silent_seconds = active.silence.look()
            if silent_seconds > self.runtime.stall_seconds and not active.has_stalled:
                active.has_stalled = True
                active.kill()
        for active in list(self.leaving):
            if not active.process.is_alive():
                self.leaving.remove(active)
                if not active.has_ended:
                    self.explain_death(active)
            elif time.monotonic() - active.left_at > EXIT_SECONDS:
                active.kill()

    def stop_active(self) -> None:
        """Ask runs to save and stop; after a second signal, end those that do not."""
        now = time.monotonic()
        for active in self.active.values():
            if not active.is_asked_to_stop:
                active.is_asked_to_stop = True
                active.process.terminate()
        if not self.is_told:
            self.is_told = True
            self.display.print(
                "stopping: the runs under way are saved first; a second signal ends them at once"
            )
        if self.stop.is_urgent and self.killing_since is None:
            self.killing_since = now
        if self.killing_since is not None and now - self.killing_since > SAVE_SECONDS:
            for active in (*self.active.values(), *self.leaving):
                active.kill()

    def explain_death(self, active: _Active) -> None:
        """Judge a run whose process ended without a last word."""
        key = active.run.key
        if self.stop.signum is not None:
            if self.stop.is_urgent or active.has_stalled:
                self.not_saved.append(key)
            self.finish(active, Message("stopped", None))
            return
        reason = f"its process died (exit code {active.process.exitcode})"
        if active.has_stalled:
            steps, total_steps = active.steps, active.run.spec.steps
            reason = describe_stall(self.runtime.stall_seconds, steps, total_steps)
            if key not in self.stalled_once:
                self.stalled_once.add(key)
                self.waiting.insert(0, active.run)
                self.display.finish(active.run, "stopped", None)
                self.display.print(f"{key}: {reason}; its process was ended and starts again")
                return
        self.folder.run_folder(key).fail(reason)
        self.finish(active, Message("failed", reason))


def _start_fork_server() -> None:
    """Start it if it does not run; signals that stop thaw neither end it nor a run's beginning."""
    with blocked():
        resource_tracker.ensure_running()  # which unblocks some of them
    with blocked():
        forkserver.ensure_running()


def _do_nothing() -> None:
    pass


def _run_in_process(
    connection: Connection, spec: RunSpec, path: Path, source: Path | None, runtime: Runtime
) -> None:
    """Be one run's process: execute, tell, and keep the traceback of a failure."""
    stop = StopRequest()
    set_handlers(stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # see _start_fork_server
    with suppress(OSError):
        os.dup2(2, 1)  # standard output is for results, and an environment may print
    threading.Thread(target=_die_with_parent, daemon=True).start()
    folder = RunFolder(path)
    told_progress, told_anything = 0.0, 0.0

    def watch(progress: Progress) -> None:
        nonlocal told_progress, told_anything
        now = time.monotonic()
        if now - told_progress >= MESSAGE_SECONDS:
            told_progress = told_anything = now
            _tell(connection, Message("progress", progress))

    def should_stop() -> bool:
        nonlocal told_anything
        now = time.monotonic()
        if now - told_anything >= ALIVE_SECONDS:
            told_anything = now
            _tell(connection, Message("alive", None))
        return stop.signum is not None

    try:
        if stop.signum is not None:
            raise Stopped
        result = execute_run(
            spec, folder, runtime, source=source, watch=watch, should_stop=should_stop
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
