"""`thaw watch` tells what happens in a folder, whoever makes it happen."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest
from command_line import TINY, thaw_process

from thaw.experiment.display import EVALUATION_STEPS, Display
from thaw.experiment.suite_folder import SuiteFolder
from thaw.experiment.watch import watch
from thaw.files.ownership import LEASE, owned
from thaw.files.run_folder import RunFolder

TARGET = "catch@large_ball"


def test_each_end_is_told_once_and_failures_are_counted(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "copied"))
    scratch, update_all, frozen = (
        folder / "runs" / TARGET / condition / "seed0"
        for condition in ("scratch", "update_all", "freeze_all")
    )
    results = {}
    for run in (scratch, update_all, frozen):
        results[run] = (run / "result.json").read_bytes()
        (run / "result.json").unlink()
    shutil.move(frozen, tmp_path / "frozen")
    (scratch / "error.txt").write_text("RuntimeError: out of memory\n")

    def start_again() -> None:
        (scratch / "error.txt").unlink()

    def finish(run: Path) -> Callable[[], None]:
        def write() -> None:
            (run / "result.json").write_bytes(results[run])

        return write

    def begin_frozen() -> None:
        shutil.move(tmp_path / "frozen", frozen)

    def fail_frozen() -> None:
        (frozen / "error.txt").write_text("OSError: no room\n")

    happens = iter([finish(update_all), begin_frozen, start_again, finish(scratch), fail_frozen])
    monkeypatch.setattr("thaw.experiment.watch.time.sleep", lambda seconds: next(happens)())
    with ExitStack() as running:
        running.enter_context(owned(folder))
        happens = iter([*happens, running.close])
        assert watch(folder) == 1
    assert next(happens, None) is None, "it must look on until the end"
    lines = capfd.readouterr().err.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["FAILED", f"{TARGET}/scratch/seed0:"],
        ["[6/8]", f"{TARGET}/update_all/seed0"],
        ["[7/8]", f"{TARGET}/scratch/seed0"],
        ["FAILED", f"{TARGET}/freeze_all/seed0:"],
    ]
    assert "out of memory" in lines[0]
    assert "return" in lines[1]


def test_it_looks_on_while_another_machine_works_on_a_run(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "copied"))
    run = folder / "runs" / TARGET / "scratch/seed0"
    result = (run / "result.json").read_bytes()
    (run / "result.json").unlink()
    assert watch(folder) == 1, "nobody works on it"
    (run / LEASE).write_text("filelock/2\npid=1\nhost=elsewhere\nmode=lease\ntoken=a\n")

    def end() -> None:
        (run / LEASE).unlink()
        (run / "result.json").write_bytes(result)

    happens = iter([lambda: None, end])
    monkeypatch.setattr("thaw.experiment.watch.time.sleep", lambda seconds: next(happens)())
    capfd.readouterr()
    assert watch(folder) == 0
    assert next(happens, None) is None
    assert capfd.readouterr().err.startswith(f"[8/8] {TARGET}/scratch/seed0 ")


def test_steps_of_before_have_no_rate(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "copied"))
    for condition in ("scratch", "update_all"):
        (folder / "runs" / TARGET / condition / "seed0/result.json").unlink()
    shown: list[Display] = []

    class Kept(Display):
        def __enter__(self) -> Self:
            shown.append(self)
            return super().__enter__()

    monkeypatch.setattr("thaw.experiment.watch.Display", Kept)
    assert watch(folder) == 2
    everything = shown[0].bars.tasks[0]
    assert everything.total is not None
    assert everything.completed == everything.total - 2 * EVALUATION_STEPS
    assert everything.speed is None


def test_a_finished_suite_has_nothing_to_tell(
    finished: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert watch(finished) == 0
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_it_looks_on_while_another_process_runs_the_suite(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    with thaw_process("run", "tiny.yaml", "--out", "suite", cwd=tmp_path) as running:
        while not (tmp_path / "suite" / "suite.yaml").exists():
            assert running.poll() is None
            time.sleep(0.05)
        with thaw_process("watch", "suite", cwd=tmp_path) as watching:
            told = watching.communicate(timeout=240)[1]
        running.communicate(timeout=240)
    assert (running.returncode, watching.returncode) == (0, 0)
    keys = {run.key for run in SuiteFolder(tmp_path / "suite").plan().runs}
    assert {line.split()[1] for line in told.splitlines()} <= keys
    assert len(told.splitlines()) >= len(keys) - 1  # one may have ended before the first look


def test_it_ends_when_thaw_run_has_ended_and_runs_are_left(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    with thaw_process("run", "tiny.yaml", "--out", "suite", cwd=tmp_path) as running:
        while not (tmp_path / "suite" / "suite.yaml").exists():
            assert running.poll() is None
            time.sleep(0.05)
        with thaw_process("watch", "suite", cwd=tmp_path) as watching:
            time.sleep(2.0)
            assert watching.poll() is None
            running.send_signal(signal.SIGKILL)
            try:
                _, told = watching.communicate(timeout=60)
            finally:
                watching.kill()
        running.communicate(timeout=60)
    assert watching.returncode == 1
    last = told.splitlines()[-1]
    assert last.startswith("no thaw runs in suite any more; ")
    assert last.endswith(" runs are left; the same `thaw run` continues")


def test_it_ends_when_a_pretraining_has_failed(
    finished: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "copied"))
    pretrain, frozen = (
        folder / "runs" / key / "seed0" for key in ("catch/pretrain", f"{TARGET}/freeze_all")
    )
    (pretrain / "result.json").unlink()
    (pretrain / "error.txt").write_text("OSError: no [/room] in [red]here\n")
    shutil.rmtree(frozen)
    assert watch(folder) == 2
    assert capfd.readouterr().err.splitlines() == [
        "FAILED catch/pretrain/seed0: OSError: no [/room] in [red]here",
        f"not run {TARGET}/freeze_all/seed0: its pretraining failed",
    ]


def test_progress_is_the_newest_whole_row(finished: Path, tmp_path: Path) -> None:
    folder = RunFolder(shutil.copytree(finished / "runs/catch/pretrain/seed0", tmp_path / "run"))
    steps, mean_return = folder.progress_so_far()
    assert steps == 400
    assert mean_return is not None
    with folder.progress.path.open("a") as file:
        file.write("440,3520,11,")  # what is being written
    assert folder.progress_so_far() == (steps, mean_return)
    rows = folder.progress.path.read_text().splitlines(keepends=True)
    folder.progress.path.write_text(rows[0])
    assert folder.progress.last() == {}
    assert folder.progress_so_far() == (400, None)  # the checkpoint's
    folder.progress.path.unlink()
    assert folder.progress_so_far() == (400, None)
