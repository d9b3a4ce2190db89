"""Runs in their processes, as a power cut, a full memory and a user's Ctrl-C end them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import command_line
import pandas as pd
import pytest
from command_line import TINY, Say, Spoken, thaw_command, thaw_process
from fault_sizes import patience, wait_until

from thaw.experiment.running import running_text
from thaw.experiment.suite_folder import SuiteFolder
from thaw.files.attempts import read_attempts
from thaw.files.ownership import LEASE
from thaw.files.run_folder import RunFolder

TARGET = "runs/catch@large_ball"
KEY = "catch@large_ball/scratch/seed0"
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


@pytest.mark.long
def test_a_failing_run_is_told_kept_and_tried_again(tmp_path: Path, say: Say) -> None:
    command = [*sleepy_suite(tmp_path, "conditions=[random, scratch, freeze_all]"), "--out", "s"]
    suite = tmp_path / "s"
    spoken = thaw_command(*command, cwd=tmp_path, PYTHONPATH=SUPPORT, FAIL_AFTER="25")
    assert spoken.status == 1
    assert "Traceback" not in spoken.err
    assert "the lens cap is on" not in spoken.out + spoken.err
    for key in ("catch/pretrain/seed0", "catch@large_ball/scratch/seed0"):
        log = f"s/runs/{key}/error.txt"
        see = f"(see {log} and s/runs/{key}/log.txt)"
        assert f"FAILED {key}: RuntimeError: the camera is broken {see}" in spoken.err
        assert "the lens cap is on" in (tmp_path / log).with_name("log.txt").read_text()
        text = (tmp_path / log).read_text()
        assert text.startswith("Traceback")
        assert "sleepy_embedding.py" in text
        assert not (tmp_path / f"s/runs/{key}/result.json").exists()
    assert "not run catch@large_ball/freeze_all/seed0" in spoken.err
    assert not (suite / TARGET / "freeze_all").exists()
    assert (suite / TARGET / "random/seed0/result.json").exists()
    assert "missing" in spoken.out  # the report says what is not there

    status = say("status", "s")
    assert status.status == 0
    lines = {line.split()[1]: line for line in status.out.splitlines()[:-1]}
    assert lines["catch/pretrain/seed0"].startswith("failed ")
    assert lines["catch/pretrain/seed0"].endswith("RuntimeError: the camera is broken")
    blocked = lines["catch@large_ball/freeze_all/seed0"]
    assert blocked.startswith("blocked ")
    assert blocked.endswith("  catch/pretrain/seed0 failed")
    assert status.out.splitlines()[-1] == "2 done, 2 failed, 0 running, 0 waiting, 1 blocked"

    failed = suite / "runs/catch/pretrain/seed0"
    listed = say(*command)
    assert listed.status == 1
    assert listed.err.count("FAILED catch/pretrain/seed0: RuntimeError: the camera is broken") == 2
    assert "2 failed; the same command with --retry-failed tries them again" in listed.err
    assert [attempt.cause for attempt in read_attempts(failed)] == ["exception"]

    again = say(*command, "--retry-failed")
    assert again.status == 0, again.err
    assert [attempt.cause for attempt in read_attempts(failed)] == ["exception", "done"]
    assert not list(suite.rglob("error.txt"))
    assert [SuiteFolder(suite).status(run) for run in SuiteFolder(suite).plan().runs] == 5 * [
        "done"
    ]


@pytest.mark.long
def test_a_run_whose_process_is_killed_is_tried_twice_more(tmp_path: Path) -> None:
    command = [*sleepy_suite(tmp_path, "conditions=[scratch]"), "--out", "s"]
    folder = tmp_path / "s" / TARGET / "scratch/seed0"
    slow = {"PYTHONPATH": SUPPORT, "SLEEP": "0.05"}

    def learning(number: int) -> int:
        """Wait until an attempt of the run has made an update; return its process."""
        assert wait_until(lambda: len(read_attempts(folder)) == number, patience(60))
        assert wait_until(lambda: bool(RunFolder(folder).progress.last()), patience(60))
        return read_attempts(folder)[-1].pid

    with thaw_process(*command, cwd=tmp_path, **slow) as process:
        os.kill(learning(1), signal.SIGKILL)
        learning(2)
        os.killpg(process.pid, signal.SIGKILL)  # a driver that starts again goes on counting
        _, err = process.communicate(timeout=60)
    assert f"again {KEY}: its process died (exit code -9); attempt 2 starts" in err
    with thaw_process(*command, cwd=tmp_path, **slow) as process:
        os.kill(learning(3), signal.SIGKILL)
        os.kill(learning(4), signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"FAILED {KEY}: its process died (exit code -9)" in err
    assert (folder / "error.txt").read_text() == "its process died (exit code -9)"
    causes = [attempt.cause for attempt in read_attempts(folder)]
    assert causes == ["crash", "lost", "crash", "crash"]
    assert read_attempts(folder)[-1].gave_up
    log = (folder / "log.txt").read_text()
    assert [line.split(",")[0] for line in log.splitlines() if line.startswith("--- ")] == [
        f"--- attempt {number}" for number in (1, 2, 3, 4)
    ]


def test_a_run_that_takes_all_memory_is_tried_once_more_alone(tmp_path: Path) -> None:
    words = sleepy_suite(tmp_path, "conditions=[random, scratch]", "seeds=2")
    command = [*words, "--out", "s", "--workers", "2"]
    settings = {"PYTHONPATH": SUPPORT, "FULL_AFTER": "25", "SLEEP": "0.01"}
    spoken = thaw_command(*command, cwd=tmp_path, **settings)
    assert spoken.status == 1
    tries = {}
    for seed in (0, 1):
        key = f"catch@large_ball/scratch/seed{seed}"
        said = "MemoryError: no room for a frame"
        assert spoken.err.count(f"again {key}: {said}; attempt 2 starts alone") == 1
        assert f"FAILED {key}: {said} (see " in spoken.err
        tries[seed] = read_attempts(tmp_path / "s/runs" / key)
        assert [attempt.cause for attempt in tries[seed]] == ["memory", "memory"]
    # Nothing else ran beside a second one; only their order is the queue's.
    spans = sorted((str(a.started), str(a.ended)) for a in (tries[0][1], tries[1][1]))
    assert spans[0][1] <= spans[1][0]


@pytest.mark.long
def test_a_second_driver_is_refused_and_status_tells_where_runs_are(
    tmp_path: Path, say: Say
) -> None:
    command = [*sleepy_suite(tmp_path, "conditions=[scratch]"), "--out", "s"]
    folder = tmp_path / "s" / TARGET / "scratch/seed0"
    slow = {"PYTHONPATH": SUPPORT, "SLEEP": "0.1"}
    with thaw_process(*command, cwd=tmp_path, **slow) as first:
        wait_for(folder / "progress.csv", 2, first)
        (row,) = json.loads(say("status", "s", "--json").out)["runs"]
        second = say(*command)
        assert first.poll() is None, "it was too fast to be looked at"
        first.communicate(timeout=120)
    assert first.returncode == 0
    where = f"(process {first.pid} on {socket.gethostname()}, last sign of life "
    assert second.status == 2
    assert second.err.startswith(f"thaw: another thaw works in s already {where}")
    assert second.err.count("\n") == 1
    assert [attempt.cause for attempt in read_attempts(folder)] == ["done"], "nothing ran twice"
    assert (row["status"], row["host"], row["attempt"]) == ("running", socket.gethostname(), 1)
    assert 0 < row["steps"] < row["total_steps"]
    assert row["steps_per_second"] > 0
    assert row["seconds_left"] == pytest.approx((360 - row["steps"]) / row["steps_per_second"])
    assert running_text(row).startswith(f"{row['steps_per_second']:,.0f} steps/s, ")
    assert running_text(row).endswith(f" left, on {socket.gethostname()}, attempt 1")


def test_a_driver_whose_folder_was_taken_stops_and_saves(tmp_path: Path) -> None:
    words = sleepy_suite(tmp_path, "conditions=[scratch]", "transfer_steps=6000")
    folder = RunFolder(tmp_path / "s" / TARGET / "scratch/seed0")
    with thaw_process(
        *words, "--out", "s", cwd=tmp_path, PYTHONPATH=SUPPORT, SLEEP="0.02"
    ) as driver:
        wait_for(folder.progress.path, 2, driver)
        (tmp_path / "s" / LEASE).write_text("filelock/2\ntoken=another\n")
        _, err = driver.communicate(timeout=60)
    assert driver.returncode == 2
    assert err.startswith("thaw: another process has taken over s, because this one was silent")
    assert err.count("\n") == 1
    assert folder.saved_steps() > 0
    assert read_attempts(folder.path)[-1].cause == "stopped"


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
