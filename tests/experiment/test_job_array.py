"""Suites as job arrays: plain commands, and SLURM's scripts under a stand-in for sbatch."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import TINY, Say, thaw_process
from stand_in_sbatch import stand_in

from thaw.experiment.job_array import NOT_YET
from thaw.experiment.suite_folder import SuiteFolder
from thaw.files.attempts import read_attempts


@pytest.fixture
def planned(tmp_path: Path, say: Say) -> Path:
    """A folder that was planned and holds no run."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    spoken = say("plan", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "grid"), "--list")
    assert spoken.status == 0, spoken.err
    return tmp_path / "grid"


def test_list_prints_one_command_for_each_run(planned: Path, say: Say) -> None:
    spoken = say("plan", str(planned / "suite.yaml"), "--out", str(planned), "--list")
    runs = SuiteFolder(planned).plan().runs
    lines = [shlex.split(line) for line in spoken.out.splitlines()]
    assert [line[-1] for line in lines] == [run.key for run in runs]
    assert all(line[1:3] == ["run-one", str(planned)] for line in lines)


def test_a_run_waits_for_its_pretraining_and_is_done_once(planned: Path, say: Say) -> None:
    key = "catch@large_ball/update_all/seed0"
    early = say("run-one", str(planned), key)
    assert early.status == NOT_YET
    assert "waits for catch/pretrain/seed0" in early.err
    assert not (planned / "runs").exists()
    assert say("run-one", str(planned), "--index", "0").status == 0
    assert say("run-one", str(planned), key).status == 0
    result = planned / "runs" / key / "result.json"
    before = result.stat().st_mtime_ns
    again = say("run-one", str(planned), key)
    assert again.status == 0
    assert "was done already" in again.err
    assert result.stat().st_mtime_ns == before


def test_a_signal_saves_a_run_and_asks_for_another_start(tmp_path: Path, say: Say) -> None:
    (tmp_path / "long.yaml").write_text(TINY.replace("steps: 400", "steps: 900_000"))
    folder = tmp_path / "grid"
    spoken = say("plan", str(tmp_path / "long.yaml"), "--out", str(folder), "--list")
    assert spoken.status == 0, spoken.err
    with thaw_process("run-one", folder, "--index", "0", cwd=tmp_path) as process:
        progress = folder / "runs/catch/pretrain/seed0/progress.csv"
        for _ in range(600):
            if progress.exists():
                break
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGUSR1)
        _, error = process.communicate(timeout=60)
    assert process.returncode == NOT_YET, error
    assert (progress.parent / "checkpoint").is_dir()


def test_a_run_that_another_machine_has_taken_ends_without_writing(
    tmp_path: Path, say: Say
) -> None:
    (tmp_path / "long.yaml").write_text(TINY.replace("steps: 400", "steps: 900_000"))
    folder = tmp_path / "grid"
    assert say("plan", str(tmp_path / "long.yaml"), "--out", str(folder), "--list").status == 0
    run = folder / "runs/catch/pretrain/seed0"
    with thaw_process("run-one", folder, "--index", "0", cwd=tmp_path) as process:
        for _ in range(600):
            if (run / "progress.csv").exists():
                break
            time.sleep(0.1)
        (run / ".lease").write_text("filelock/2\ntoken=another\n")
        _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "another process has taken over" in error
    assert not (run / "error.txt").exists()
    (attempt,) = read_attempts(run)
    assert attempt.ended is None


def test_a_race_cannot_be_listed(tmp_path: Path, say: Say) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    spoken = say(
        "plan", str(tmp_path / "tiny.yaml"), "--race", "--out", str(tmp_path / "grid"), "--list"
    )
    assert spoken.status == 2
    assert "a race decides while it runs" in spoken.err
    assert not (tmp_path / "grid").exists()


def test_wrong_runs_are_refused(planned: Path, say: Say) -> None:
    for words in (["--index", "99"], ["nothing"], [], ["x", "--index", "0"]):
        spoken = say("run-one", str(planned), *words)
        assert spoken.status == 2
        assert spoken.err.count("\n") == 1


@pytest.mark.slow
def test_slurm_s_arrays_do_the_whole_suite(planned: Path, tmp_path: Path, say: Say) -> None:
    spoken = say(
        "plan", str(planned / "suite.yaml"), "--out", str(planned), "--slurm",
        "--sbatch", "time=01:00:00", "--array-limit", "4",
    )  # fmt: skip
    assert spoken.status == 0, spoken.err
    script = (planned / "slurm" / "transfer-0.sbatch").read_text()
    assert "#SBATCH --time=01:00:00\n" in script
    assert "#SBATCH --array=0-3\n" in script
    subprocess.run(
        ["sh", str(planned / "slurm" / "submit.sh")],
        env=os.environ | stand_in(tmp_path),
        check=True,
        capture_output=True,
    )
    folder = SuiteFolder(planned)
    assert {folder.status(run) for run in folder.plan().runs} == {"done"}
    jobs = (tmp_path / "jobs").read_text().split()
    assert jobs[1::2] == ["0"] * 3, "one array of pretrainings, two of the others"


def test_transfers_do_not_start_after_a_pretraining_that_failed(
    planned: Path, tmp_path: Path, say: Say
) -> None:
    say("plan", str(planned / "suite.yaml"), "--out", str(planned), "--slurm")
    first = planned / "slurm" / "pretrain-0.sbatch"
    first.write_text(first.read_text().replace("run-one", "run-none"))
    ended = subprocess.run(
        ["sh", str(planned / "slurm" / "submit.sh")],
        env=os.environ | stand_in(tmp_path),
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode != 0
    assert "did not end well" in ended.stderr
    assert not (planned / "runs").exists()


@pytest.fixture
def element(planned: Path, tmp_path: Path, say: Say) -> Callable[[str], subprocess.Popen[bytes]]:
    """Start an array's script with another command in the place of thaw."""
    say("plan", str(planned / "suite.yaml"), "--out", str(planned), "--slurm")
    script = planned / "slurm" / "pretrain-0.sbatch"
    text = script.read_text()
    thaw = next(line for line in text.splitlines() if line.endswith(" &"))
    environment = stand_in(tmp_path) | {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}

    def start(command: str) -> subprocess.Popen[bytes]:
        script.write_text(text.replace(thaw, f"sh -c {shlex.quote(command)} &"))
        return subprocess.Popen(["sh", str(script)], env=os.environ | environment)

    return start


@pytest.mark.parametrize("code", [NOT_YET, 128 + signal.SIGUSR1, 1])
def test_a_task_that_was_warned_is_queued_again_alone(
    code: int, element: Callable[[str], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    assert element(f"exit {code}").wait(60) == code
    requeued = tmp_path / "requeued"
    assert (requeued.read_text() if requeued.exists() else "") == ("" if code == 1 else "7_0\n")


def test_a_task_that_was_canceled_stays_so(
    element: Callable[[str], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    trap = f"trap 'exit {NOT_YET}' TERM USR1; touch {tmp_path}/begun; while :; do sleep 0.1; done"
    task = element(trap)
    for _ in range(600):
        if (tmp_path / "begun").exists():
            break
        time.sleep(0.05)
    task.terminate()  # as `scancel` does
    assert task.wait(60) == NOT_YET
    assert not (tmp_path / "requeued").exists()
