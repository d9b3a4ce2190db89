"""What a machine of a Ray cluster does for a driver: prove that it fits, and execute one run.

What comes back is plain data: the machine may have another thaw.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from thaw.acting.remote.ray_session import this_machine
from thaw.config.runtime import Runtime
from thaw.experiment.executors.executor import Event, Task
from thaw.experiment.executors.local_executor import LocalExecutor
from thaw.experiment.executors.on_ray.same_code import code_here, differences
from thaw.experiment.executors.on_ray.shared_folder import (
    executing,
    is_listed,
    is_over,
    trouble_with,
    wait_until,
)
from thaw.experiment.stalls import LOOK_SECONDS
from thaw.files.run_folder import RunFolder

STOP_LOOK_SECONDS = 2.0
"""A run looks at most this often whether the driver asks it to stop."""

SOURCE_SECONDS = 60.0
"""How long a network file system may hide a pretraining that another machine has finished."""

Answer = tuple[str, Any]
"""The kind and the content of a run's last event; or ``refused``, with the machine's id and why."""


class Demand(NamedTuple):
    """What a machine must fit to; plain data."""

    folder: str
    """The driver's, see :mod:`thaw.experiment.executors.on_ray.shared_folder`."""
    code: tuple[tuple[str, str], ...]
    """Of the driver's machine, see :func:`thaw.experiment.executors.on_ray.same_code.code_here`."""
    modules: tuple[str, ...]
    """The user's modules among them."""
    import_from: tuple[str, ...]
    """The driver's folders of modules; those that are here too are used."""


def trouble_here(demand: Demand) -> str | None:
    """Return in one line why this machine cannot execute runs for a driver; None if it can."""
    return _trouble_here(demand)


@cache  # a process of Ray may execute many runs
def _trouble_here(demand: Demand) -> str | None:
    sys.path += [folder for folder in demand.import_from if folder not in sys.path]
    differing = differences(dict(demand.code), code_here(demand.modules))
    if differing:
        return f"has {differing}; all machines need the same"
    return trouble_with(Path(demand.folder), this_machine())


def execute_here(demand: Demand, number: int, pickled: bytes) -> Answer:
    """Execute one run on this machine, in a process of its own as on the driver's machine.

    Args:
        demand: What the driver expects of this machine.
        number: Of this attempt among those that the driver has given to Ray.
        pickled: A :class:`Task` and a :class:`Runtime`; opened after the code was compared.
    """
    trouble = trouble_here(demand)
    if trouble is not None:
        return "refused", (this_machine(), f"{socket.gethostname()} {trouble}")
    task, runtime = pickle.loads(pickled)  # noqa: S301 - the driver's, through Ray's own channel
    assert isinstance(task, Task)
    assert isinstance(runtime, Runtime)
    folder = RunFolder(task.folder)
    if folder.is_done:  # by an attempt whose word got lost
        return "done", folder.result()
    if task.source is not None:
        result = task.source / "result.json"
        if not wait_until(lambda: is_listed(result), SOURCE_SECONDS):
            reason = f"{socket.gethostname()} does not see {result}, which another machine wrote"
            folder.fail(reason)
            return "failed", reason
    driver = Path(demand.folder)
    with executing(driver, number, this_machine()):
        return _execute(task, runtime, lambda: is_over(driver, number))


def _execute(task: Task, runtime: Runtime, should_stop: Callable[[], bool]) -> Answer:
    if should_stop():
        return "stopped", None
    # Ray sets this only where nobody has; the runs' processes inherit it.
    os.environ["OMP_NUM_THREADS"] = str(runtime.num_threads)
    executor = LocalExecutor(task.spec.agent, 1, runtime, name="ray")
    looked, is_asked = time.monotonic(), False
    try:
        with _without_main():
            executor.start(task)
        while True:
            try:
                for event in executor.wait(LOOK_SECONDS):
                    if event.kind != "progress":
                        return _answer(event)
                if not is_asked and time.monotonic() - looked > STOP_LOOK_SECONDS:
                    looked, is_asked = time.monotonic(), should_stop()
                    if is_asked:
                        executor.ask_to_stop()
            except KeyboardInterrupt:  # the driver has cancelled it, as if it had not started
                executor.ask_to_stop()
    finally:
        executor.close()


def _answer(event: Event) -> Answer:
    content = tuple(event.content) if event.kind == "died" else event.content
    return event.kind, content


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the program of this process, Ray's: a process that is started would import it too."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
