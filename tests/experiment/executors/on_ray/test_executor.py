"""Runs as tasks of a real Ray: the same results, and each kind of end is told from the others."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import TINY, Say
from fault_suite import run_differences
from small_runs import SPEC, changed

from thaw.config.errors import InputError
from thaw.config.runtime import Runtime
from thaw.config.suite import Suite
from thaw.experiment.execute import execute
from thaw.experiment.executors.executor import Death, Event, Task
from thaw.experiment.executors.on_ray import executor as ray_executor
from thaw.experiment.executors.on_ray.executor import Flight, RayExecutor, RoomHere
from thaw.experiment.plan import plan
from thaw.experiment.suite_folder import SuiteFolder
from thaw.experiment.suites import load_suite
from thaw.files.ownership import LEASE
from thaw.files.run_folder import RunFolder

ray = pytest.importorskip("ray", reason="pip install 'thaw[ray]'")

END_SECONDS = 120
"""On a busy machine, Ray and torch start slowly."""


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """One Ray for all tests: starting takes seconds."""
    handler = signal.getsignal(signal.SIGTERM)
    ray.init(
        "local", num_cpus=2, num_gpus=1, include_dashboard=False, logging_level=logging.ERROR,
        log_to_driver=False, object_store_memory=100 * 2**20,
    )  # fmt: skip
    yield
    ray.shutdown()
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def suite(tiny: Path) -> Suite:
    """A few of the runs of the finished suite."""
    return load_suite(str(tiny), ["conditions=[random, freeze_head]"])


@pytest.fixture
def executor(suite: Suite, tmp_path: Path) -> Iterator[RayExecutor]:
    """Where runs execute, not ready yet."""
    out = tmp_path / "out"
    out.mkdir()
    executor = RayExecutor(suite, out, num_workers=2, here=RoomHere(2, 0), runtime=Runtime())
    yield executor
    executor.close()
    assert list(out.glob(".driver-*")) == []


def endless(place: Path, name: str) -> Task:
    """A run that does not end in the time of a test."""
    spec = changed(SPEC, steps=400_000)
    return Task(name, spec, place / "out" / "runs" / name, None)


def events_until(executor: RayExecutor, is_enough: Callable[[list[Event]], bool]) -> list[Event]:
    """What happens until it is enough."""
    events: list[Event] = []
    deadline = time.monotonic() + END_SECONDS
    while not is_enough(events):
        assert time.monotonic() < deadline, events
        events += executor.wait(0.5)
    return events


def end_of_one(executor: RayExecutor) -> Event:
    """How the only run ends."""
    events = events_until(executor, lambda events: any(e.kind != "progress" for e in events))
    return events[-1]


def process_of(task: Task) -> int:
    """The process that owns a run."""
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        if (task.folder / "progress.csv").exists():
            lines = (task.folder / LEASE).read_text().splitlines()
            return int(next(line for line in lines if line.startswith("pid=")).partition("=")[2])
        time.sleep(0.1)
    raise AssertionError(f"{task.key} does not start")


def parent_of(process_id: int) -> int:
    return int(Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[1])


def is_alive(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.usefixtures("ray_here")
def test_runs_on_ray_have_the_results_of_runs_here(
    suite: Suite, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "on_ray"
    summary = execute(suite, out, num_workers=None, runtime=Runtime(), executor="ray")
    keys = [run.key for run in plan(suite).runs]
    assert sorted(summary.done) == sorted(keys)
    for key in keys:
        here, there = (SuiteFolder(place).run_folder(key).path for place in (finished, out))
        assert run_differences(here, there) == []
    assert list(out.glob(".driver-*")) == []
    assert ray.is_initialized(), "it was there before"
    # An answer that got lost on its way is given again, at once and without an attempt.
    executor = RayExecutor(suite, out, num_workers=2, here=RoomHere(2, 0), runtime=Runtime())
    folder = SuiteFolder(out).run_folder(keys[0])
    before = folder.path.joinpath("attempts.json").read_bytes()
    try:
        executor.begin(lambda: False)
        executor.start(Task(keys[0], folder.spec(), folder.path, None))
        event = end_of_one(executor)
    finally:
        executor.close()
    assert event == Event(keys[0], "done", folder.result())
    assert folder.path.joinpath("attempts.json").read_bytes() == before


@pytest.mark.usefixtures("ray_here")
def test_a_killed_process_is_a_crash_and_its_run_dies_with_it(
    executor: RayExecutor, tmp_path: Path
) -> None:
    executor.begin(lambda: False)
    mine, rays = endless(tmp_path, "mine"), endless(tmp_path, "rays")
    for task in (mine, rays):
        executor.start(task)
    assert not executor.has_room()
    os.kill(process_of(mine), signal.SIGKILL)
    run = process_of(rays)
    os.kill(parent_of(parent_of(run)), signal.SIGKILL)  # run, fork server, Ray's process
    ends = events_until(executor, lambda events: sum(e.kind == "died" for e in events) == 2)
    deaths = {event.key: event.content for event in ends if event.kind == "died"}
    assert deaths["mine"] == Death("crash", "its process died (exit code -9)")
    assert deaths["rays"].cause == "crash"
    assert deaths["rays"].text.startswith("its process died (The worker died unexpectedly")
    deadline = time.monotonic() + 20
    while is_alive(run) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_alive(run), "an orphan would write in the folder of the next attempt"


@pytest.mark.usefixtures("ray_here")
def test_a_stop_saves_runs_and_ends_those_that_wait(executor: RayExecutor, tmp_path: Path) -> None:
    executor.begin(lambda: False)
    tasks = [endless(tmp_path, f"run{number}") for number in range(3)]  # more than CPUs
    for task in tasks:
        executor.start(task)
    process_of(tasks[0])
    process_of(tasks[1])
    seen = events_until(executor, lambda events: any(e.kind == "progress" for e in events))
    assert all(event.content.steps > 0 for event in seen)
    executor.ask_to_stop()
    ends = events_until(executor, lambda events: sum(e.kind == "stopped" for e in events) == 3)
    assert {event.kind for event in ends} <= {"progress", "stopped"}
    assert [RunFolder(task.folder).saved_steps() > 0 for task in tasks] == [True, True, False]
    assert not any((task.folder / LEASE).exists() for task in tasks)


@pytest.mark.usefixtures("ray_here")
def test_other_code_is_refused_before_anything_runs(executor: RayExecutor) -> None:
    executor.demand = executor.demand._replace(code=(("torch", "1.0"),))
    with pytest.raises(InputError) as caught:
        executor.begin(lambda: False)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("the Ray cluster does not fit: ")
    assert "(here 1.0)" in text
    assert text.endswith("; all machines need the same")


@pytest.mark.usefixtures("ray_here")
def test_a_machine_that_joins_later_is_refused_too(
    executor: RayExecutor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    executor.begin(lambda: False)
    executor.demand = executor.demand._replace(code=(("torch", "1.0"),))
    task = endless(tmp_path, "refused")
    executor.start(task)
    with pytest.raises(InputError, match=r"no machine of the Ray cluster fits any more: .*torch"):
        events_until(executor, lambda events: False)
    assert "it gets no more runs" in caplog.text
    assert not task.folder.exists()


@pytest.mark.usefixtures("ray_here")
def test_a_share_of_a_gpu_decides_how_many_runs_there_is_room_for(
    suite: Suite, tmp_path: Path
) -> None:
    """Ray is told of a GPU that is not there: the run gets it, and then does not find it."""
    (tmp_path / "out").mkdir()
    for runs_per_gpu, slots in ((1, 1), (2, 2), (3, 2)):  # and there are two CPUs
        runtime = Runtime(device="cuda", runs_per_gpu=runs_per_gpu)
        executor = RayExecutor(
            suite, tmp_path / "out", num_workers=None, here=RoomHere(2, 1), runtime=runtime
        )
        try:
            executor.begin(lambda: False)
            assert executor.cluster.count_slots() == slots
            if runs_per_gpu == 3:
                executor.start(endless(tmp_path, "on_gpu"))
                event = end_of_one(executor)
                assert event.kind == "failed"
                assert "device 'cuda' is not there" in event.content
        finally:
            executor.close()


@pytest.mark.usefixtures("ray_here")
def test_a_result_that_is_not_seen_yet_is_waited_for(
    executor: RayExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system may show a file long after Ray has said that the run is done."""
    executor.begin(lambda: False)
    task = endless(tmp_path, "late")
    done = Event("late", "done", {})
    executor.hidden.append((time.monotonic(), Flight(task, 1), done))
    assert executor.wait(0) == []
    task.folder.mkdir(parents=True)
    (task.folder / "result.json").touch()
    assert executor.wait(0) == [done]
    assert executor.wait(0) == []
    never = endless(tmp_path, "never")
    monkeypatch.setattr(ray_executor, "RESULT_SECONDS", 0.0)
    executor.hidden.append((time.monotonic() - 1, Flight(never, 2), done))
    (event,) = executor.wait(0)
    assert event.content.cause == "lost"


def test_wrong_input_is_one_line_and_nothing_is_written(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "tiny.yaml").write_text(TINY)
    on_ray = ("--executor", "ray")
    for options, message in (
        (("--ray-address", "auto"), "--ray-address needs --executor ray"),
        (("--runs-per-gpu", "2"), "--runs-per-gpu needs --executor ray"),
        ((*on_ray, "--runs-per-gpu", "0"), "--runs-per-gpu is 0; it must be at least 1"),
        ((*on_ray, "--runs-per-gpu", "2"), "--runs-per-gpu needs --device cuda"),
        ((*on_ray, "--device", "cuda:1"), "say cpu or cuda; Ray chooses which one"),
        ((*on_ray, "--set", "agent.clock=asynchronous", "--set", "agent.actors=2"), "has actors"),
        ((*on_ray, "--ray-address", "127.0.0.1:9"), "no Ray cluster answers at '127.0.0.1:9'"),
        ((*on_ray, "--executor", "dask"), "local"),
    ):
        spoken = say("run", "tiny.yaml", "--out", "out", *options)
        assert spoken.status == 2, spoken
        assert message in spoken.err
        assert spoken.err.count("\n") == 1
    monkeypatch.setitem(sys.modules, "ray", None)
    spoken = say("run", "tiny.yaml", "--out", "out", *on_ray)
    assert spoken.status == 2
    assert (
        "--executor ray needs Ray: pip install 'thaw[ray]', or use --executor local" in spoken.err
    )
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]
