"""A signal at any moment saves and stops, with the documented exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import command_line
import pytest
from command_line import TINY, thaw_here, thaw_process
from fault_sizes import patience, wait_until

from thaw.experiment.process_tree import descendants
from thaw.experiment.signals import STOP_SIGNALS, StopRequest
from thaw.experiment.suite_folder import SuiteFolder
from thaw.files.run_folder import RunFolder

SUPPORT = str(Path(command_line.__file__).parent)
"""Where sleepy_embedding.py lies."""
LONG = TINY.replace("impala_shallow", "'sleepy_embedding:make'").replace(
    "pretrain_steps: 400", "pretrain_steps: 1600"
)
"""Its pretraining takes most of a minute with SLEEP=0.1."""
KEY = "catch/pretrain/seed0"
COMMAND = ("run", "long.yaml", "--trust-code", "--out", "s", "--set", "conditions=[freeze_all]")

Process = subprocess.Popen[str]
Moment = Callable[[Process, Path], bool]
"""Waits for a moment in the life of a thaw that works in a folder; returns whether it came."""

TRAIN = (
    "train", "catch", "--out", "t", "--steps", "4000", "--set", "environment.num_envs=4",
    "--set", "environment.downsample=16", "--set", "environment.frames_per_step=8",
    "--set", "agent.embedding=sleepy_embedding:make", "--set", "agent.unroll_length=10",
    "--set", "agent.lstm_size=16", "--set", "agent.fc_size=16", "--set", "evaluation.episodes=4",
)  # fmt: skip


def listens(process: Process, root: Path) -> bool:
    """Wait until thaw, and not Python alone, handles signals."""
    bit = 1 << (signal.SIGUSR2 - 1)
    status = Path(f"/proc/{process.pid}/status")

    def handles() -> bool:
        masks = dict(line.split(":\t") for line in status.read_text().splitlines())
        return bool(int(masks["SigCgt"], 16) & bit)

    return wait_until(handles, patience(20), 0.001)


def with_processes(count: int) -> Moment:
    """Wait until thaw has started so many: the fork server is the second, a run the third."""

    def wait(process: Process, root: Path) -> bool:
        return wait_until(lambda: len(descendants(process.pid)) >= count, patience(60), 0.002)

    return wait


def later(moment: Moment, seconds: float) -> Moment:
    def wait(process: Process, root: Path) -> bool:
        reached = moment(process, root)
        time.sleep(seconds)
        return reached

    return wait


def with_progress(process: Process, root: Path) -> bool:
    """Wait until a run has made an update, in addition to those before."""
    logs = (root / "s" / "runs" / KEY / "progress.csv", root / "t" / "progress.csv")

    def num_lines() -> int:
        return max(log.read_text().count("\n") if log.exists() else 1 for log in logs)

    before = num_lines()
    return wait_until(lambda: num_lines() > before, patience(60))


MOMENTS: dict[str, tuple[Moment, int]] = {
    "Python starts": (lambda process, root: True, signal.SIGTERM),
    "thaw starts": (listens, signal.SIGINT),
    "imports": (later(listens, 0.5), signal.SIGUSR1),
    "fork server starts": (with_processes(2), signal.SIGINT),
    "fork server imports": (later(with_processes(2), 0.5), signal.SIGTERM),
    "run starts": (with_processes(3), signal.SIGTERM),
    "run builds": (later(with_processes(3), 0.2), signal.SIGUSR2),
    "run trains": (with_progress, signal.SIGHUP),
}


@pytest.mark.long
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("run builds", "run trains"), id="two"),
        pytest.param(tuple(MOMENTS), id="all", marks=pytest.mark.slow),
    ],
)
def test_a_suite_stops_at_any_moment_and_is_done_later(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    (tmp_path / "long.yaml").write_text(LONG)
    for name in names:
        wait, signum = MOMENTS[name]
        with thaw_process(*COMMAND, cwd=tmp_path, PYTHONPATH=SUPPORT, SLEEP="0.1") as process:
            assert wait(process, tmp_path), name
            # A terminal signals the runs too. Here only thaw hears it, and must pass it on.
            (os.kill if name == "run trains" else os.killpg)(process.pid, signum)
            _out, err = ended(process, patience(10), name)
        early = name == "Python starts" and err == "" and process.returncode == -signum
        assert early or process.returncode == 128 + signum, (name, process.returncode, err)
        assert "Traceback" not in err, (name, err)
        assert not (tmp_path / "s" / "scores.csv").exists(), "no time for tables"
    folder = SuiteFolder(tmp_path / "s")
    assert 0 < folder.run_folder(KEY).saved_steps() < 1600
    done = thaw_here(*COMMAND, cwd=tmp_path)
    assert done.status == 0, done.err
    assert [folder.status(run) for run in folder.plan().runs] == ["done", "done"]


@pytest.mark.parametrize("name", ["thaw starts", "imports", "run trains"])
def test_a_training_stops_at_any_moment(tmp_path: Path, name: str) -> None:
    wait, signum = MOMENTS[name]
    with thaw_process(*TRAIN, cwd=tmp_path, PYTHONPATH=SUPPORT, SLEEP="0.1") as process:
        assert wait(process, tmp_path)
        process.send_signal(signum)
        out, err = ended(process, patience(10), name)
    assert process.returncode == 128 + signum, err
    assert "Traceback" not in err
    assert out == ""
    if name == "run trains":
        assert err == "saved in t; the same command continues\n"
        assert RunFolder(tmp_path / "t").saved_steps() > 0


def test_signals_are_handled_before_the_imports(tmp_path: Path) -> None:
    for _ in range(3):  # on a busy machine we may look too late
        with thaw_process(*TRAIN, cwd=tmp_path, PYTHONPATH=SUPPORT) as process:
            assert listens(process, tmp_path)
            is_early = "libtorch" not in Path(f"/proc/{process.pid}/maps").read_text()
            process.kill()
        if is_early:
            return
    raise AssertionError("torch was imported first")


def test_a_suite_whose_terminal_is_closed_saves_and_stops(tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_text(LONG)
    ours, theirs = os.openpty()
    # A session of its own, with the terminal that we hold, as a window's shell has it.
    start = (
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    thaw = str(Path(sys.executable).with_name("thaw"))
    paths = os.pathsep.join([SUPPORT, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    process = subprocess.Popen(
        [sys.executable, "-c", start, thaw, *COMMAND],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths, "SLEEP": "0.1"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        text=True,
        start_new_session=True,
    )
    os.close(theirs)
    with process:
        folder = SuiteFolder(tmp_path / "s").run_folder(KEY)
        while not (folder.progress.path.exists() and folder.progress.last()):
            assert process.poll() is None
            os.read(ours, 65536)  # the bars; a full terminal would make thaw wait
        os.close(ours)
        ended(process, patience(20), "closed terminal")
    assert process.returncode == 129
    assert folder.saved_steps() > 0
    assert not folder.error_log.exists()


def test_a_second_signal_counts_only_if_it_does_not_follow_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("thaw.experiment.signals.time.monotonic", lambda: now[0])
    for second in STOP_SIGNALS:
        request = StopRequest()
        assert (request.signum, request.is_urgent) == (None, False)
        request(signal.SIGTERM)
        request(second)
        assert (request.signum, request.is_urgent) == (signal.SIGTERM, False)
        now[0] += 0.6
        request(second)
        assert (request.signum, request.is_urgent) == (signal.SIGTERM, True)


def ended(process: Process, seconds: float, name: str) -> tuple[str, str]:
    """Wait for the end of a process and return what it wrote; kill it if it does not end."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        for process_id in (process.pid, *descendants(process.pid)):
            os.kill(process_id, signal.SIGKILL)
        raise AssertionError(f"{name}: still running after {seconds:.0f} s") from None
    return out or "", err or ""
