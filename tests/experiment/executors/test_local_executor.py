"""When there is room for another run on this machine."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from small_runs import AGENT, SPEC

from thaw.config.runtime import Runtime
from thaw.experiment.executors.executor import Task
from thaw.experiment.executors.local_executor import LocalExecutor, _Process


def process(folder: Path, *, alone: bool = False) -> _Process:
    ours, _theirs = multiprocessing.Pipe(duplex=False)
    return _Process(Task("key", SPEC, folder, None, alone), multiprocessing.Process(), ours, 0)


@pytest.mark.parametrize(
    ("device", "has_room"), [("cpu", True), ("cuda", False), ("cuda:1", False)]
)
def test_a_process_that_ends_leaves_room_where_it_holds_no_gpu_memory(
    tmp_path: Path, device: str, has_room: bool
) -> None:
    executor = LocalExecutor(AGENT, 1, Runtime(device=device))
    assert executor.has_room()

    executor.leaving.append(process(tmp_path))
    assert executor.has_room() == has_room
    assert not executor.has_room(alone=True)
    executor.leaving.append(process(tmp_path))
    assert not executor.has_room(), "processes that do not end must not pile up"
    executor.leaving.clear()
    executor.active.append(process(tmp_path))
    assert not executor.has_room()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_run_that_must_be_alone_has_no_company(tmp_path: Path, device: str) -> None:
    executor = LocalExecutor(AGENT, 2, Runtime(device=device))
    executor.active.append(process(tmp_path))
    assert executor.has_room()
    assert not executor.has_room(alone=True)
    executor.active[:] = [process(tmp_path, alone=True)]
    assert not executor.has_room()
