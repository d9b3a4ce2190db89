"""Disks that are full, read-only or gone: no checkpoint is lost, and the same command goes on."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fault_driver
import pytest
from fault_processes import RunningThaw
from fault_sizes import generator, is_sample, patience, together, tries, wait_until
from fault_suite import SETTINGS, differences, suite_text, whole_checkpoints
from fault_tally import Tally
from thaw_server import Answer, ThawServer

pytestmark = [pytest.mark.faults("disks"), pytest.mark.timeout(1800), *together("server")]

whole_only = pytest.mark.skipif(is_sample(), reason="`make test-faults` tries it")

TRANSFER_CHECKPOINT = "runs/catch@large_ball/*/seed0/checkpoint/training_state.json"


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory: pytest.TempPathFactory, server: ThawServer) -> Path:
    """A folder with the suite and, in ``out``, what it gives."""
    root = tmp_path_factory.mktemp("unbroken")
    (root / "suite.yaml").write_text(suite_text(SETTINGS[0], conditions="random, freeze_head"))
    answer = run(server, root, root / "out")
    assert answer.status == 0, answer.err
    return root


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, or where root has no right to mount one, or is not root, a folder."""
    path = tmp_path / "disk"
    path.mkdir()
    if os.geteuid() == 0 and not mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", path):
        pytest.skip("root can write anywhere, but here it cannot mount a disk")
    yield path
    if os.path.ismount(path):
        subprocess.run(["umount", "--lazy", str(path)], check=False)


def mount(*arguments: object) -> bool:
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False)
    return done.returncode == 0


def remount(disk: Path, options: str) -> None:
    # A process that was just killed may still hold a file open.
    assert wait_until(lambda: mount("-o", f"remount,{options}", disk), patience(10))


def make_writable(disk: Path, yes: bool) -> None:
    """Let a disk be written to, or not; without the right to mount, take the permissions."""
    if os.path.ismount(disk):
        remount(disk, "rw" if yes else "ro")
        return
    for path in [disk, *disk.rglob("*")]:
        mode = path.stat().st_mode
        path.chmod(mode | 0o200 if yes else mode & ~0o222)


def run(server: ThawServer, root: Path, out: Path) -> Answer:
    return server("run", root / "suite.yaml", "--out", out, "--workers", 2, cwd=root, seconds=180)


def check_one_line(answer: Answer, *statuses: int) -> None:
    assert answer.status in statuses, (answer.status, answer.out, answer.err)
    assert "Traceback" not in answer.err, answer.err
    assert len(answer.lines) <= 1, answer.err


def check_heals(server: ThawServer, unbroken: Path, out: Path) -> None:
    """Check that nothing is lost, and that the same command finishes what was begun."""
    whole_checkpoints(out)
    answer = run(server, unbroken, out)
    assert answer.status == 0, answer.err
    assert differences(unbroken / "out", out, unbroken / "suite.yaml") == []


@pytest.mark.parametrize("number", range(tries(1, 1)))
def test_a_full_disk(
    number: int, disk: Path, unbroken: Path, server: ThawServer, tally: Tally
) -> None:
    if not os.path.ismount(disk):
        pytest.skip("a disk can be mounted by root alone")
    tally.tried()
    whole = sum(path.stat().st_size for path in (unbroken / "out").rglob("*")) // 1024
    size_kib = int(whole * generator("disk", number).uniform(0.05, 0.95))
    remount(disk, f"size={size_kib}k")
    answer = run(server, unbroken, disk / "out")
    print(f"{size_kib} KiB of {whole}: {answer.status} {answer.err}")
    check_one_line(answer, 1, 2)
    assert "space" in answer.err
    remount(disk, "size=64m")
    check_heals(server, unbroken, disk / "out")


@whole_only
def test_files_that_may_not_grow(
    unbroken: Path, place: Path, server: ThawServer, tally: Tally
) -> None:
    # What a quota does, and what can be tried without a disk to mount.
    tally.tried()
    size = generator("quota").randint(40_000, 200_000)
    words = ["run", str(unbroken / "suite.yaml"), "--out", str(place / "out")]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    done = subprocess.run(
        [sys.executable, fault_driver.__file__, *words],
        cwd=place,
        env=os.environ | {"OMP_NUM_THREADS": "1", "FAULT_CHECKPOINT_SECONDS": "0.05"},
        capture_output=True,
        text=True,
        check=False,
        timeout=patience(180),
        preexec_fn=limit,
    )
    check_one_line(Answer(done.returncode, done.stdout, done.stderr, [], [], [], 0), 1, 2)
    assert "too large" in done.stderr
    check_heals(server, unbroken, place / "out")


@pytest.mark.slow
def test_a_disk_that_becomes_read_only(
    disk: Path, unbroken: Path, place: Path, server: ThawServer, tally: Tally
) -> None:
    tally.tried()
    out = disk / "out"
    stop_midway(unbroken, out, place)
    make_writable(disk, False)
    try:
        look_only(server, out, place)
        answer = run(server, unbroken, out)
        check_one_line(answer, 1, 2)
        assert "make room" not in answer.err, answer.err
    finally:
        make_writable(disk, True)
    check_heals(server, unbroken, out)


def look_only(server: ThawServer, out: Path, place: Path) -> None:
    """Look at a folder in which nothing can be written."""
    check_one_line(server("status", out, cwd=place), 0)
    check_one_line(server("watch", out, cwd=place, seconds=20), 0, 1)
    check_one_line(server("report", out, cwd=place), 1, 2)
    check_one_line(server("report", out, "--out", place / "elsewhere", cwd=place), 0)
    assert (place / "elsewhere/index.html").is_file()


def stop_midway(unbroken: Path, out: Path, place: Path) -> None:
    """Run the suite until a transfer has saved once, and kill it."""
    thaw = RunningThaw(["run", unbroken / "suite.yaml", "--out", out, "--workers", 2], place)
    try:
        began = wait_until(
            lambda: bool([*out.glob(TRANSFER_CHECKPOINT)]) or thaw.is_over, patience(180), 0.005
        )
        assert began, thaw.err
    finally:
        thaw.clear()
    assert thaw.leaves_nothing()


@pytest.mark.long
@pytest.mark.parametrize("how", ["moved"] if is_sample() else ["moved", "deleted"])
def test_a_folder_that_vanishes_during_a_run(
    how: str, unbroken: Path, place: Path, server: ThawServer, tally: Tally
) -> None:
    tally.tried()
    out, moved = place / "out", place / "moved"
    thaw = RunningThaw(["run", unbroken / "suite.yaml", "--out", out, "--workers", 2], place)
    try:
        began = wait_until(
            lambda: bool([*out.glob("runs/catch/*/seed0/checkpoint")]), patience(180), 0.005
        )
        assert began, thaw.err
        out.rename(moved)
        if how == "deleted":
            shutil.rmtree(moved)
        status = thaw.end(patience(180))
        answer = Answer(status, thaw.out, thaw.err, [], [], [], 0)
        check_one_line(answer, 1, 2)
        assert thaw.leaves_nothing(), thaw.family()
    finally:
        thaw.clear()
    shutil.rmtree(out, ignore_errors=True)  # what was written after the folder had gone
    if how == "moved":
        moved.rename(out)
    check_heals(server, unbroken, out)
