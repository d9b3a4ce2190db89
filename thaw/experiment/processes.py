"""Executes several runs at once, each in its own process."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import NamedTuple

from thaw.config.runtime import Runtime
from thaw.experiment.display import Display
from thaw.experiment.plan import Plan, PlannedRun
from thaw.experiment.process_tree import kill_tree
from thaw.experiment.raced_runs import RacedRuns
from thaw.experiment.run_process import Message, run_in_process
from thaw.experiment.signals import StopRequest, blocked, handled
from thaw.experiment.stalls import LOOK_SECONDS, Silence, describe_stall
from thaw.experiment.suite_folder import SuiteFolder

EXIT_SECONDS = 5.0
"""After its last message, a run's process must end within this time. A thread that its environment
has left can prevent that."""

SAVE_SECONDS = 2.0
"""After a second signal, a run has this much time to save."""


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
    not_saved: list[str]
    """Killed after a second signal; they continue from their last checkpoints."""
    stopped_races: tuple[str, ...] = ()
    """One line for each transfer whose race cannot go on, because a run failed."""


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
    """Whether its last message was received."""
    left_at: float = 0.0
    """When that was, or when its connection closed without a last message."""

    def kill(self) -> None:
        """Kill the process and those that it has started."""
        if self.process.pid is not None and self.process.is_alive():
            kill_tree(self.process.pid)


class Executor:
    """Executes the runs of one suite that are not done yet.

    Args:
        planned: The runs of the suite, pretrainings first. Of a race, those that it asks for are
            executed.
        folder: The suite's folder.
        num_workers: How many runs execute at once.
        runtime: Device, threads, cadence of each run.
    """

    def __init__(
        self, planned: Plan, folder: SuiteFolder, num_workers: int, runtime: Runtime
    ) -> None:
        self.folder = folder
        self.num_workers, self.runtime = num_workers, runtime
        self.status = {run.key: folder.status(run) for run in planned.runs}
        # Keys only: dicts keep their order and are fast to search.
        self.done = {key: None for key, word in self.status.items() if word == "done"}
        self.races = RacedRuns(planned, folder, self.done) if planned.suite.is_raced else None
        self.at_most = len(planned.runs) if self.races else None
        self.runs = list(self.races.asked() if self.races else planned.runs)
        self.waiting: dict[str, PlannedRun] = {}
        self.active: dict[str, _Active] = {}
        self.leaving: list[_Active] = []
        """Runs that send nothing more; their processes are about to end."""
        self.failed: dict[str, str] = {}
        self.not_run: list[str] = []
        self.not_saved: list[str] = []
        self.stalled_once: set[str] = set()
        self.stop = StopRequest()
        self.has_announced_stop = False
        self.urgent_since: float | None = None
        # The fork server imports torch once, and has no threads when it forks.
        self.context = multiprocessing.get_context("forkserver")
        preloaded = ["thaw.experiment.preload"]
        if planned.suite.agent.optimizer != "rmsprop":
            preloaded.append("torch._dynamo")  # torch's optimizers import it, for two seconds
        self.context.set_forkserver_preload(preloaded)

    def run_all(self) -> Summary:
        """Execute all runs that can be executed, several at once."""
        started = time.monotonic()
        done_before = len(self.done)
        with Display(self.runs, self.done, self.at_most) as self.display, self.signals():
            self.queue(self.runs)
            if self.waiting:
                self.load_fork_server()
            while self.waiting or self.active or self.leaving:
                self.start_waiting()
                if not (self.active or self.leaving):
                    break
                self.listen()
                self.look_after()
        self.not_run += self.waiting
        if len(self.done) == done_before and not self.failed and not self.not_run:
            self.display.print("all runs were done already")
        return Summary(
            list(self.done),
            self.failed,
            self.not_run,
            self.stop.signum,
            time.monotonic() - started,
            self.not_saved,
            tuple(self.races.stopped(self.failed)) if self.races else (),
        )

    def queue(self, runs: Iterable[PlannedRun]) -> None:
        """Let runs wait for a worker, pretrainings first; a damaged one has failed already."""
        for run in runs:
            if self.status[run.key] == "damaged":
                self.failed[run.key] = self.folder.error(run)
                self.display.start(run)
                self.display.finish(run, "failed", self.failed[run.key])
            elif run.key not in self.done:
                self.waiting[run.key] = run
        first = sorted(self.waiting.values(), key=lambda run: run.spec.condition != "pretrain")
        self.waiting = {run.key: run for run in first}

    def race(self, run: PlannedRun) -> None:
        """Let the races look at a run that is done, and queue the runs that they ask for."""
        if self.races is None:
            return
        for line in self.races.note(run):
            self.display.print(line)
        asked = {run.key for run in self.runs}
        more = [run for run in self.races.asked() if run.key not in asked]
        self.runs += more
        self.display.add(more, self.done)
        self.queue(more)

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Make a signal save and stop all runs, and a second one kill those that do not stop."""
        with handled(self.stop):
            try:
                yield
            finally:
                for active in self.active.values():  # there are some only after an error of ours
                    active.process.terminate()

    def load_fork_server(self) -> None:
        """Wait until the fork server has imported torch, or until a signal arrives."""
        _start_fork_server()

        def start_nothing() -> None:
            with suppress(EOFError, OSError):  # it was killed; the first run starts another one
                self.context.Process(target=_do_nothing).start()

        first = threading.Thread(target=start_nothing, daemon=True)
        first.start()
        while first.is_alive() and self.stop.signum is None:
            first.join(LOOK_SECONDS)
        if first.is_alive():
            # Else it imports for seconds more, and keeps our standard error open.
            process_id = getattr(getattr(forkserver, "_forkserver", None), "_forkserver_pid", None)
            if process_id is not None:
                kill_tree(process_id)

    def start_waiting(self) -> None:
        """Start waiting runs whose pretraining is done, while a worker is free."""
        for run in list(self.waiting.values()):
            num_processes = len(self.active) + len(self.leaving)
            if self.stop.signum is not None or num_processes >= self.num_workers:
                return
            if run.source_key is None or run.source_key in self.done:
                del self.waiting[run.key]
                self.start(run)

    def start(self, run: PlannedRun) -> None:
        """Start a run in its own process."""
        source = self.folder.run_folder(run.source_key).path if run.source_key else None
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(
            target=run_in_process,
            args=(theirs, run.spec, self.folder.run_folder(run).path, source, self.runtime),
            daemon=False,  # a daemon could not start processes for its environments
        )
        _start_fork_server()
        process.start()
        theirs.close()
        self.active[run.key] = _Active(run, process, ours)
        self.display.start(run)

    def listen(self) -> None:
        """Take the messages that are there, or wait a moment for one."""
        connections = [active.connection for active in self.active.values()]
        processes = [*self.active.values(), *self.leaving]
        ready = wait([*connections, *(a.process.sentinel for a in processes)], timeout=LOOK_SECONDS)
        for active in list(self.active.values()):
            if active.connection.poll():
                self.receive(active)
            elif active.process.sentinel in ready:
                # It died, but a process that it has started holds its connection open.
                self.leave(active)

    def receive(self, active: _Active) -> None:
        """Take one message; a connection that closes without one means that the process died."""
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
        """Expect nothing more of a run but the end of its process."""
        active.connection.close()
        active.left_at = time.monotonic()
        del self.active[active.run.key]
        self.leaving.append(active)

    def finish(self, active: _Active, message: Message) -> None:
        """Note how a run ended."""
        key = active.run.key
        if message.kind == "done":
            self.done[key] = None
        elif message.kind == "stopped":
            self.not_run.append(key)
        else:
            self.failed[key] = message.content
        self.display.finish(active.run, message.kind, message.content)
        if message.kind == "done":
            self.race(active.run)

    def look_after(self) -> None:
        """Pass a stop on, kill what hangs, and see which processes have ended."""
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
        """Ask the active runs to save and stop; after a second signal, kill those that do not."""
        if not self.has_announced_stop:
            self.has_announced_stop = True
            self.display.print(
                "stopping: the active runs are saved first; a second signal does not wait for them"
            )
        for active in self.active.values():
            if not active.is_asked_to_stop:
                active.is_asked_to_stop = True
                active.process.terminate()
        if self.stop.is_urgent:
            now = time.monotonic()
            self.urgent_since = self.urgent_since or now
            if now - self.urgent_since > SAVE_SECONDS:
                for active in (*self.active.values(), *self.leaving):
                    active.kill()

    def explain_death(self, active: _Active) -> None:
        """Decide what becomes of a run whose process ended without a last message."""
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
                self.waiting = {key: active.run, **self.waiting}
                self.display.finish(active.run, "stopped", None)
                self.display.print(f"{key}: {reason}; its process was killed and starts again")
                return
        self.folder.run_folder(key).fail(reason)
        self.finish(active, Message("failed", reason))


def _start_fork_server() -> None:
    """Start it if it does not run, with the signals of :mod:`thaw.experiment.signals` blocked.

    So they neither kill it nor a run whose process begins; they wait until the run unblocks them.
    """
    with blocked():
        resource_tracker.ensure_running()  # which unblocks two of them when it starts
    with blocked():
        forkserver.ensure_running()


def _do_nothing() -> None:
    pass
