"""The commands for whole suites: run, plan, status, watch, report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import Say, thaw_command
from refusals import check_refused_and_unwritten

from thaw.experiment.plan import plan
from thaw.experiment.suites import load_suite


def test_plan_lists_every_run_and_the_cost(say: Say, tiny: Path) -> None:
    spoken = say("plan", tiny)
    assert (spoken.status, spoken.err) == (0, "")
    keys = [line.split()[0] for line in spoken.out.split("\n\n")[0].splitlines()]
    assert keys == [run.key for run in plan(load_suite(tiny)).runs]
    assert "400 steps" in spoken.out
    assert "only scored" in spoken.out
    assert "after catch/pretrain/seed0" in spoken.out
    assert "tiny: 8 runs, 1 of them pretrainings that transfers share; 1,840 steps" in spoken.out
    assert "MiB on disk" in spoken.out


def test_plan_json_is_one_document(say: Say, tiny: Path) -> None:
    spoken = say("plan", tiny, "--json", "--seeds", 2, "--set", "transfer_steps=100")
    document = json.loads(spoken.out)
    assert spoken.err == ""
    assert document["suite"] == "tiny"
    assert (document["num_runs"], document["num_pretrainings"]) == (16, 2)
    assert document["total_steps"] == 2 * (400 + 4 * 100)
    assert document["total_frames"] == 8 * document["total_steps"]
    assert document["hours"] > 0
    assert document["disk_mib"] > 0
    assert document["runs"][-1] == {
        "key": "catch@large_ball/freeze_all/seed1",
        "condition": "freeze_all",
        "steps": 0,
        "source": "catch/pretrain/seed1",
    }


@pytest.mark.parametrize("value", ["embedding=impala_shalow", "head=lstmm"])
def test_plan_refuses_a_misspelt_network(say: Say, tiny: Path, value: str) -> None:
    spoken = say("plan", tiny, "--set", f"agent.{value}")
    assert (spoken.status, spoken.out) == (2, "")
    assert f"'{value.partition('=')[2]}'; did you mean '" in spoken.err


def test_plan_yaml_is_a_suite_that_plans_the_same(say: Say, tiny: Path, tmp_path: Path) -> None:
    spoken = say("plan", tiny, "--yaml", "--seeds", 3)
    (tmp_path / "again.yaml").write_text(spoken.out)
    assert plan(load_suite(tmp_path / "again.yaml")) == plan(load_suite(tiny, ["seeds=3"]))
    assert say("plan", "again.yaml").out == say("plan", tiny, "--seeds", 3).out


def test_a_suite_function_in_the_working_folder_is_found(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "my_suites.py").write_text(
        f"from thaw import load_suite\ndef mine(): return load_suite({str(tiny)!r})\n"
    )
    spoken = thaw_command("plan", "my_suites:mine", "--json", cwd=tmp_path)
    assert json.loads(spoken.out)["suite"] == "tiny"


def test_status_of_a_finished_suite(say: Say, finished: Path) -> None:
    spoken = say("status", finished)
    assert (spoken.status, spoken.err) == (0, "")
    *lines, total = spoken.out.splitlines()
    assert total == "8 done, 0 failed, 0 running, 0 waiting"
    assert all(line.startswith("done ") and "return" in line for line in lines)
    assert "400 of 400 steps" in lines[0]
    document = json.loads(say("status", finished, "--json").out)
    assert document["done"] == 8
    assert [row["key"] for row in document["runs"]] == [line.split()[1] for line in lines]


WRONG: list[tuple[str, list[str]]] = [
    ("run tiny.yaml --out x --seeds 0", ["seeds: expected a whole number >= 1"]),
    ("run tiny.yaml --out x --workers 0", ["--workers is 0; it must be at least 1"]),
    ("run tiny.yaml --out x --device tpu", ["unknown device 'tpu'; use auto, cpu or cuda"]),
    ("run catch-quik --out x", ["did you mean 'catch-quick'? Built in: catch-quick"]),
    ("run none.yaml --out x", ["'none.yaml' cannot be read: No such file", "built-in suite: "]),
    ("run empty --out x", ["empty: a suite file is a mapping"]),
    ("run list.yaml --out x", ["list.yaml: a suite file is a mapping"]),
    ("run broken.yaml --out x", ["broken.yaml: not valid YAML: line 1"]),
    ("run no_module:f --out x", ["No module named 'no_module'"]),
    ("run tiny.yaml --out x --set agent", ["--set agent: expected KEY=VALUE, as in agent.disc"]),
    ("run tiny.yaml --out x --set agent.discuont=1", ["did you mean 'discount'? Allowed: emb"]),
    ("run tiny.yaml --out x --set name.x=1", ["'name' has no keys below it"]),
    ("run tiny.yaml --out x --set pretrain_steps=-1", ["pretrain_steps: expected a whole num"]),
    ("run tiny.yaml --out x --set seeds=[1,1]", ["seeds: '1' is there twice; name each once"]),
    (
        "run tiny.yaml --out x --set environment.downsampel=2",
        ["flavor 'catch': unknown key 'downsampel'; did you mean 'downsample'? Allowed: backg"],
    ),
    (
        "run tiny.yaml --out x --set conditions=[freeze_al]",
        ["unknown condition 'freeze_al'; did you mean 'freeze_all'? Allowed: random"],
    ),
    (
        "run tiny.yaml --out x --set transfers=[{source:&catch,target:&'catch?num_actions=56'}]",
        ["'catch' has 54 actions, but 'catch?num_actions=56' has 56", "the same options"],
    ),
    (
        "run tiny.yaml --out x --set transfers=[{source:&catch,target:&catch@larg_ball}]",
        ["unknown flavor 'catch@larg_ball'; did you mean 'large_ball'?", "small_paddle"],
    ),
    ("run tiny.yaml --out a_file", ["--out a_file: 'a_file' is a file; give a folder"]),
    ("run tiny.yaml --out a_file/x", ["'a_file' is a file; give a folder"]),
    ("run tiny.yaml --out foreign", ["foreign is not empty and holds no suite.yaml; choose"]),
    (
        "run tiny.yaml --out FINISHED --set agent.discount=0.5",
        ["holds runs of another configuration (in catch/pretrain/seed0 differ agent.discount)"],
    ),
    ("plan tiny.yaml --workers 0", ["--workers is 0"]),
    ("plan tiny.yaml --set transfers=[]", ["transfers: expected a list of length >= 1"]),
    ("status none", ["'none' does not exist; give the --out of `thaw run"]),
    ("status a_file", ["'a_file' is a file, not a folder"]),
    ("status foreign", ["'foreign' is not a suite's folder: it has no suite.yaml"]),
    ("report", ["give either a suite's folder or --scores FILE.csv --out DIR"]),
    ("report foreign --scores good.csv", ["give either"]),
    ("report none", ["'none' does not exist"]),
    ("report FINISHED --out a_file", ["'a_file' is a file; give a folder"]),
    ("report --scores good.csv", ["--scores needs --out DIR"]),
    ("report --scores good.csv --out a_file", ["'a_file' is a file; give a folder"]),
    ("report --scores none.csv --out x", ["none.csv: no such file"]),
    ("report --scores foreign --out x", ["foreign: no such file"]),
    ("report --scores empty --out x", ["the file is empty", "target, condition, seed"]),
    ("report --scores bad.csv --out x", ["column 'target' is missing; needed are target"]),
    ("report --scores word.csv --out x", ["row 1: seed is 'first', but must be a whole num"]),
]  # fmt: skip


@pytest.mark.parametrize(("line", "said"), WRONG, ids=[line or "nothing" for line, _ in WRONG])
def test_wrong_input_is_one_line_and_nothing_is_written(
    line: str, said: list[str], say: Say, littered: Path, finished: Path
) -> None:
    check_refused_and_unwritten(line, said, say, littered, finished)


@pytest.mark.parametrize("name", ["run.json", "result.json"])
def test_a_broken_file_of_a_run_is_named(
    name: str, say: Say, finished: Path, tiny: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "suite")
    (tmp_path / "suite/runs/catch/pretrain/seed0" / name).write_text("{")
    spoken = say("run", tiny, "--out", "suite")
    assert spoken.status == 1
    assert f"pretrain/seed0/{name} is " in spoken.err
    assert "; delete " in spoken.err
    assert "Traceback" not in spoken.err
    # The file is left as it is, and the other runs are reported.
    assert (tmp_path / "suite/runs/catch/pretrain/seed0" / name).read_text() == "{"
    assert "| From scratch |" in spoken.out
