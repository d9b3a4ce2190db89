"""Drives the runs of a suite: which is next, which are done, and what becomes of one that died.

Where runs execute, the driver does not know: an :mod:`executor <thaw.experiment.executors>` does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from thaw.config.errors import InputError
from thaw.experiment.display import Display
from thaw.experiment.executors.executor import Death, Event, Executor, Task
from thaw.experiment.plan import Plan, PlannedRun
from thaw.experiment.pretraining_check import PretrainingCheck
from thaw.experiment.raced_runs import RacedRuns
from thaw.experiment.results import Results
from thaw.experiment.retries import Decision, decide
from thaw.experiment.run_queue import RunQueue
from thaw.experiment.signals import StopRequest, handled
from thaw.experiment.stalls import LOOK_SECONDS
from thaw.experiment.suite_folder import SuiteFolder
from thaw.files.atomic import WriteFailed
from thaw.files.attempts import (
    Attempts,
    Cause,
    given_up,
    read_attempts,
    with_end_of,
    write_attempts,
)

SAVE_SECONDS = 2.0
"""After a second signal, a run has this much time to save."""

CHECK_SECONDS = 5.0
"""So often the driver asks whether the folder is still its own."""


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
    results: Results | None = None
    """The tables of all runs that are done; None if the execution was stopped."""


class Driver:
    """Executes the runs of one suite that are not done yet.

    Args:
        planned: The runs of the suite, pretrainings first. Of a race, those that it asks for are
            executed.
        folder: The suite's folder.
        executor: Where they execute.
        retry_failed: Whether to try runs again that had failed before.
        notice: A line to begin with.
        check: Called every few seconds; an error stops the runs, which save.
    """

    def __init__(
        self,
        planned: Plan,
        folder: SuiteFolder,
        executor: Executor,
        *,
        retry_failed: bool = False,
        notice: str = "",
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.folder, self.executor = folder, executor
        self.retry_failed, self.notice = retry_failed, notice
        self.check, self.checked = check, time.monotonic()
        self.status = {run.key: folder.status(run) for run in planned.runs}
        # Keys only: dicts keep their order and are fast to search.
        self.done = {key: None for key, word in self.status.items() if word == "done"}
        self.races = RacedRuns(planned, folder, self.done) if planned.suite.is_raced else None
        self.at_most = len(planned.runs) if self.races else None
        self.pretraining = PretrainingCheck(planned, folder, self.done)
        asked = self.races.asked() if self.races else planned.runs
        self.asked = {run.key: run for run in asked}
        self.queue = RunQueue(self.done)
        self.active: dict[str, PlannedRun] = {}
        self.failed: dict[str, str] = {}
        self.not_run: list[str] = []
        self.not_saved: list[str] = []
        self.num_attempts: dict[str, int] = {}
        """Of each active run, before it started."""
        self.stop = StopRequest()
        self.has_announced_stop = False
        self.urgent_since: float | None = None

    def run_all(self) -> Summary:
        """Execute all runs that can be executed, several at once."""
        started = time.monotonic()
        done_before = len(self.done)
        self.display = Display(self.asked.values(), self.done, self.at_most)
        with self.display, handled(self.stop):
            if self.notice:
                self.display.print(self.notice)
            try:
                self.let_wait(self.asked.values())
                if self.queue.has_ready():
                    self.executor.begin(lambda: self.stop.signum is not None)
                while self.start_ready():
                    for event in self.executor.wait(LOOK_SECONDS):
                        self.take(event)
                    if self.stop.signum is not None:
                        self.stop_active()
                    if time.monotonic() - self.checked > CHECK_SECONDS:
                        self.check()
                        self.checked = time.monotonic()
            finally:
                self.executor.close()
        self.not_run += [run.key for run in self.queue]
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

    def let_wait(self, runs: Iterable[PlannedRun]) -> None:
        """Queue runs that are not done; one that failed for good or is damaged has failed."""
        for run in runs:
            word, decision = self.status[run.key], Decision(again=True, alone=False)
            if word in ("failed", "stopped"):
                run_folder = self.folder.run_folder(run)
                decision = decide(self.attempts(run), run_folder.saved_steps())
            has_failed = word == "failed" and not decision.again and not self.retry_failed
            if has_failed or word == "damaged":
                self.display.start(run)
                self.finish(run, "failed", self.folder.error(run))
            elif word != "done":
                self.queue.add(run, alone=decision.alone)

    def attempts(self, run: PlannedRun) -> Attempts:
        """Read a run's attempts; a damaged file counts for nothing, and the run itself tells it."""
        with suppress(InputError):
            return read_attempts(self.folder.run_folder(run).path)
        return ()

    def start_ready(self) -> bool:
        """Start what can start; return whether there is anything to wait for."""
        if self.stop.signum is not None:
            return bool(self.active)
        while self.queue.has_ready():
            alone = self.queue.next_is_alone
            if not self.executor.has_room(alone=alone):
                break
            run = self.queue.pop()
            run_folder, source = self.folder.run_folder(run), self.folder.source_of(run)
            self.num_attempts[run.key] = len(self.attempts(run))
            steps = run_folder.saved_steps()  # read before the run can save more
            self.executor.start(Task(run.key, run.spec, run_folder.path, source, alone))
            self.active[run.key] = run
            self.display.start(run, steps)
        return bool(self.active) or self.queue.has_ready()

    def take(self, event: Event) -> None:
        """Note what has happened to a run."""
        run = self.active[event.key]
        if event.kind == "progress":
            self.display.update(run, event.content.steps, event.content.mean_return)
            return
        del self.active[event.key]
        if event.kind == "died":
            self.explain_death(run, event.content)
        else:
            self.finish(run, event.kind, event.content)

    def finish(self, run: PlannedRun, kind: str, content: Any) -> None:
        """Note how a run ended, and queue what becomes possible."""
        self.display.finish(run, kind, content)
        if kind == "stopped":
            self.not_run.append(run.key)
        elif kind == "failed":
            self.failed[run.key] = content
        else:
            self.done[run.key] = None
            self.queue.release(run.key)
            for line in self.pretraining.note(run):
                self.display.print(line)
            self.race(run)

    def race(self, run: PlannedRun) -> None:
        """Let the races look at a run that is done, and queue the runs that they ask for."""
        if self.races is None:
            return
        for line in self.races.note(run):
            self.display.print(line)
        more = [run for run in self.races.asked() if run.key not in self.asked]
        self.asked |= {run.key: run for run in more}
        self.display.add(more, self.done)
        self.let_wait(more)

    def explain_death(self, run: PlannedRun, death: Death) -> None:
        """Decide what becomes of a run that ended without a word of its own."""
        folder, is_stopped = self.folder.run_folder(run), self.stop.signum is not None
        cause: Cause = "stopped" if is_stopped else death.cause
        steps = folder.saved_steps()
        before, name = self.num_attempts[run.key], self.executor.name
        attempts = with_end_of(before, self.attempts(run), name, steps, cause, death.text)
        decision = decide(attempts, steps)
        try:
            write_attempts(folder.path, attempts if decision.again else given_up(attempts))
        except WriteFailed:  # what cannot be counted is not tried again by itself
            decision = Decision(again=False, alone=False)
        if is_stopped:
            if self.stop.is_urgent or death.cause == "stall":
                self.not_saved.append(run.key)
            self.finish(run, "stopped", None)
        elif decision.again:
            self.queue.add(run, again=True, alone=decision.alone)
            self.display.finish(run, "stopped", None)
            starts = f"attempt {len(attempts) + 1} starts{' alone' if decision.alone else ''}"
            self.display.print(f"again {run.key}: {death.text}; {starts}")
        else:
            if not folder.error_log.exists():  # a traceback tells more
                folder.fail(death.text)
            self.finish(run, "failed", death.text)

    def stop_active(self) -> None:
        """Ask the active runs to save and stop; after a second signal, kill those that do not."""
        if not self.has_announced_stop:
            self.has_announced_stop = True
            self.display.print(
                "stopping: the active runs are saved first; a second signal does not wait for them"
            )
            self.executor.ask_to_stop()
        if self.stop.is_urgent:
            now = time.monotonic()
            self.urgent_since = self.urgent_since or now
            if now - self.urgent_since > SAVE_SECONDS:
                self.executor.kill()
