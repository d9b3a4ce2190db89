"""One process at a time writes in a folder, also one that slept while another took over."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small_runs import SAVE_ALWAYS, SPEC, assert_same_outcome, changed

from thaw.config.errors import InputError
from thaw.files import ownership
from thaw.files.ownership import LEASE, Lost, owned, owner_of
from thaw.files.run_folder import RunFolder
from thaw.training.progress import Stopped
from thaw.training.run import execute_run

SHORT_SECONDS = 1.5
LONG = changed(SPEC, steps=SPEC.steps * 3)

SLEEPER = """
import sys, time
sys.path += eval(sys.argv[2])
from thaw.files import ownership
ownership.LEASE_SECONDS = 1.5
from small_runs import SAVE_ALWAYS, SPEC, changed
from thaw.files.run_folder import RunFolder
from thaw.training.run import execute_run

def watch(progress):
    time.sleep(0.05)
    print(progress.steps, flush=True)

execute_run(changed(SPEC, steps=SPEC.steps * 3), RunFolder(sys.argv[1]), SAVE_ALWAYS, watch=watch)
"""


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    with (
        owned(tmp_path / "new") as mine,
        pytest.raises(InputError, match=f"works in .*new already .*process {os.getpid()} on"),
        owned(tmp_path / "new"),
    ):
        pass
    with pytest.raises(Lost):
        mine.check()
    with owned(tmp_path / "new") as again:
        again.check()


def test_who_works_in_a_folder_can_be_asked_from_anywhere(tmp_path: Path) -> None:
    lease = tmp_path / LEASE
    assert owner_of(tmp_path) is None
    with owned(tmp_path):
        mine = owner_of(tmp_path)
        assert mine is not None
        assert (mine.host, mine.pid) == (socket.gethostname(), os.getpid())
        text = lease.read_text()
    assert owner_of(tmp_path) is None
    with subprocess.Popen(["true"]) as ended:
        pass
    dead = text.replace(f"pid={os.getpid()}", f"pid={ended.pid}")
    lease.write_text(dead)
    assert owner_of(tmp_path) is None, "it died on this machine"
    lease.write_text(dead.replace(f"host={socket.gethostname()}", "host=elsewhere"))
    there = owner_of(tmp_path)
    assert there is not None
    assert (there.host, there.pid) == ("elsewhere", ended.pid)
    long_ago = time.time() - ownership.LEASE_SECONDS - 1
    os.utime(lease, (long_ago, long_ago))
    assert owner_of(tmp_path) is None, "it was silent for too long"


def test_a_run_that_waits_for_another_owner_can_be_stopped(tmp_path: Path) -> None:
    asked: list[float] = []

    def should_stop() -> bool:
        asked.append(time.monotonic())
        return len(asked) > 3

    began = time.monotonic()
    with owned(tmp_path / "run"), pytest.raises(Stopped):
        execute_run(
            SPEC, RunFolder(tmp_path / "run"), SAVE_ALWAYS, should_stop=should_stop, wait_seconds=60
        )
    assert time.monotonic() - began < 30
    assert not RunFolder(tmp_path / "run").progress.path.exists()


def test_an_owner_whose_lease_was_taken_is_told(tmp_path: Path) -> None:
    with owned(tmp_path) as mine:
        mine.check()
        (tmp_path / LEASE).write_text("filelock/2\ntoken=another\n")
        with pytest.raises(Lost, match="taken over"):
            mine.check()


def test_nothing_is_written_without_the_lease(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with folder.owned():
        folder.episodes.append([])
        (tmp_path / LEASE).write_text("filelock/2\ntoken=another\n")
        before = _bytes(tmp_path)
        writes: list[Callable[[], None]] = [
            lambda: folder.episodes.append([]),
            lambda: folder.progress.cut(0),
            lambda: folder.replace_checkpoint({"a": b""}),
            lambda: folder.finish({}),
        ]
        for write in writes:
            with pytest.raises(Lost):
                write()
        folder.fail("a traceback")
        assert _bytes(tmp_path) == before


@pytest.mark.long
def test_a_process_that_slept_until_its_lease_expired_changes_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "LEASE_SECONDS", SHORT_SECONDS)
    expected = RunFolder(tmp_path / "expected")
    execute_run(LONG, expected, SAVE_ALWAYS)
    folder = RunFolder(tmp_path / "run")
    sleeper = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, str(folder.path), repr(sys.path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert sleeper.stdout is not None
        for _ in range(3):
            assert sleeper.stdout.readline()
        sleeper.send_signal(signal.SIGSTOP)
        execute_run(LONG, folder, SAVE_ALWAYS, wait_seconds=30 * SHORT_SECONDS)
        assert_same_outcome(folder, expected)
        before = _bytes(folder.path)
        sleeper.send_signal(signal.SIGCONT)
        _, error = sleeper.communicate(timeout=60)
    finally:
        sleeper.kill()
    assert sleeper.returncode != 0
    assert "another process has taken over" in error
    time.sleep(0.1)
    assert _bytes(folder.path) == before


def _bytes(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
