"""One bad run is one bad run: whatever its environment does, the suite's other runs are done."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import command_line
import pytest
from command_line import Spoken, thaw_command, thaw_here, thaw_process
from fault_sizes import patience, wait_until

from thaw.experiment.process_tree import descendants, kill_tree
from thaw.experiment.suite_folder import SuiteFolder

SUPPORT = str(Path(command_line.__file__).parent)
"""Where misbehaving_envs.py lies."""

SUITE = """\
name: bad
transfers:
  - {{source: gym/misbehaving_envs:WellBehaved-v0, target: 'gym/misbehaving_envs:{target}'}}
conditions: [random, scratch]
seeds: 1
pretrain_steps: 80
transfer_steps: 80
environment: {{num_envs: 2}}
agent: {{embedding: mlp, unroll_length: 10, lstm_size: 8, fc_size: 8, clock: {clock}}}
evaluation: {{episodes: 4, source: false}}
report: {{num_bins: 4}}
"""


def command(root: Path, target: str, *flags: object, clock: str = "lockstep") -> list[object]:
    (root / "bad.yaml").write_text(SUITE.format(target=target, clock=clock))
    return ["run", "bad.yaml", "--trust-code", "--out", "s", *flags]


def ended(process: subprocess.Popen[str], seconds: float) -> tuple[str, str]:
    """Wait for the end of a process and return what it wrote; kill it if it does not end."""
    try:
        return process.communicate(timeout=patience(seconds))
    finally:
        if process.poll() is None:
            kill_tree(process.pid)


def run(root: Path, target: str, *flags: object, clock: str = "lockstep") -> Spoken:
    words = command(root, target, *flags, clock=clock)
    with thaw_process(*words, cwd=root, PYTHONPATH=SUPPORT) as process:
        out, err = ended(process, 60)
    return Spoken(process.returncode, out, err)


def statuses(root: Path) -> dict[str, str]:
    folder = SuiteFolder(root / "s")
    return {run.spec.condition: folder.status(run) for run in folder.plan().runs}


STALL_SECONDS = 10
"""Longer than a run takes to begin on a busy machine."""

ALL_DONE = dict.fromkeys(("random", "scratch"), "done")


def test_an_error_that_looks_like_markup_fails_its_run_alone(tmp_path: Path) -> None:
    spoken = thaw_here(*command(tmp_path, "Raise-v0?after=25"), cwd=tmp_path)
    assert spoken.status == 1
    assert "Traceback" not in spoken.err
    said = "ValueError: the emulator [/dev/kvm] went away [bold]:boom:"
    assert len([line for line in spoken.err.splitlines() if said in line]) == 2  # told, summed up
    assert statuses(tmp_path) == ALL_DONE | {"scratch": "failed"}
    watched = thaw_here("watch", "s", cwd=tmp_path)
    assert watched.status == 1
    assert said in watched.err


@pytest.mark.slow
def test_a_process_that_does_not_end_after_its_run_is_ended(tmp_path: Path) -> None:
    # Three such processes, because with one worker a third run waits until one of two has ended.
    three = ("--set", "conditions=[random,scratch,update_all]")
    spoken = run(tmp_path, "LeaveThread-v0", "--workers", 1, *three)
    assert spoken.status == 0, spoken.err
    assert statuses(tmp_path) == ALL_DONE | {"pretrain": "done", "update_all": "done"}
    assert "report:" in spoken.out


@pytest.mark.long
def test_a_run_that_hangs_is_tried_twice_and_fails(tmp_path: Path) -> None:
    flags = ("--stall-seconds", STALL_SECONDS)
    spoken = run(tmp_path, "HangInChild-v0?after=25", *flags, clock="overlapped")
    assert spoken.status == 1, spoken.err
    assert statuses(tmp_path) == ALL_DONE | {"scratch": "failed"}
    lines = [
        line for line in spoken.err.splitlines() if f"no progress for {STALL_SECONDS} s" in line
    ]
    assert lines[0].startswith("again ")
    assert lines[0].endswith("; attempt 2 starts")
    assert re.search(r"\(last: step [24]0 of 80\): its environment hangs in step or", lines[0])
    assert lines[1].startswith("FAILED ")
    assert len(lines) == 3  # again, failed, summed up
    assert wait_until(lambda: hanging_programs() == [], patience(10))


@pytest.mark.slow
def test_a_run_that_hangs_once_is_done_after_all(tmp_path: Path) -> None:
    flags = ("--stall-seconds", STALL_SECONDS)
    spoken = run(tmp_path, "Hang-v0?after=25&once=hung", *flags)
    assert spoken.status == 0, spoken.err
    assert (tmp_path / "hung").exists()
    assert spoken.err.count(f"no progress for {STALL_SECONDS} s") == 1
    assert statuses(tmp_path) == ALL_DONE


@pytest.mark.slow
def test_what_an_environment_prints_stays_out_of_the_results(tmp_path: Path) -> None:
    flavor = "gym/misbehaving_envs:Print-v0?after=2"
    small = (
        "--set", "environment.num_envs=2", "--set", "agent.embedding=mlp", "--set",
        "agent.unroll_length=2", "--set", "agent.lstm_size=8", "--set", "agent.fc_size=8",
        "--set", "evaluation.episodes=2",
    )  # fmt: skip
    for words in (
        ("evaluate", "random", flavor, "--episodes", 2, "--set", "num_envs=1", "--json"),
        ("train", flavor, "--out", "run", "--steps", 8, *small),
    ):
        spoken = thaw_command(*words, cwd=tmp_path, PYTHONPATH=SUPPORT)
        assert spoken.status == 0, spoken.err
        result = json.loads(spoken.out)
        assert result.get("evaluation", result)["num_episodes"] == 2
        for source in ("Python", "C", "a program"):
            assert f"printed by {source}\n" in spoken.err
    suite = run(tmp_path, "Print-v0?after=20")
    assert suite.status == 0, suite.err
    assert "printed by" not in suite.out + suite.err
    (log,) = (tmp_path / "s/runs").rglob("scratch/seed0/log.txt")
    for source in ("Python", "C", "a program"):
        assert f"printed by {source}\n" in log.read_text()


# ------------------------------------------------------------------------------ a second signal


def test_a_second_signal_ends_a_suite_whose_run_hangs(tmp_path: Path) -> None:
    words = command(tmp_path, "Hang-v0?after=25")
    with thaw_process(*words, cwd=tmp_path, PYTHONPATH=SUPPORT) as process:
        wait_for_a_hang(tmp_path / "s/runs", process)
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(1.5)
        assert process.poll() is None  # it waits for the run to be saved
        workers = descendants(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        begun = time.monotonic()
        out, err = ended(process, 10)
        seconds = time.monotonic() - begun
    assert process.returncode == 130
    assert seconds < patience(10)
    assert out == ""
    assert "Traceback" not in err
    lines = err.splitlines()
    assert lines[-1].startswith("stopped; ")
    assert lines[-2].startswith("not saved since its last checkpoint: gym/")
    assert wait_until(lambda: not any(map(is_running, workers)), patience(10))


def test_a_second_signal_ends_a_training_that_hangs(tmp_path: Path) -> None:
    words = (
        "train", "gym/misbehaving_envs:HangInChild-v0?after=25", "--out", "s", "--steps", 80,
        "--set", "environment.num_envs=2", "--set", "agent.embedding=mlp", "--set",
        "agent.unroll_length=10", "--set", "agent.lstm_size=8", "--set", "agent.fc_size=8",
    )  # fmt: skip
    with thaw_process(*words, cwd=tmp_path, PYTHONPATH=SUPPORT) as process:
        wait_for_a_hang(tmp_path / "s", process)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)  # at once: part of the same request
        time.sleep(1.0)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        out, err = ended(process, 10)
    assert process.returncode == 143
    assert (out, err) == (
        "",
        "thaw: stopped by a second signal; what came after the last checkpoint is not saved; the "
        "same command continues\n",
    )
    assert wait_until(lambda: hanging_programs() == [], patience(10))


def test_a_training_that_hangs_is_ended(tmp_path: Path) -> None:
    spoken = thaw_command(
        "train", "gym/misbehaving_envs:HangInChild-v0?after=25", "--out", "s", "--steps", 80,
        "--set", "environment.num_envs=2", "--set", "agent.embedding=mlp", "--set",
        "agent.unroll_length=10", "--set", "agent.lstm_size=8", "--set", "agent.fc_size=8",
        "--stall-seconds", STALL_SECONDS, cwd=tmp_path, PYTHONPATH=SUPPORT,
    )  # fmt: skip
    assert spoken.status == 1
    assert spoken.err.startswith(
        f"thaw: no progress for {STALL_SECONDS} s (last: step 40 of 80): its environment"
    )
    assert spoken.err.count("\n") == 1
    assert f"no progress for {STALL_SECONDS} s" in (tmp_path / "s" / "error.txt").read_text()
    assert wait_until(lambda: hanging_programs() == [], patience(10))


def wait_for_a_hang(folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the run that is to hang has made its last update, and a moment longer."""
    limit = time.monotonic() + 120
    while not any(
        len(log.read_text().splitlines()) == 3
        for log in folder.rglob("progress.csv")
        if "pretrain" not in str(log)
    ):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.05)
    time.sleep(0.5)


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def hanging_programs() -> list[Path]:
    """Return the programs that `HangInChild` has started and that are still there."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if file.read_bytes() == b"sleep\x003600.0\x00":
                found.append(file)
        except OSError:
            continue
    return found
