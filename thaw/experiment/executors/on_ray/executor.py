"""Executes runs on the machines of a Ray cluster, each as one task."""

from __future__ import annotations

import logging
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from thaw.acting.remote.messages import RayFailed
from thaw.acting.remote.ray_session import RaySession, check_ray
from thaw.config.errors import InputError, one_line
from thaw.config.runtime import Runtime
from thaw.config.suite import Suite
from thaw.experiment.executors.executor import Death, Event, Task
from thaw.experiment.executors.on_ray.cluster import Cluster
from thaw.experiment.executors.on_ray.same_code import code_here, modules_of
from thaw.experiment.executors.on_ray.shared_folder import SharedFolder, is_listed
from thaw.experiment.executors.on_ray.task import Demand
from thaw.files.run_folder import RunFolder

SAVE_SECONDS = 60.0
"""After the request to stop, runs have this much time to save."""

RESULT_SECONDS = 60.0
"""How long a network file system may hide a result that another machine has written."""

PROGRESS_SECONDS = 5.0
"""The files of a run under way are read at most this often."""

READS_AT_ONCE = 20
"""Of such files, between two looks at Ray."""

_log = logging.getLogger("thaw")


class RoomHere(NamedTuple):
    """What a Ray has that is started on this machine."""

    num_cpus: int
    """As many runs execute at once, whatever the machine has."""
    num_gpus: int


class Shown(NamedTuple):
    """A run's progress, as its files have it."""

    steps: int
    mean_return: float | None


class Flight:
    """A run that Ray has: it waits for a machine, or is on one."""

    def __init__(self, task: Task, number: int) -> None:
        self.task, self.number = task, number
        self.folder = RunFolder(task.folder)
        self.looked_at = 0.0
        """When its files were read."""
        self.steps = 0


class RayExecutor:
    """Runs are tasks of Ray. Ray never starts one again: the driver decides that.

    Args:
        suite: Whose runs; it names the user's modules.
        suite_folder: The suite's folder, which all machines mount.
        num_workers: How many runs execute at once; None is as many as there is room for.
        here: What Ray has if it is started on this machine.
        runtime: Device, threads, cadence of each run; the address of the cluster.

    Raises:
        InputError: Ray is not installed, or no cluster answers at the address.
    """

    name = "ray"

    def __init__(
        self,
        suite: Suite,
        suite_folder: Path,
        *,
        num_workers: int | None,
        here: RoomHere,
        runtime: Runtime,
    ) -> None:
        check_ray(runtime.ray_address, "--executor ray", "use --executor local")
        self.runtime = runtime
        self.num_workers, self.here = num_workers, here
        self.shared = SharedFolder(suite_folder)
        modules = modules_of(suite)
        self.demand = Demand(
            folder=str(self.shared.path),
            code=tuple(code_here(modules).items()),
            modules=modules,
            import_from=tuple(str(Path(folder).absolute()) for folder in sys.path),
        )
        self.session: RaySession | None = None
        self.count = 0
        """Of the runs that Ray was given, each time that it was."""
        self.flights: dict[Any, Flight] = {}
        """By Ray's reference to the answer."""
        self.hidden: list[tuple[float, Flight, Event]] = []
        """Runs that are done since a moment, but whose results have not arrived here."""
        self.stop_asked: float | None = None
        self.is_killed = False

    def begin(self, is_stopped: Callable[[], bool]) -> None:
        """Join the cluster, or start Ray, and let each machine prove that it fits.

        Raises:
            InputError: There is no cluster, or a machine does not fit.
            RayFailed: Ray failed.
        """
        runs_per_gpu = self.runtime.runs_per_gpu if self.runtime.device == "cuda" else None
        self.session = RaySession(
            self.runtime.ray_address, num_cpus=self.here.num_cpus, num_gpus=self.here.num_gpus
        )
        self.session.be_quiet()
        self.ray = self.session.ray
        self.cluster = Cluster(self.session, runs_per_gpu)
        self.shared.open()
        self.cluster.check(self.shared, self.demand, is_stopped)

    def has_room(self, *, alone: bool = False) -> bool:
        """Return whether another run may be given to Ray.

        It gets twice as many as there is room for. So no machine waits for the driver, and a
        cluster that can grow has a reason to. It does not get all: each costs its head memory. One
        that must be alone waits in Ray, for a machine of its own.
        """
        most = self.num_workers
        if most is None:
            most = 2 * max(1, self.cluster.count_slots())
        return len(self.flights) < most

    def start(self, task: Task) -> None:
        """Give a run to Ray."""
        source = task.source.absolute() if task.source is not None else None
        self._submit(task._replace(folder=task.folder.absolute(), source=source))

    def wait(self, seconds: float) -> list[Event]:
        """Return what has happened; wait for it at most so long.

        Raises:
            InputError: No machine fits any more.
            RayFailed: Ray failed.
        """
        if self.stop_asked is not None and time.monotonic() - self.stop_asked > SAVE_SECONDS:
            self.kill()
        requests, ready = list(self.flights), []
        with self.cluster.calling():
            if requests:
                self.ray.wait(requests, num_returns=1, timeout=seconds)
                ready, _ = self.ray.wait(requests, num_returns=len(requests), timeout=0)
        if not requests:
            time.sleep(seconds)
        events = list(self._read_progress())
        for request in ready:
            events += self._take(request)
        for request in self._lost():
            flight = self.flights.pop(request)
            events.append(self._death_with_machine(flight))
        return [*events, *self._see_results()]

    def ask_to_stop(self) -> None:
        """Ask all runs to save and stop; those that wait for a machine end at once."""
        if self.stop_asked is not None:
            return
        self.stop_asked = time.monotonic()
        self.shared.ask_to_stop()
        started = self.shared.places()
        for request, flight in self.flights.items():
            if flight.number not in started:
                with suppress(Exception):  # Ray has failed, which the next call tells
                    self.ray.cancel(request)

    def kill(self) -> None:
        """Kill all runs; their processes end with those of Ray that started them."""
        self.is_killed = True
        for request in self.flights:
            with suppress(Exception):  # it, its machine or Ray may have ended meanwhile
                self.ray.cancel(request, force=True)

    def close(self) -> None:
        """Leave Ray; runs that are there, which they are after an error only, may save before."""
        if self.session is None:
            return
        with suppress(RayFailed, InputError):
            self.ask_to_stop()
            while self.flights:  # at last they are killed
                self.wait(0.5)
        self.shared.close()
        self.session.close()
        self.session = None

    def _submit(self, task: Task) -> None:
        self.count += 1
        pickled = pickle.dumps((task, self.runtime))
        request = self.cluster.submit(task, self.demand, self.count, pickled)
        self.flights[request] = Flight(task, self.count)

    def _take(self, request: Any) -> Iterator[Event]:
        """Take the answer of a run that has ended; how Ray's tasks end decides what that means."""
        flight = self.flights.pop(request)
        key, errors = flight.task.key, self.ray.exceptions
        self.session.check_alive()  # type: ignore[union-attr]
        try:
            kind, content = self.ray.get(request)
        except errors.LocalRayletDiedError as error:
            raise RayFailed(f"Ray failed: {one_line(error)}") from error
        except errors.NodeDiedError:
            yield self._death_with_machine(flight)
        except errors.OutOfMemoryError as error:
            yield Event(
                key, "died", Death("memory", f"its machine had no memory ({_brief(error)})")
            )
        except errors.TaskCancelledError:
            if self.is_killed:
                yield Event(key, "died", Death("crash", "it was killed"))
            else:
                yield Event(key, "stopped", None)
        except errors.RayTaskError as error:  # in our own code there, not in the run's process
            flight.folder.fail(str(error))
            yield Event(key, "failed", one_line(error.cause or error))
        except errors.RayError as error:
            yield Event(key, "died", Death("crash", f"its process died ({_brief(error)})"))
        else:
            if kind == "refused":
                machine, trouble = content
                if self.stop_asked is not None:
                    yield Event(key, "stopped", None)
                    return
                _log.warning("%s; it gets no more runs", trouble)
                self.cluster.exclude(machine, trouble)
                self._submit(flight.task)
            elif kind == "done":
                self.hidden.append((time.monotonic(), flight, Event(key, kind, content)))
            else:
                yield Event(key, kind, Death(*content) if kind == "died" else content)

    def _lost(self) -> list[Any]:
        """Return the requests whose machines are lost although Ray has no answer."""
        lost = self.cluster.lost_machines()
        if not lost:
            return []
        places = self.shared.places()
        return [r for r, flight in self.flights.items() if places.get(flight.number) in lost]

    def _death_with_machine(self, flight: Flight) -> Event:
        """Give a run up; if its machine lives and only seems dead, it is to stop."""
        self.shared.give_up(flight.number)
        return Event(flight.task.key, "died", Death("lost", "its machine was lost"))

    def _read_progress(self) -> Iterator[Event]:
        """Read how far runs are, in their files."""
        now = time.monotonic()
        due = [f for f in self.flights.values() if now - f.looked_at > PROGRESS_SECONDS]
        for flight in sorted(due, key=lambda flight: flight.looked_at)[:READS_AT_ONCE]:
            flight.looked_at = now
            with suppress(OSError):
                steps, mean_return = flight.folder.progress_so_far()
                if steps != flight.steps:
                    flight.steps = steps
                    yield Event(flight.task.key, "progress", Shown(steps, mean_return))

    def _see_results(self) -> Iterator[Event]:
        """Report runs that are done when their results are here: the driver reads them."""
        hidden, self.hidden = self.hidden, []
        for since, flight, event in hidden:
            if is_listed(flight.folder.path / "result.json"):
                yield event
            elif time.monotonic() - since < RESULT_SECONDS:
                self.hidden.append((since, flight, event))
            else:
                text = f"its result did not arrive here within {RESULT_SECONDS:g} s"
                yield Event(event.key, "died", Death("lost", text))


def _brief(error: Exception) -> str:
    """Return the first sentence of an error of Ray, which may have a page."""
    return " ".join(str(error).split()).partition(". ")[0][:200]
