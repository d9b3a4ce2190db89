"""Unreadable files of one run are named, and no command fails for the others because of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Say
from damage import DAMAGES, follow_advice

from thaw.config.runtime import Runtime
from thaw.experiment.execute import execute
from thaw.experiment.results import load_results
from thaw.experiment.suite_folder import SuiteFolder
from thaw.experiment.watch import watch

RUN = "catch@large_ball/scratch/seed0"
OTHERS = 7


@pytest.fixture
def suite(finished: Path, tmp_path: Path) -> SuiteFolder:
    return SuiteFolder(shutil.copytree(finished, tmp_path / "suite"))


def without_frames(path: Path) -> None:
    result = json.loads(path.read_text())
    del result["frames"]
    path.write_text(json.dumps(result))


def infinite(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"mean_return": float("inf")}))


DAMAGED: list[tuple[str, str]] = [
    (name, how)
    for name in ("run.json", "result.json", "episodes.csv", "progress.csv", "checksums.json")
    for how in DAMAGES
    if how != "deleted" or name in ("run.json", "episodes.csv", "progress.csv")
]
OLD: list[tuple[str, str]] = [
    (name, how) for name, how in DAMAGED if how in ("empty", "zeros") and name != "checksums.json"
] + [("episodes.csv", "deleted")]
MORE: dict[str, Callable[[Path], None]] = {
    **DAMAGES, "without frames": without_frames, "infinite": infinite,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "how", "has_checksums"),
    [(*pair, True) for pair in [*DAMAGED, ("result.json", "infinite")]]
    + [(*pair, False) for pair in OLD]
    + [("result.json", "without frames", False), ("result.json", "infinite", False)],
)
def test_a_damaged_finished_run_is_left_out_and_the_advice_works(
    suite: SuiteFolder, name: str, how: str, has_checksums: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = suite.run_folder(RUN)
    if not has_checksums:
        (folder.path / "checksums.json").unlink()
    MORE[how](folder.path / name)
    results = load_results(suite.path)
    assert len(results.scores) == OTHERS, results.left_out
    assert RUN not in set(results.scores["key"])
    assert len(results.left_out) == 1
    said = results.left_out[0]
    assert said.startswith(f"{RUN} is left out: ")
    assert name in said
    assert "\n" not in said

    rows = [suite.describe(run) for run in suite.plan().runs]
    mine = next(row for row in rows if row["key"] == RUN)
    assert [row["status"] for row in rows if row is not mine] == ["done"] * OTHERS
    if name in ("run.json", "result.json", "checksums.json"):
        assert mine["status"] == "damaged"
        assert name in mine["error"]
        capfd.readouterr()
        assert watch(suite.path) == 1
        lines = capfd.readouterr().err.splitlines()
        assert [line.split()[:2] for line in lines] == [["FAILED", f"{RUN}:"]]
        summary = execute(suite.suite(), suite.path, num_workers=1, runtime=Runtime())
        assert list(summary.failed) == [RUN]
        assert name in summary.failed[RUN]
        assert len(summary.done) == OTHERS
    follow_advice(said.partition("left out: ")[2])
    assert len(load_results(suite.path).scores) == OTHERS + (name == "checksums.json")
    assert suite.describe(next(r for r in suite.plan().runs if r.key == RUN))["status"] != "damaged"


def test_a_damaged_pretraining_keeps_only_its_own_transfers_waiting(suite: SuiteFolder) -> None:
    source = suite.run_folder("catch/pretrain/seed0").path
    (source / "result.json").write_text("")
    shutil.rmtree(suite.run_folder("catch@large_ball/freeze_all/seed0").path)
    shutil.rmtree(suite.run_folder("catch@large_ball/random/seed0").path)
    summary = execute(suite.suite(), suite.path, num_workers=1, runtime=Runtime())
    assert list(summary.failed) == ["catch/pretrain/seed0"]
    assert summary.not_run == ["catch@large_ball/freeze_all/seed0"]
    assert "catch@large_ball/random/seed0" in summary.done
    follow_advice(summary.failed["catch/pretrain/seed0"])
    summary = execute(suite.suite(), suite.path, num_workers=1, runtime=Runtime())
    assert (len(summary.done), summary.failed) == (OTHERS + 1, {})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("checkpoint/training_state.json", b"{}"),
        ("checkpoint/training_state.json", b'{"learned_steps": 3'),
        ("checkpoint/training_state.json", b'{"learned_steps": "many"}'),
        ("progress.csv", bytes(400)),
        ("progress.csv", b"\xff\xfe\n\xff\n"),
        ("error.txt", b"\xff\xfe broken"),
        ("error.txt", b""),
    ],
)
def test_status_and_report_work_whatever_an_unfinished_run_holds(
    suite: SuiteFolder, name: str, text: bytes, say: Say
) -> None:
    folder = suite.run_folder(RUN)
    (folder.path / "result.json").unlink()
    (folder.path / name).write_bytes(text)
    spoken = say("status", suite.path)
    assert spoken.status == 0, spoken
    assert f"{OTHERS} done" in spoken.out
    assert ("1 failed" if name == "error.txt" else "1 stopped") in spoken.out
    assert folder.progress_so_far()[0] in (0, 360)
    assert len(load_results(suite.path).scores) == OTHERS


def test_the_commands_say_it(suite: SuiteFolder, say: Say) -> None:
    path = suite.run_folder(RUN).path / "result.json"
    path.write_text("{")
    spoken = say("status", suite.path)
    assert spoken.status == 0
    assert spoken.out.splitlines()[-1] == (
        f"{OTHERS} done, 0 failed, 0 running, 0 waiting, 1 damaged"
    )
    line = next(line for line in spoken.out.splitlines() if line.startswith("damaged"))
    assert str(path) in line
    spoken = say("report", suite.path)
    assert spoken.status == 0
    assert f"thaw: {RUN} is left out: {path} is damaged" in spoken.err


def test_a_finished_run_with_a_damaged_log_fails_the_suite(suite: SuiteFolder, say: Say) -> None:
    log = suite.run_folder(RUN).path / "progress.csv"
    log.write_bytes(log.read_bytes()[:-2] + b"1\n")
    spoken = say("run", suite.suite_yaml, "--out", suite.path)
    assert spoken.status == 1
    assert f"thaw: {RUN} is left out: {log} is damaged" in spoken.err
    follow_advice(spoken.err.partition("left out: ")[2])
    assert say("run", suite.suite_yaml, "--out", suite.path).status == 0
    assert len(load_results(suite.path).scores) == OTHERS + 1
