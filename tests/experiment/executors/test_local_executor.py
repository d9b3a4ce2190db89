"""When there is room for another run on this machine."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from small_runs import AGENT, SPEC

from thaw.config.runtime import Runtime
from thaw.experiment.executors.executor import Task
from thaw.experiment.executors.local_executor import LocalExecutor, _Process


@pytest.mark.parametrize(
    ("device", "has_room"), [("cpu", True), ("cuda", False), ("cuda:1", False)]
)
def test_a_process_that_ends_leaves_room_where_it_holds_no_gpu_memory(
    tmp_path: Path, device: str, has_room: bool
) -> None:
    executor = LocalExecutor(AGENT, 1, Runtime(device=device))
    assert executor.has_room()

    def process() -> _Process:
        ours, _theirs = multiprocessing.Pipe(duplex=False)
        task = Task("key", SPEC, tmp_path, None, alone=False)
        return _Process(task, multiprocessing.Process(), ours, 0)

    executor.leaving.append(process())
    assert executor.has_room() == has_room
    assert not executor.has_room(alone=True)
    executor.leaving.append(process())
    assert not executor.has_room(), "processes that do not end must not pile up"
    executor.leaving.clear()
    executor.active.append(process())
    assert not executor.has_room()
