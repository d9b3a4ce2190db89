"""Training in other processes, where it must not share this process."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch

from thaw.bench.subjects import rate_of, training_update
from thaw.bench.workload import Workload
from thaw.config.runtime import peak_mib


class Measure(NamedTuple):
    """Request: train for some seconds; the answer is decisions per second."""

    condition: str
    seconds: float


class PeakMemory(NamedTuple):
    """Request: the answer is the process's peak memory in MiB."""


class TrainingProcesses:
    """Processes that train at the same time, on request."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self.connections = tuple(connections)

    def steps_per_second(self, condition: str, seconds: float) -> float:
        """Train in all of them at once; return the sum of their rates."""
        return sum(self._ask(Measure(condition, seconds)))

    def peak_mib(self) -> float:
        """Return the largest peak memory of one process in MiB."""
        return max(self._ask(PeakMemory()))

    def _ask(self, request: Measure | PeakMemory) -> list[float]:
        for connection in self.connections:
            connection.send(request)
        return [connection.recv() for connection in self.connections]


@contextmanager
def training_processes(
    workload: Workload, count: int, conditions: tuple[str, ...], warm_up_seconds: float
) -> Iterator[TrainingProcesses]:
    """Start processes that can train in some conditions, and wait until they are warm."""
    context = multiprocessing.get_context("forkserver")  # which imports torch once
    context.set_forkserver_preload([__name__, "torch.fx.experimental.symbolic_shapes"])
    ours = []
    for _ in range(count):
        mine, theirs = context.Pipe()
        context.Process(
            target=_serve, args=(theirs, workload, conditions, warm_up_seconds), daemon=True
        ).start()
        theirs.close()
        ours.append(mine)
    try:
        for connection in ours:
            connection.recv()  # sent after the warm-up
        yield TrainingProcesses(ours)
    finally:
        for connection in ours:
            connection.close()


def _serve(
    connection: Connection, workload: Workload, conditions: tuple[str, ...], warm_up_seconds: float
) -> None:
    """Answer requests until the other side closes the connection."""
    torch.set_num_threads(workload.num_threads)
    with ExitStack() as stack:
        rates = {
            c: rate_of(training_update(workload, stack, c), workload.device) for c in conditions
        }
        for rate in rates.values():
            rate(warm_up_seconds)
        connection.send(None)
        while True:
            try:
                request: Measure | PeakMemory = connection.recv()
            except EOFError:
                return
            if isinstance(request, Measure):
                connection.send(rates[request.condition](request.seconds))
            else:
                connection.send(peak_mib())
