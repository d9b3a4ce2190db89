"""Runs in their processes, as a power cut, a full memory and a user's Ctrl-C end them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import command_line
import pandas as pd
import pytest
from command_line import TINY, Spoken, thaw_command, thaw_process

from thaw.experiment.suite_folder import SuiteFolder
from thaw.files.ownership import LEASE

TARGET = "runs/catch@large_ball"
SLEEPY = TINY.replace("embedding: impala_shallow", "embedding: 'sleepy_embedding:make'")
SUPPORT = str(Path(command_line.__file__).parent)
"""Where sleepy_embedding.py lies."""


def scores_without_seconds(suite: Path) -> pd.DataFrame:
    return pd.read_csv(suite / "scores.csv").drop(columns="seconds")


def sleepy_suite(root: Path, *overrides: str) -> list[str]:
    (root / "sleepy.yaml").write_text(SLEEPY)
    words = [word for item in overrides for word in ("--set", item)]
    return ["run", "sleepy.yaml", "--trust-code", *words]


def wait_for(path: Path, num_lines: int, process: subprocess.Popen[str]) -> None:
    """Wait until a log has so many lines."""
    limit = time.monotonic() + 120
    while not path.exists() or len(path.read_text().splitlines()) < num_lines:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit, f"{path} has not grown"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_suite_gives_the_scores_of_an_unbroken_one(tmp_path: Path) -> None:
    command = sleepy_suite(tmp_path, "conditions=[scratch, freeze_head]")
    unbroken = thaw_command(*command, "--out", "unbroken", cwd=tmp_path, PYTHONPATH=SUPPORT)
    assert unbroken.status == 0, unbroken.err

    broken = tmp_path / "broken"
    log = broken / "runs/catch/pretrain/seed0/progress.csv"
    slow = {"PYTHONPATH": SUPPORT, "SLEEP": "0.05"}

    def interrupted(how: int, num_lines: int, *, group: bool = False) -> Spoken:
        with thaw_process(*command, "--out", "broken", cwd=tmp_path, **slow) as process:
            wait_for(log, num_lines, process)
            (os.killpg if group else os.kill)(process.pid, how)
            out, err = process.communicate(timeout=60)
        return Spoken(process.returncode, out, err)

    stopped = interrupted(signal.SIGTERM, 3)
    assert stopped.status == 143
    assert stopped.err.splitlines()[-1].startswith("saved; ")
    assert stopped.err.splitlines()[-1].endswith("the same command continues")
    assert stopped.out == ""
    pretraining = SuiteFolder(broken).run_folder("catch/pretrain/seed0")
    assert 0 < pretraining.saved_steps() < 400  # it did stop on its way

    lines = len(log.read_text().splitlines())
    ctrl_c = interrupted(signal.SIGINT, lines + 1, group=True)  # as a terminal sends it
    assert ctrl_c.status == 130
    assert "the same command continues" in ctrl_c.err
    assert pretraining.saved_steps() > 40 * (lines - 2)

    lines = len(log.read_text().splitlines())
    assert interrupted(signal.SIGKILL, lines + 1, group=True).status == -signal.SIGKILL

    whole = thaw_command(*command, "--out", "broken", cwd=tmp_path, PYTHONPATH=SUPPORT)
    assert whole.status == 0, whole.err
    assert scores_without_seconds(broken).equals(scores_without_seconds(tmp_path / "unbroken"))
    assert (broken / "curves.csv").read_bytes() == (tmp_path / "unbroken/curves.csv").read_bytes()
    for run in ("catch/pretrain/seed0", "catch@large_ball/freeze_head/seed0"):
        file = f"runs/{run}/checkpoint/policy.safetensors"
        assert (broken / file).read_bytes() == (tmp_path / "unbroken" / file).read_bytes()
        assert (broken / f"runs/{run}/episodes.csv").read_bytes() == (
            tmp_path / "unbroken" / f"runs/{run}/episodes.csv"
        ).read_bytes()
    left = {path.name for path in broken.rglob("*")}
    assert not [name for name in left if name.endswith((".tmp", ".dropped", ".new"))]


def test_a_failing_run_is_told_kept_and_tried_again(tmp_path: Path) -> None:
    command = [*sleepy_suite(tmp_path, "conditions=[random, scratch, freeze_all]"), "--out", "s"]
    suite = tmp_path / "s"
    spoken = thaw_command(*command, cwd=tmp_path, PYTHONPATH=SUPPORT, FAIL_AFTER="25")
    assert spoken.status == 1
    assert "Traceback" not in spoken.err
    for key in ("catch/pretrain/seed0", "catch@large_ball/scratch/seed0"):
        log = f"s/runs/{key}/error.txt"
        assert f"FAILED {key}: RuntimeError: the camera is broken (see {log})" in spoken.err
        text = (tmp_path / log).read_text()
        assert text.startswith("Traceback")
        assert "sleepy_embedding.py" in text
        assert not (tmp_path / f"s/runs/{key}/result.json").exists()
    assert "not run catch@large_ball/freeze_all/seed0" in spoken.err
    assert not (suite / TARGET / "freeze_all").exists()
    assert (suite / TARGET / "random/seed0/result.json").exists()
    assert "missing" in spoken.out  # the report says what is not there

    status = thaw_command("status", "s", cwd=tmp_path)
    assert status.status == 0
    lines = {line.split()[1]: line for line in status.out.splitlines()[:-1]}
    assert lines["catch/pretrain/seed0"].startswith("failed ")
    assert lines["catch/pretrain/seed0"].endswith("RuntimeError: the camera is broken")
    assert lines["catch@large_ball/freeze_all/seed0"].startswith("waiting ")
    assert status.out.splitlines()[-1] == "2 done, 2 failed, 0 started, 1 waiting"

    again = thaw_command(*command, cwd=tmp_path, PYTHONPATH=SUPPORT)
    assert again.status == 0, again.err
    assert not list(suite.rglob("error.txt"))
    assert [SuiteFolder(suite).status(run) for run in SuiteFolder(suite).plan().runs] == 5 * [
        "done"
    ]


def test_a_run_whose_process_is_killed_is_a_failed_run(tmp_path: Path) -> None:
    command = [*sleepy_suite(tmp_path, "conditions=[scratch]"), "--out", "s"]
    log = tmp_path / "s" / TARGET / "scratch/seed0/progress.csv"
    with thaw_process(*command, cwd=tmp_path, PYTHONPATH=SUPPORT, SLEEP="0.05") as process:
        wait_for(log, 2, process)
        os.kill(writer_of(log.parent / LEASE), signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "FAILED catch@large_ball/scratch/seed0: its process died (exit code -9)" in err
    assert (log.parent / "error.txt").read_text() == "its process died (exit code -9)"


def test_no_run_outlives_a_killed_thaw(tmp_path: Path) -> None:
    # As when memory runs out: an orphan would write beside the run that takes its place. Scoring
    # takes minutes here, and the orphan would hold the pipe open as long.
    command = sleepy_suite(
        tmp_path, "conditions=[scratch]", "transfer_steps=40", "evaluation.episodes=1000"
    )
    checkpoint = tmp_path / "s" / TARGET / "scratch/seed0/checkpoint/training_state.json"
    with thaw_process(
        *command, "--out", "s", cwd=tmp_path, PYTHONPATH=SUPPORT, SLEEP="0.05"
    ) as thaw:
        wait_for(checkpoint, 1, thaw)
        thaw.kill()
        thaw.communicate(timeout=20)


def writer_of(path: Path) -> int:
    """Return the process that holds a file open."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if link.readlink() == path:
                return int(link.parts[2])
        except OSError:
            continue
    raise AssertionError(f"nobody holds {path}")
