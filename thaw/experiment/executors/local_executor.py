"""Executes runs on this machine, each in its own process."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from thaw.config.agent import AgentConfig
from thaw.config.runtime import Runtime
from thaw.experiment.executors.executor import Death, Event, Task
from thaw.experiment.executors.run_process import Message, run_in_process
from thaw.experiment.process_tree import kill_tree
from thaw.experiment.signals import blocked
from thaw.experiment.stalls import LOOK_SECONDS, Silence, describe_stall

EXIT_SECONDS = 5.0
"""After its last message, a run's process must end within this time. A thread that its environment
has left can prevent that."""

CLOSE_SECONDS = 30.0
"""After an error of ours, runs have this much time to save."""

NO_EXIT_CODE = 255
"""What multiprocessing says if its fork server died, which alone knows how a process ended."""

VMSTAT = Path("/proc/vmstat")


@dataclass(eq=False)
class _Process:
    """A run's process."""

    task: Task
    process: BaseProcess
    connection: Connection
    num_oom_kills: int
    """Of this machine, when it started."""
    silence: Silence = field(default_factory=Silence)
    steps: int = 0
    has_stalled: bool = False
    has_ended: bool = False
    """Whether its last message was received."""
    left_at: float = 0.0
    """When that was, or when its connection closed without a last message."""

    def kill(self) -> None:
        """Kill the process and those that it has started."""
        if self.process.pid is not None and self.process.is_alive():
            kill_tree(self.process.pid)


class LocalExecutor:
    """Runs are processes of this machine; a fork server starts them.

    Args:
        agent: Of the suite; it decides what the fork server imports.
        num_workers: How many runs execute at once.
        runtime: Device, threads, cadence of each run.
        name: What the runs' attempts.json names.
    """

    def __init__(
        self, agent: AgentConfig, num_workers: int, runtime: Runtime, name: str = "local"
    ) -> None:
        self.num_workers, self.runtime, self.name = num_workers, runtime, name
        self.active: list[_Process] = []
        self.leaving: list[_Process] = []
        """Runs that send nothing more; their processes are about to end."""
        # The fork server imports torch once, and has no threads when it forks.
        self.context = multiprocessing.get_context("forkserver")
        preloaded = ["thaw.experiment.executors.preload"]
        if agent.optimizer != "rmsprop":
            preloaded.append("torch._dynamo")  # torch's optimizers import it, for two seconds
        self.context.set_forkserver_preload(preloaded)

    def begin(self, is_stopped: Callable[[], bool]) -> None:
        """Wait until the fork server has imported torch."""
        _start_fork_server()

        def start_nothing() -> None:
            with suppress(EOFError, OSError):  # it was killed; the first run starts another one
                self.context.Process(target=_do_nothing).start()

        first = threading.Thread(target=start_nothing, daemon=True)
        first.start()
        while first.is_alive() and not is_stopped():
            first.join(LOOK_SECONDS)
        if first.is_alive():
            # Else it imports for seconds more, and keeps our standard error open.
            process_id = getattr(getattr(forkserver, "_forkserver", None), "_forkserver_pid", None)
            if process_id is not None:
                kill_tree(process_id)

    def has_room(self, *, alone: bool = False) -> bool:
        """Return whether a worker is free, or all are.

        On a CPU the next run starts while the process of the last one still ends. On a GPU that
        process holds memory, so it counts.
        """
        processes = [*self.active, *self.leaving]
        if alone or any(run.task.alone for run in processes):
            return not processes
        if self.runtime.device.startswith("cuda"):
            return len(processes) < self.num_workers
        return len(self.active) < self.num_workers >= len(self.leaving)

    def start(self, task: Task) -> None:
        """Start a run in its own process."""
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(
            target=run_in_process,
            args=(theirs, task, self.runtime, self.name),
            daemon=False,  # a daemon could not start processes for its environments
        )
        _start_fork_server()
        process.start()
        theirs.close()
        self.active.append(_Process(task, process, ours, num_oom_kills()))

    def wait(self, seconds: float) -> list[Event]:
        """Take the messages that are there, kill what hangs, and see which processes ended."""
        connections = [run.connection for run in self.active]
        sentinels = [run.process.sentinel for run in (*self.active, *self.leaving)]
        ready = wait([*connections, *sentinels], timeout=seconds)
        events: list[Event] = []
        for run in list(self.active):
            if run.connection.poll():
                events += self._receive(run)
            elif run.process.sentinel in ready:
                # It died, but a process that it has started holds its connection open.
                self._leave(run)
        events += self._look_after()
        return events

    def ask_to_stop(self) -> None:
        """Send each run the signal that saves and stops it."""
        for run in self.active:
            run.process.terminate()

    def kill(self) -> None:
        """Kill the processes of all runs."""
        for run in (*self.active, *self.leaving):
            run.kill()

    def close(self) -> None:
        """Let the processes end; runs are active only after an error, and they save."""
        self.ask_to_stop()
        limit = time.monotonic() + CLOSE_SECONDS
        while self.active or self.leaving:
            self.wait(LOOK_SECONDS)
            if time.monotonic() > limit:
                self.kill()

    def _receive(self, run: _Process) -> Iterator[Event]:
        """Take one message; a connection that closes without one means that the process died."""
        try:
            message: Message = run.connection.recv()
        except (EOFError, OSError):
            self._leave(run)
            return
        run.silence.end()
        if message.kind == "progress":
            run.steps = message.content.steps
            yield Event(run.task.key, "progress", message.content)
        elif message.kind != "alive":
            run.has_ended = True
            self._leave(run)
            yield Event(run.task.key, message.kind, message.content)

    def _leave(self, run: _Process) -> None:
        """Expect nothing more of a run but the end of its process."""
        run.connection.close()
        run.left_at = time.monotonic()
        self.active.remove(run)
        self.leaving.append(run)

    def _look_after(self) -> Iterator[Event]:
        """Kill what hangs, and see which processes have ended."""
        for run in self.active:
            silent_seconds = run.silence.look()
            if silent_seconds > self.runtime.stall_seconds and not run.has_stalled:
                run.has_stalled = True
                run.kill()
        for run in list(self.leaving):
            if not run.process.is_alive():
                self.leaving.remove(run)
                if not run.has_ended:
                    yield Event(run.task.key, "died", self._death(run))
            elif time.monotonic() - run.left_at > EXIT_SECONDS:
                run.kill()

    def _death(self, run: _Process) -> Death:
        if run.has_stalled:
            seconds, total_steps = self.runtime.stall_seconds, run.task.spec.steps
            return Death("stall", describe_stall(seconds, run.steps, total_steps))
        code = run.process.exitcode
        if code == NO_EXIT_CODE and run.process.pid is not None:
            kill_tree(run.process.pid)  # the fork server is gone, and the run may still live
            return Death("lost", "its process was lost with the fork server")
        if code == -signal.SIGKILL and num_oom_kills() > run.num_oom_kills:
            return Death("memory", "its process was killed because the machine's memory was full")
        return Death("crash", f"its process died (exit code {code})")


def num_oom_kills() -> int:
    """Return how many processes this machine has killed for want of memory; 0 if unknown."""
    with suppress(OSError, ValueError):
        for line in VMSTAT.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


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
