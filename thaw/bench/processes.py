"""Training in processes of its own, for what must be measured apart."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from thaw.bench.subjects import steps_per_second, training_update
from thaw.bench.workload import WARM_UP_SECONDS, Workload


@contextmanager
def serving(
    workload: Workload, count: int, conditions: tuple[str, ...]
) -> Iterator[list[Connection]]:
    """Start processes that train in some conditions, when asked."""
    context = multiprocessing.get_context("spawn")
    ours = []
    for _ in range(count):
        mine, theirs = context.Pipe()
        context.Process(target=_serve, args=(theirs, workload, conditions), daemon=True).start()
        theirs.close()
        ours.append(mine)
    try:
        for connection in ours:
            connection.recv()  # it is warm
        yield ours
    finally:
        for connection in ours:
            connection.close()


def _serve(connection: Connection, workload: Workload, conditions: tuple[str, ...]) -> None:
    """Train for as long as asked, again and again, until nobody asks any more."""
    torch.set_num_threads(workload.num_threads)
    with ExitStack() as stack:
        trainings = {c: training_update(workload, stack, c) for c in conditions}
        for training in trainings.values():
            steps_per_second(training, WARM_UP_SECONDS, workload.device)
        connection.send(None)
        while True:
            try:
                condition, seconds = connection.recv()
            except EOFError:
                return
            connection.send(
                peak_mib()
                if condition == "peak MiB"
                else steps_per_second(trainings[condition], seconds, workload.device)
            )


def ask(connections: Sequence[Connection], what: str, seconds: float = 0.0) -> list[float]:
    """Ask all at once."""
    for connection in connections:
        connection.send((what, seconds))
    return [connection.recv() for connection in connections]


def peak_mib() -> float:
    """Return this process's peak memory in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's getrusage would count what the parent had when it forked
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS
