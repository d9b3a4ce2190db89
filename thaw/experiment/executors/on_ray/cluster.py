"""The machines of a Ray cluster: how many runs fit, and whether each machine is as it must be."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from thaw.acting.remote.messages import RayFailed
from thaw.acting.remote.ray_session import RaySession
from thaw.config.errors import InputError, one_line
from thaw.experiment.executors.executor import Task
from thaw.experiment.executors.on_ray.shared_folder import SEEN_SECONDS, SharedFolder
from thaw.experiment.executors.on_ray.task import Demand, execute_here, trouble_here
from thaw.experiment.stalls import LOOK_SECONDS

CHECK_SECONDS = 120.0
"""A machine must prove within this time that it fits; it imports thaw meanwhile."""

SLOTS_SECONDS = 10.0
"""The cluster's size is asked at most this often; it may grow and shrink."""


DEAD_SECONDS = 5.0
"""Ray is asked at most this often which machines are dead."""

LOST_SECONDS = 30.0
"""After a machine's death, Ray has this much time to end its tasks."""


_log = logging.getLogger("thaw")


class Cluster:
    """What a driver needs of a Ray cluster.

    Args:
        session: Ray, of a cluster or of this machine alone.
        runs_per_gpu: Each run takes one CPU and one share of a GPU, of this many; None: no GPU.
    """

    def __init__(self, session: RaySession, runs_per_gpu: int | None) -> None:
        self.session, self.ray, self.runs_per_gpu = session, session.ray, runs_per_gpu
        self.unfit: set[str] = set()
        """Ids of machines that must get no more runs."""
        self._slots, self._slots_asked = 0, -SLOTS_SECONDS
        self._dead: dict[str, float] = {}
        """When it was noticed, by the machines' ids."""
        self._dead_asked = -DEAD_SECONDS
        self._execute = self.ray.remote(
            num_cpus=1,
            # A share of 1/k: for other ones, Ray can wait for ever although there is room. With a
            # GPU, each task has a new process, as the next one may get another GPU.
            num_gpus=1 / runs_per_gpu if runs_per_gpu else 0,
            max_retries=0,  # Ray does not know one end of a run from another; the driver does
            retry_exceptions=False,
            scheduling_strategy="SPREAD",  # else it fills one machine after the other
        )(execute_here)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Check that Ray is alive before a call, and turn its errors into RayFailed."""
        self.session.check_alive()  # else the next line may end this process
        try:
            yield
        except (self.ray.exceptions.RayError, ConnectionError) as error:
            raise RayFailed(f"Ray failed: {one_line(error)}") from error

    def machines(self) -> dict[str, str]:
        """Return the machines that could execute a run now: their names by their ids."""
        wanted = {"CPU": 1.0} if self.runs_per_gpu is None else {"CPU": 1.0, "GPU": 1.0}
        with self.calling():
            nodes = self.ray.nodes()
        return {
            node["NodeID"]: f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            for node in nodes
            if node["Alive"]
            and node["NodeID"] not in self.unfit
            and all(node["Resources"].get(name, 0) >= least for name, least in wanted.items())
        }

    def lost_machines(self) -> set[str]:
        """Return the ids of the machines that are dead since :data:`LOST_SECONDS`.

        Ray ends their tasks, but not all: with one that was suspended it waits for an answer.
        """
        now = time.monotonic()
        if now - self._dead_asked > DEAD_SECONDS:
            self._dead_asked = now
            with self.calling():
                for node in self.ray.nodes():
                    if not node["Alive"]:
                        self._dead.setdefault(node["NodeID"], now)
        return {machine for machine, since in self._dead.items() if now - since > LOST_SECONDS}

    def count_slots(self) -> int:
        """Return how many runs the cluster, as it is now, executes at once."""
        now = time.monotonic()
        if now - self._slots_asked > SLOTS_SECONDS:
            with self.calling():
                there = self.ray.cluster_resources()
            slots = there.get("CPU", 0)
            if self.runs_per_gpu is not None:
                slots = min(slots, there.get("GPU", 0) * self.runs_per_gpu)
            self._slots, self._slots_asked = int(slots), now
        return self._slots

    def submit(self, task: Task, demand: Demand, number: int, pickled: bytes) -> Any:
        """Give a run to Ray, see :func:`execute_here`; return the reference to its answer.

        One that must be alone asks for all CPUs of the smallest machine, and for a whole GPU.
        """
        options: dict[str, Any] = {"name": f"thaw {task.key}"}
        if task.alone:
            options["num_cpus"] = self._smallest()
            if self.runs_per_gpu is not None:
                options["num_gpus"] = 1
        if self.unfit:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(sorted(self.unfit))})"}
        with self.calling():
            return self._execute.options(**options).remote(demand, number, pickled)

    def _smallest(self) -> float:
        """Return the CPUs of the machine that has the fewest."""
        with self.calling():
            there = {node["NodeID"]: node["Resources"].get("CPU", 1) for node in self.ray.nodes()}
        return min((there[machine] for machine in self.machines()), default=1)

    def exclude(self, machine: str, trouble: str) -> None:
        """Give a machine no more runs.

        Raises:
            InputError: It was the last one.
        """
        self.unfit.add(machine)
        if not self.machines():
            raise InputError(f"no machine of the Ray cluster fits any more: {trouble}")

    def check(self, shared: SharedFolder, demand: Demand, is_stopped: Callable[[], bool]) -> None:
        """Let each machine prove that it fits, before it gets a run.

        Raises:
            InputError: One does not; the message has all troubles of all machines.
        """
        strategy = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        names = self.machines()
        if not names:
            what = "a CPU" if self.runs_per_gpu is None else "a CPU and a GPU"
            _log.warning("no machine of the Ray cluster has %s; the runs wait for one", what)
        with self.calling():
            ask = self.ray.remote(trouble_here)
            asked = {
                ask.options(
                    num_cpus=0, max_retries=0, scheduling_strategy=strategy(machine, soft=False)
                ).remote(demand): machine
                for machine in names
            }
        waiting = list(asked)
        deadline = time.monotonic() + CHECK_SECONDS
        while waiting and time.monotonic() < deadline:
            if is_stopped():
                return
            with self.calling():
                _, waiting = self.ray.wait(waiting, num_returns=len(waiting), timeout=LOOK_SECONDS)
        troubles = [
            f"{names[asked[request]]} did not answer within {CHECK_SECONDS:g} s"
            for request in waiting
        ]
        proved = []
        for request, machine in asked.items():
            if request in waiting:
                continue
            try:
                trouble = self.ray.get(request)
            except (
                self.ray.exceptions.TaskUnschedulableError,
                self.ray.exceptions.NodeDiedError,
            ):
                continue  # it has just left the cluster
            except self.ray.exceptions.RayError as error:
                trouble = f"cannot execute thaw ({one_line(error)[-300:]})"
            if trouble is None:
                proved.append(machine)
            else:
                troubles.append(f"{names[machine]} {trouble}")
        troubles += [
            f"what {names[machine]} writes in {shared.suite_folder} does not arrive here within "
            f"{SEEN_SECONDS:g} s"
            for machine in shared.unseen(proved)
        ]
        if troubles:
            raise InputError(f"the Ray cluster does not fit: {'; '.join(sorted(troubles))}")
