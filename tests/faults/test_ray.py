"""Nodes, drivers and processes of a Ray cluster die: the runs end with the same bits."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fault_processes import RunningThaw
from fault_sizes import generator, patience, tries, wait_until
from fault_suite import differences, suite_text
from fault_tally import Tally
from ray_cluster import SmallCluster, small_cluster

from thaw.acting.remote import reaper
from thaw.experiment.process_tree import descendants
from thaw.files.attempts import read_attempts
from thaw.files.ownership import LEASE

pytest.importorskip("ray", reason="pip install 'thaw[ray]'")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.faults("kills"),
    pytest.mark.timeout(1800),
    pytest.mark.xdist_group("ray"),
]

END_SECONDS = 600

CHAINS = (("kill driver", "kill a run"), ("SIGINT", "kill a worker"), ("SIGTERM", "kill a node"))
"""The first ends the driver; the second is survived."""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite file, and beside it the suite's folder after an undisturbed local run."""
    root = tmp_path_factory.mktemp("reference")
    text = suite_text(conditions="freeze_head", pretrain_steps=8000)
    (root / "suite.yaml").write_text(text.replace("seeds: 1", "seeds: 2"))
    thaw = RunningThaw(["run", root / "suite.yaml", "--out", root / "unbroken"], root)
    assert thaw.end(patience(END_SECONDS)) == 0, thaw.err
    return root / "suite.yaml"


@pytest.fixture(scope="module")
def cluster() -> Iterator[SmallCluster]:
    with small_cluster(2) as cluster:
        yield cluster


def start(suite: Path, out: Path, cluster: SmallCluster, place: Path) -> RunningThaw:
    on_ray = ("--executor", "ray", "--ray-address", cluster.address)
    return RunningThaw(["run", suite, "--out", out, *on_ray], place)


def owners(out: Path) -> dict[Path, int]:
    """Return the living processes that own runs, by the runs' folders."""
    found = {}
    for lease in out.glob(f"runs/*/*/*/{LEASE}"):
        with suppress(OSError):  # it has just ended
            lines = lease.read_text().splitlines()
            owner = next((int(line[4:]) for line in lines if line.startswith("pid=")), 0)
            if Path(f"/proc/{owner}").exists():
                found[lease.parent] = owner
    return found


def run_on(cluster: SmallCluster, number: int, out: Path) -> tuple[Path, int] | None:
    """Return the folder and the process of a run that a node executes and has saved."""
    processes = descendants(cluster.raylet_of(number))
    for folder, owner in owners(out).items():
        if owner in processes and (folder / "checkpoint").exists():
            return folder, owner
    return None


def wait_for_run(
    cluster: SmallCluster, number: int, out: Path, thaw: RunningThaw
) -> tuple[Path, int]:
    """Wait until a node executes a run that has saved."""
    deadline = time.monotonic() + patience(120)
    while time.monotonic() < deadline and not thaw.is_over:
        if (found := run_on(cluster, number, out)) is not None:
            return found
        time.sleep(0.05)
    raise AssertionError(f"node {number} executes no run: {thaw.err}")


def send(signum: int, processes: list[int]) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signum)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_node_that_is_taken_for_dead_and_wakes_later_changes_no_byte(
    suite: Path, place: Path, tally: Tally
) -> None:
    """All of a node sleeps until another node has done its run, as if its network were cut."""
    out = place / "out"
    with small_cluster(2) as cluster:
        thaw = start(suite, out, cluster, place)
        raylet = cluster.raylet_of(1)
        try:
            folder, process = wait_for_run(cluster, 1, out, thaw)
            asleep = [raylet, *descendants(raylet)]
            assert process in asleep
            send(signal.SIGSTOP, asleep)
            try:
                tally.tried()
                assert thaw.end(patience(END_SECONDS)) == 0, thaw.err
                assert Path(f"/proc/{process}").exists(), "it must wake after the others"
                there = bytes_of(out)
            finally:
                send(signal.SIGCONT, asleep)
            assert wait_until(lambda: not Path(f"/proc/{process}").exists(), patience(60))
            assert bytes_of(out) == there
        finally:
            thaw.clear()
        lost, *others = read_attempts(folder)
        assert lost.cause == "lost"
        assert [attempt.cause for attempt in others] == ["done"]
        assert others[0].steps > 0, "it went on from the checkpoint"
        assert "its machine was lost; attempt 2 starts" in thaw.err
        assert thaw.err.count("\n") < 20, "Ray would write pages about it"
    assert differences(suite.parent / "unbroken", out, suite) == []


@pytest.mark.parametrize("number", range(tries(3, 1)))
def test_an_interrupted_suite_on_ray_goes_on_to_the_same_bits(
    number: int, suite: Path, cluster: SmallCluster, place: Path, tally: Tally
) -> None:
    draw = generator("ray", number)
    out = place / "out"
    for interruption in CHAINS[number % len(CHAINS)]:
        thaw = start(suite, out, cluster, place)
        try:
            interrupt(interruption, thaw, out, cluster, draw)
            tally.tried()
            end = thaw.end(patience(END_SECONDS))
            print(f"{interruption}: exit status {end}")
            assert "Traceback" not in thaw.err, thaw.err
            assert thaw.leaves_nothing(), (interruption, thaw.family())
            assert wait_until(lambda: not owners(out), patience(30)), "a run lives on"
        finally:
            thaw.clear()
    thaw = start(suite, out, cluster, place)
    assert thaw.end(patience(END_SECONDS)) == 0, thaw.err
    assert differences(suite.parent / "unbroken", out, suite) == []
    assert list(out.glob(".driver-*")) == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_a_ray_of_its_own_ends_with_the_driver(
    signum: signal.Signals, suite: Path, place: Path, tally: Tally
) -> None:
    out = place / "out"
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # Ray's sockets lie in it: a short path
    command = ["run", suite, "--out", out, "--executor", "ray", "--workers", 2]
    thaw = RunningThaw(command, place, TMPDIR=str(folder))
    try:
        is_saved = wait_until(
            lambda: any((run / "checkpoint").exists() for run in owners(out)) or thaw.is_over,
            patience(END_SECONDS),
        )
        assert is_saved
        assert not thaw.is_over, thaw.err
        processes = reaper.belonging(str(folder))
        assert len(processes) > 8, "Ray has six, and each run three"
        thaw.send(signum, group=False)
        tally.tried()
        status = thaw.end(patience(60))
        assert status == (-signum if signum == signal.SIGKILL else 128 + signum), thaw.err
        assert wait_until(lambda: not reaper.belonging(str(folder)), patience(20))
        assert wait_until(lambda: not owners(out), patience(5))
        assert wait_until(lambda: list(folder.glob("thaw-ray-*")) == [], patience(20))
    finally:
        thaw.clear()
        shutil.rmtree(folder, ignore_errors=True)


def interrupt(
    interruption: str, thaw: RunningThaw, out: Path, cluster: SmallCluster, draw: random.Random
) -> None:
    """Wait for a moment at which runs are under way on the last node, and interrupt them."""
    last = len(cluster.nodes) - 1
    process = wait_for_run(cluster, last, out, thaw)[1]
    time.sleep(draw.uniform(0, 0.5))
    if interruption == "kill a node":
        cluster.kill(last)
        cluster.nodes.pop()
        cluster.add()
    elif interruption == "kill a run":
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(process, signal.SIGKILL)
    elif interruption == "kill a worker":
        for worker in descendants(cluster.raylet_of(last)):
            with suppress(OSError):
                if "ray::thaw " in Path(f"/proc/{worker}/cmdline").read_text():
                    os.kill(worker, signal.SIGKILL)
    elif interruption.startswith("SIG"):
        thaw.send(signal.Signals[interruption], group=False)
    elif interruption == "kill driver":
        thaw.send(signal.SIGKILL, group=False)
