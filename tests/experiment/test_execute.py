"""Suites executed by the installed command, as a user does, and as a power cut does."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from command_line import Say, listing, thaw_here

from thaw.acting.evaluation import evaluate_policy, summary
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.runtime import Runtime
from thaw.experiment.execute import execute, run
from thaw.experiment.plan import plan
from thaw.experiment.results import load_results
from thaw.experiment.suite_folder import SuiteFolder
from thaw.experiment.suites import load_suite
from thaw.files.checkpoint import load_policy
from thaw.files.ownership import owned
from thaw.files.run_folder import EPISODE_COLUMNS, PROGRESS_COLUMNS, RunFolder
from thaw.training.progress import Stopped
from thaw.training.run import execute_run

CONDITIONS = ("random", "scratch", "update_all", "freeze_embedding", "freeze_head", "freeze_all")
TRAINED = ("scratch", "update_all", "freeze_embedding", "freeze_head")
TARGET = "runs/catch@large_ball"


def folders(suite: Path) -> dict[str, Path]:
    return {
        "pretrain": suite / "runs/catch/pretrain/seed0",
        **{condition: suite / TARGET / condition / "seed0" for condition in CONDITIONS},
    }


def header(path: Path) -> tuple[str, ...]:
    with path.open(newline="") as file:
        return tuple(next(csv.reader(file)))


# ---------------------------------------------------------------------------- a finished suite


def test_every_file_of_every_run_is_there(finished: Path) -> None:
    always = {
        "run.json", "machine.json", "episodes.csv", "result.json", "checksums.json",
        "attempts.json", "log.txt",
    }  # fmt: skip
    policy = {
        "checkpoint", "checkpoint/policy.safetensors", "checkpoint/checksums.json", "parts.txt",
    }  # fmt: skip
    training = {
        "progress.csv",
        "checkpoint/training_state.safetensors",
        "checkpoint/training_state.json",
    }
    for condition, folder in folders(finished).items():
        expected = set(always)
        if condition != "random":
            expected |= policy
        if condition in (*TRAINED, "pretrain"):
            expected |= training
        assert set(listing(folder)) == expected, condition
        assert header(folder / "episodes.csv") == EPISODE_COLUMNS
        if "progress.csv" in expected:
            assert header(folder / "progress.csv") == PROGRESS_COLUMNS
    assert {path.name for path in finished.iterdir()} == {
        "suite.yaml", "runs", "scores.csv", "curves.csv", "report", "pictures",
    }  # fmt: skip
    assert {str(path.relative_to(finished / "report")) for path in finished.rglob("report/*")} >= {
        "index.html", "metrics.csv", "metrics.json", "table.md", "table.tex", "figures",
    }  # fmt: skip


def test_result_json_is_written_last(finished: Path) -> None:
    for folder in folders(finished).values():
        others = [p for p in folder.rglob("*") if p.is_file() and p.name != "result.json"]
        newest = max(path.stat().st_mtime_ns for path in others)
        assert (folder / "result.json").stat().st_mtime_ns >= newest


def test_nothing_is_pickled(finished: Path) -> None:
    for path in finished.rglob("*"):
        if path.is_file():
            start = path.read_bytes()[:2]
            assert start not in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), path


def test_machine_json_tells_versions_and_nothing_of_the_environment(finished: Path) -> None:
    machine = json.loads((folders(finished)["pretrain"] / "machine.json").read_text())
    assert set(machine) == {
        "python", "packages", "git_commit", "platform", "processor", "device", "num_threads",
        "environment",
    }  # fmt: skip
    assert machine["num_threads"] == 1
    assert {"thaw", "torch", "gymnasium", "numpy"} <= set(machine["packages"])
    values = {value for value in os.environ.values() if len(value) > 8}
    assert not [value for value in values if value in json.dumps(machine)]


def test_every_transfer_is_also_scored_back_on_its_source(finished: Path) -> None:
    for condition, folder in folders(finished).items():
        result = json.loads((folder / "result.json").read_text())
        transferred = condition in ("update_all", "freeze_embedding", "freeze_head", "freeze_all")
        assert (result["source_evaluation"] is not None) == transferred, condition
        assert result["evaluation"]["num_episodes"] == 4
        episodes = pd.read_csv(folder / "episodes.csv")
        phases = episodes.groupby("phase")["flavor"].unique().map(list).to_dict()
        if transferred:
            assert result["source_evaluation"]["num_episodes"] == 4
            assert phases.pop("source evaluation") == ["catch"]
        where = "catch" if condition == "pretrain" else "catch@large_ball"
        assert phases.pop("evaluation") == [where]
        assert phases == ({"training": [where]} if condition in (*TRAINED, "pretrain") else {})


def test_freeze_all_is_the_pretrained_policy_and_learns_nothing(finished: Path) -> None:
    there = folders(finished)
    assert not (there["freeze_all"] / "progress.csv").exists()
    source = there["pretrain"] / "checkpoint/policy.safetensors"
    assert (there["freeze_all"] / "checkpoint/policy.safetensors").read_bytes() == (
        source.read_bytes()
    )
    result = json.loads((there["freeze_all"] / "result.json").read_text())
    assert (result["steps"], result["training"]) == (0, None)
    for flavor, part in (("catch@large_ball", "evaluation"), ("catch", "source_evaluation")):
        played = evaluate_policy(
            load_policy(there["pretrain"]), Flavor(flavor), num_episodes=4, seed=0, num_envs=4,
            options={"downsample": 16, "frames_per_step": 8},
        )  # fmt: skip
        assert summary([e.episode_return for e in played]).items() <= result[part].items()


def test_random_is_the_uniform_policy_and_saves_none(finished: Path) -> None:
    folder = folders(finished)["random"]
    result = json.loads((folder / "result.json").read_text())
    played = evaluate_policy(
        None, Flavor("catch@large_ball"), num_episodes=4, seed=0, num_envs=4,
        options={"downsample": 16, "frames_per_step": 8},
    )  # fmt: skip
    assert summary([e.episode_return for e in played]).items() <= result["evaluation"].items()
    assert (result["steps"], result["source_evaluation"]) == (0, None)


def test_frozen_parts_are_the_source_s_and_the_others_are_not(finished: Path) -> None:
    source = dict(load_policy(folders(finished)["pretrain"]).parts())
    for condition, frozen in (("freeze_embedding", "embedding."), ("freeze_head", "head.")):
        for name, tensor in load_policy(folders(finished)[condition]).parts():
            assert tensor.equal(source[name]) == name.startswith(frozen), (condition, name)


def test_piped_output_is_plain_lines_that_end_with_the_report(finished: Path) -> None:
    out = (finished.parents[2] / "spoken.out").read_text()
    err = (finished.parents[2] / "spoken.err").read_text()
    assert not any(mark in out + err for mark in ("\x1b", "\r", "\x08", "━", "%"))
    assert out.splitlines()[-1] == "report: new/folders/suite/report/index.html"
    assert "| Freeze embedding |" in out
    # 400 steps of pretraining may be no better than random, which is told once.
    lines = [line for line in err.splitlines() if not line.startswith("warning: Pretraining")]
    assert len(lines) == 8
    assert len(err.splitlines()) <= 9
    for number, line in enumerate(lines, start=1):
        assert line.startswith(f"[{number}/8] catch"), line
        assert "return" in line


def test_a_finished_suite_is_left_as_it_is(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "copy"))
    before = {p: p.stat().st_mtime_ns for p in (folder / "runs").rglob("*") if p.is_file()}
    spoken = thaw_here("run", "tiny.yaml", "--out", folder, cwd=finished.parents[2])
    assert spoken.status == 0
    assert spoken.err == "all runs were done already\n"
    assert spoken.out.endswith(f"report: {folder}/report/index.html\n")
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_run_can_also_be_stopped_while_it_is_scored(finished: Path, tmp_path: Path) -> None:
    # Scoring may take minutes; whoever presses Ctrl-C does not wait for it.
    spec = RunFolder(folders(finished)["scratch"]).spec()
    folder = RunFolder(tmp_path)
    with pytest.raises(Stopped):
        execute_run(spec, folder, Runtime(), should_stop=lambda: folder.saved_steps() >= spec.steps)
    assert folder.saved_steps() == spec.steps
    assert not folder.is_done
    whole = RunFolder(folders(finished)["scratch"])
    resumed = execute_run(spec, folder, Runtime())
    assert resumed | {"seconds": 0} == whole.result() | {"seconds": 0}
    assert folder.episodes.path.read_bytes() == whole.episodes.path.read_bytes()


# --------------------------------------------------------------------------- before it is begun


def test_only_does_a_part_and_the_pretrainings_that_it_needs(finished: Path, say: Say) -> None:
    out, pattern = Path("s"), "*large_ball/*_all/*"
    shutil.copytree(finished, out)
    for condition in ("pretrain", "random", "scratch", "update_all", "freeze_all"):
        shutil.rmtree(folders(out)[condition])
    spoken = say("run", finished / "suite.yaml", "--out", out, "--only", pattern)
    assert spoken.status == 0, spoken.err
    said = "2 of 8 runs, and 1 pretraining that they start from"
    assert spoken.err.startswith(f"--only '{pattern}': {said}\n")
    done = {name for name, path in folders(out).items() if RunFolder(path).is_done}
    assert done == {"pretrain", "update_all", "freeze_all", "freeze_embedding", "freeze_head"}
    for pattern in ("scratch", "*/Scratch/*"):
        refused = say("run", finished / "suite.yaml", "--out", "t", "--only", pattern)
        assert refused.status == 2
        assert f"--only '{pattern}' matches no run; keys are as 'catch" in refused.err
    raced = say("run", finished / "suite.yaml", "--out", "t", "--only", "*", "--race")
    assert raced.status == 2
    assert not Path("t").exists()


def test_a_second_thaw_in_one_folder_is_refused(tmp_path: Path, finished: Path) -> None:
    suite = load_suite(finished / "suite.yaml")
    SuiteFolder(tmp_path).check(plan(suite))
    with owned(tmp_path):
        before = listing(tmp_path)
        with pytest.raises(InputError, match=r"another thaw works in .* already"):
            execute(suite, tmp_path, num_workers=1, runtime=Runtime())
        assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["agent.embedding=impala_deeep"], "did you mean 'impala_deep'? Built in: impala_deep"),
        (["agent.embedding=no_module:f"], "No module named 'no_module'"),
        (["agent.embedding=builtins:len"], "'builtins:len' failed: TypeError"),
        (["agent.embedding=operator:contains"], "returned bool, no nn.Module"),
        (
            [
                "update_rules={mine: 'embedding=source:frozen,head=source:trained,"
                "head.lsmt=random:trained'}",
                "conditions=[mine]",
            ],
            "names 'head.lsmt', which this policy does not have; did you mean 'head.lstm'?",
        ),
    ],
)
def test_a_network_or_rule_that_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, finished: Path, overrides: list[str], said: str
) -> None:
    suite = load_suite(finished / "suite.yaml", overrides)
    with pytest.raises(InputError) as caught:
        execute(suite, tmp_path / "out", num_workers=1, runtime=Runtime())
    assert said in str(caught.value)
    assert listing(tmp_path) == {}


def test_devices_and_workers_that_cannot_be_are_refused(tmp_path: Path, finished: Path) -> None:
    suite = load_suite(finished / "suite.yaml")
    for device in ("tpu", "meta", "cuda:99"):
        with pytest.raises(InputError, match=r"use (cpu or )?auto|there are \d"):
            execute(suite, tmp_path / "out", num_workers=1, runtime=Runtime(device=device))
    with pytest.raises(InputError, match="--workers is 0"):
        execute(suite, tmp_path / "out", num_workers=0, runtime=Runtime())
    assert listing(tmp_path) == {}


def test_the_tables_are_returned_too(copied: Path) -> None:
    results = run(str(copied / "suite.yaml"), copied).results
    there = load_results(copied)
    assert results is not None
    assert results.scores.equals(there.scores)
    assert results.curves.equals(there.curves)
    assert not results.scores.empty
