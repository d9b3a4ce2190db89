"""The command line as a user meets it: mostly in this process, with a sample of real ones."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import command_line
import pytest
import torch
from command_line import TINY, Say, Spoken, listing, thaw_command, thaw_process
from safetensors.torch import save_file

from thaw.experiment.plan import plan
from thaw.experiment.suites import load_suite

SMALL = (
    "--set", "environment.downsample=16", "--set", "environment.frames_per_step=8",
    "--set", "environment.num_envs=4", "--set", "agent.embedding=impala_shallow",
    "--set", "agent.unroll_length=10", "--set", "agent.lstm_size=16",
    "--set", "agent.fc_size=16", "--set", "evaluation.episodes=4",
)  # fmt: skip


@pytest.fixture
def pretrained(finished: Path) -> Path:
    return finished / "runs/catch/pretrain/seed0"


@pytest.fixture(scope="session")
def blocker(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PYTHONPATH on which torch cannot be imported, as on a laptop without it."""
    folder = tmp_path_factory.mktemp("blocker")
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'torch':\n"
        "            raise ImportError('torch is not here')\n"
        "sys.meta_path.insert(0, Blocker())\n"
    )
    return str(folder)


# -------------------------------------------------------------------------------- without torch


def test_planning_and_reporting_need_no_torch(blocker: str, finished: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores.csv"
    scores.write_text(
        "target,condition,seed,mean_return\ncatch@large_ball,scratch,0,1\n"
        "catch@large_ball,random,0,0\n"
    )
    (tmp_path / "tiny.yaml").write_text(TINY)
    for command in (
        ["--help"],
        ["run", "--help"],
        ["plan", "catch-quick"],
        ["plan", "tiny.yaml", "--json"],
        ["plan", "tiny.yaml", "--yaml"],
        ["status", finished],
        ["report", finished, "--out", "report"],
        ["report", "--scores", scores, "--out", "theirs"],
        ["flavors"],
    ):
        spoken = thaw_command(*command, cwd=tmp_path, PYTHONPATH=blocker)
        assert (spoken.status, spoken.err) == (0, ""), command
        assert spoken.out
    assert (tmp_path / "report/index.html").is_file()
    assert (tmp_path / "theirs/index.html").is_file()
    acting = thaw_command("evaluate", "random", "catch", cwd=tmp_path, PYTHONPATH=blocker)
    assert "torch is not here" in acting.err  # the blocker does block


@pytest.mark.parametrize("command", [("--help",), ("plan", "catch-quick")])
def test_help_and_plan_come_within_a_second(command: tuple[str, ...], tmp_path: Path) -> None:
    seconds = []
    for _ in range(3):  # the machine may be busy; one quick answer shows what is possible
        started = time.monotonic()
        assert thaw_command(*command, cwd=tmp_path).status == 0
        seconds.append(time.monotonic() - started)
        if seconds[-1] < 1.0:
            return
    raise AssertionError(f"{seconds} seconds")


# ----------------------------------------------------------------------------------- plan


def test_plan_lists_every_run_and_the_cost(say: Say, tiny: Path) -> None:
    spoken = say("plan", tiny)
    assert (spoken.status, spoken.err) == (0, "")
    keys = [line.split()[0] for line in spoken.out.split("\n\n")[0].splitlines()]
    assert keys == [run.key for run in plan(load_suite(tiny)).runs]
    assert "400 steps" in spoken.out
    assert "only scored" in spoken.out
    assert "after catch/pretrain/seed0" in spoken.out
    assert "tiny: 7 runs, 1 of them pretrainings that transfers share; 1,840 steps" in spoken.out
    assert "MiB on disk" in spoken.out


def test_plan_json_is_one_document(say: Say, tiny: Path) -> None:
    spoken = say("plan", tiny, "--json", "--seeds", 2, "--set", "transfer_steps=100")
    document = json.loads(spoken.out)
    assert spoken.err == ""
    assert document["suite"] == "tiny"
    assert (document["num_runs"], document["num_pretrainings"]) == (14, 2)
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


# --------------------------------------------------------------------------- status and report


def test_status_of_a_finished_suite(say: Say, finished: Path) -> None:
    spoken = say("status", finished)
    assert (spoken.status, spoken.err) == (0, "")
    *lines, total = spoken.out.splitlines()
    assert total == "7 done, 0 failed, 0 started, 0 waiting"
    assert all(line.startswith("done ") and "return" in line for line in lines)
    assert "400 of 400 steps" in lines[0]
    document = json.loads(say("status", finished, "--json").out)
    assert document["done"] == 7
    assert [row["key"] for row in document["runs"]] == [line.split()[1] for line in lines]


def test_a_report_can_be_written_again_and_elsewhere(
    say: Say, finished: Path, tmp_path: Path
) -> None:
    spoken = say("report", finished, "--out", "deep/report")
    assert (spoken.status, spoken.err) == (0, "")
    assert spoken.out.splitlines()[-1] == "report: deep/report/index.html"
    table = (tmp_path / "deep/report/table.md").read_text()
    assert spoken.out.startswith(table)
    assert table == (finished / "report/table.md").read_text()


# ------------------------------------------------------------------- train, transfer, evaluate


def test_train_then_transfer_then_evaluate(say: Say, tmp_path: Path) -> None:
    trained = say("train", "catch", "--out", "deep/trained", "--steps", 400, *SMALL)
    assert trained.status == 0, trained.err
    result = json.loads(trained.out)
    assert result["steps"] == 400
    assert result == json.loads((tmp_path / "deep/trained/result.json").read_text())
    again = say("train", "catch", "--out", "deep/trained", "--steps", 400, *SMALL)
    assert again.out == trained.out

    moved = say(
        "transfer", "deep/trained", "catch@large_ball", "--rule", "freeze_embedding",
        "--out", "moved", "--steps", 200, "--set", "evaluation.episodes=4",
    )  # fmt: skip
    assert moved.status == 0, moved.err
    run = json.loads((tmp_path / "moved/run.json").read_text())
    assert (run["condition"], run["source"]) == ("freeze_embedding", "catch")
    assert run["environment"]["downsample"] == 16  # the checkpoint's own
    assert run["agent"]["lstm_size"] == 16
    assert json.loads(moved.out)["source_evaluation"]["num_episodes"] == 4

    document = json.loads(
        say("evaluate", "moved", "catch@large_ball", "--episodes", 6, "--seed", 3, "--json").out
    )
    assert {"mean_return", "sem", "num_episodes", "flavor", "seed"} <= set(document)
    assert (document["num_episodes"], document["seed"]) == (6, 3)
    assert document["flavor"] == "catch@large_ball"
    assert -1 <= document["mean_return"] <= 1
    spoken = say("evaluate", "moved", "catch@large_ball", "--episodes", 6, "--seed", 3)
    assert spoken.out.startswith(f"{document['mean_return']:.2f} +- {document['sem']:.2f}")


def test_a_checkpoint_folder_copied_elsewhere_is_as_good(
    say: Say, pretrained: Path, tmp_path: Path
) -> None:
    shutil.copytree(pretrained / "checkpoint", tmp_path / "copied")
    budget = ["--steps", 120, *SMALL]
    rule = ["--rule", "head=source:frozen,embedding=source:trained"]
    for place, out in ((pretrained, "a"), (pretrained / "checkpoint", "b"), ("copied", "c")):
        spoken = say("transfer", place, "catch@large_ball", *rule, "--out", out, *budget)
        assert spoken.status == 0, spoken.err
    files = [tmp_path / out / "checkpoint/policy.safetensors" for out in "abc"]
    assert files[0].read_bytes() == files[1].read_bytes()
    # Alone it does not tell where it was trained, which decides the seeds.
    assert json.loads((tmp_path / "c/run.json").read_text())["source"] is None
    assert json.loads((tmp_path / "b/run.json").read_text())["source"] == "catch"


def test_freeze_all_takes_no_step_and_scratch_takes_no_weights(
    say: Say, pretrained: Path, tmp_path: Path
) -> None:
    frozen = say(
        "transfer", pretrained, "catch@large_ball", "--rule", "freeze_all", "--out", "frozen",
        "--steps", 100, "--set", "evaluation.episodes=4",
    )  # fmt: skip
    assert json.loads(frozen.out)["steps"] == 0
    # Nothing of the source is used, so its actions need not be the target's.
    scratch = say(
        "transfer", pretrained, "catch?num_actions=56", "--rule", "scratch", "--out", "scratch",
        "--steps", 100, *SMALL,
    )  # fmt: skip
    assert scratch.status == 0, scratch.err
    assert json.loads(scratch.out)["source_evaluation"] is None


def test_evaluating_is_repeatable_and_seeds_differ(say: Say) -> None:
    def mean_length(seed: int) -> tuple[float, float]:
        spoken = say(
            "evaluate", "random", "catch", "--episodes", 20, "--seed", seed, "--json",
            "--set", "downsample=16", "--set", "num_envs=5",
        )  # fmt: skip
        document = json.loads(spoken.out)
        return document["mean_return"], document["sem"]

    assert mean_length(1) == mean_length(1)
    assert len({mean_length(seed) for seed in range(5)}) > 1


def test_flavors_lists_what_make_env_makes(say: Say) -> None:
    found = json.loads(say("flavors", "catch*", "--json").out)
    assert found == say("flavors", "catch*").out.splitlines()
    assert {"catch", "catch@large_ball", "catch@red_background"} <= set(found)
    large = ["catch@large_ball", "androidenv/catch@large_ball"]
    assert json.loads(say("flavors", "large", "--json").out) == large
    nothing = say("flavors", "zebra")
    assert (nothing.status, nothing.out) == (0, "")
    assert "no flavor matches 'zebra'" in nothing.err
    assert json.loads(say("flavors", "zebra", "--json").out) == []


def test_a_stopped_training_goes_on_with_the_same_command(tmp_path: Path) -> None:
    here = str(Path(command_line.__file__).parent)
    command = [
        "train", "catch", "--steps", "1600", *SMALL,
        "--set", "agent.embedding=sleepy_embedding:make", "--out",
    ]  # fmt: skip
    log = tmp_path / "broken/progress.csv"
    with thaw_process(*command, "broken", cwd=tmp_path, PYTHONPATH=here, SLEEP="0.05") as process:
        wait_for_lines(log, 3, process)
        second = thaw_command(*command, "broken", cwd=tmp_path, PYTHONPATH=here)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, "")
    assert err == "saved in broken; the same command continues\n"
    assert second.status == 2
    assert second.err.startswith("thaw: another thaw works in broken already")
    spoken = [
        thaw_command(*command, out, cwd=tmp_path, PYTHONPATH=here) for out in ("broken", "whole")
    ]
    results = [json.loads(answer.out) | {"seconds": 0} for answer in spoken]
    assert results[0] == results[1]


def wait_for_lines(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 120
    while not path.exists() or len(path.read_text().splitlines()) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.02)


# --------------------------------------------------------------------------------- wrong input

WRONG: list[tuple[str, list[str]]] = [
    ("", ["{run, plan, status, watch, report", "`thaw --help`"]),
    ("rnu tiny.yaml", ["unknown command 'rnu'; did you mean 'run'? Allowed: run, plan"]),
    ("run", ["Missing", "SUITE", "--out DIR", "`thaw run --help`"]),
    ("run tiny.yaml", ["Missing", "--out DIR"]),
    ("run tiny.yaml --out", ["--out", "`thaw run --help`"]),
    (
        "run tiny.yaml --out x --seedz 2",
        ["unknown option '--seedz' of thaw run; did you mean '--seeds'? Allowed: --out, --set"],
    ),
    ("plan tiny.yaml --jsn", ["'--jsn' of thaw plan; did you mean '--json'?"]),
    ("run tiny.yaml --out x --seeds two", ["--seeds: 'two' is not a whole number"]),
    ("run tiny.yaml --out x --seeds 0", ["seeds: expected a whole number >= 1"]),
    ("run tiny.yaml --out x --workers 0", ["--workers is 0; it must be at least 1"]),
    ("run tiny.yaml --out x --executor slurm", ["'slurm'", "local"]),
    ("run tiny.yaml --out x --device tpu", ["unknown device 'tpu'; use auto, cpu or cuda"]),
    ("run catch-quik --out x", ["did you mean 'catch-quick'? Built in: catch-quick"]),
    ("run none.yaml --out x", ["'none.yaml' cannot be read: No such file"]),
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
    ("train catch --out x", ["--steps"]),
    ("train cathc --out x --steps 9", ["unknown family 'cathc'", "did you mean 'catch'?"]),
    ("train catch --out x --steps 1e5", ["--steps: '1e5' is not a whole number"]),
    ("train catch --out x --steps 0", ["--steps is 0; it must be at least 1"]),
    ("train catch --out x --steps -5", ["--steps is -5; it must be at least 1"]),
    ("train catch --out x --steps 9 --seed -1", ["seed: expected a whole number >= 0"]),
    ("train catch --out x --steps 9 --set lstm_size=3", ["a single run has agent.*, environ"]),
    ("train catch --out x --steps 9 --set agent.lstm_siz=3", ["did you mean 'lstm_size'?"]),
    ("train catch --out x --steps 9 --set environment.num_envs=0", ["num_envs is 0; it must"]),
    ("train catch --out x --steps 9 --set environment.downsample=7", ["downsample=7 must be"]),
    ("train catch --out a_file --steps 9 --set environment.downsample=16", ["give a folder"]),
    ("train catch --out foreign --steps 9 --set environment.downsample=16", ["no run.json"]),
    ("train catch --out PRETRAINED --steps 9", ["holds a run of another configuration"]),
    ("transfer none catch --rule freeze_all --out x --steps 9", ["'none' does not exist"]),
    ("transfer foreign catch --rule freeze_all --out x --steps 9", ["has no policy.safetens"]),
    ("transfer FINISHED catch --rule freeze_all --out x --steps 9", ["give a run's folder"]),
    ("transfer junk catch --rule freeze_all --out x --steps 9", ["not a readable safetensors"]),
    ("transfer alien catch --rule freeze_all --out x --steps 9", ["was not written by thaw"]),
    ("transfer PRETRAINED catch --rule freez_all --out x --steps 9", ["mean 'freeze_all'?"]),
    ("transfer PRETRAINED catch --rule freeze_all --out x --steps 0", ["--steps is 0"]),
    ("transfer PRETRAINED catch@x --rule freeze_all --out x --steps 9", ["unknown flavor"]),
    (
        "transfer PRETRAINED catch?num_actions=56 --rule update_all --out x --steps 9",
        ["54", "56", "give"],
    ),
    (
        "transfer PRETRAINED catch?downsample=8 --rule update_all --out x --steps 9",
        ["observations", "30, 20, 3", "60, 40, 3"],
    ),
    (
        "transfer PRETRAINED catch --rule update_all --out x --steps 9 --set agent.lstm_size=8",
        ["'head.lstm.weight_input' has shape [64, 311] in the source policy and [32, 311]"],
    ),
    ("evaluate none catch", ["checkpoint 'none' does not exist"]),
    ("evaluate junk catch", ["junk/policy.safetensors is not a readable safetensors file"]),
    ("evaluate alien catch", ["alien/policy.safetensors was not written by thaw"]),
    ("evaluate bent catch", ["does not fit its own description"]),
    ("evaluate PRETRAINED catch?num_actions=56", ["54", "56"]),
    ("evaluate random catch --episodes 0", ["--episodes is 0; it must be at least 1"]),
    ("evaluate random catch --seed -1", ["--seed is -1; it must be at least 0"]),
    ("evaluate random catch --set num_envs=x", ["num_envs is 'x'; it must be a whole number"]),
    ("evaluate random catch --set drawn_on=cpu", ["environment.drawn_on cannot be set"]),
    ("evaluate random catch --set seed=1", ["environment.seed cannot be set"]),
    ("evaluate random catch --set downsampel=2", ["did you mean 'downsample'?"]),
    ("evaluate random catch@a@b", ["not of the form family/name@variant, as in 'catch@large"]),
    ("gallery catch-quick --out x.jpg", ["x.jpg is not a .png file"]),
    ("gallery catch-quick --out a_file/x.png", ["'a_file' is a file"]),
    ("gallery catch-quick --out x.png --steps -1", ["--steps is -1; it must be at least 0"]),
    ("gallery catch-quik --out x.png", ["did you mean 'catch-quick'?"]),
]  # fmt: skip


@pytest.fixture
def littered(tmp_path: Path, pretrained: Path, tiny: Path) -> Path:
    """A working folder full of things that are not what a command wants."""
    del tiny
    (tmp_path / "a_file").write_text("text")
    (tmp_path / "empty").touch()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/thesis.tex").write_text("years of work")
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "broken.yaml").write_text("name: [")
    (tmp_path / "good.csv").write_text("target,condition,seed,mean_return\ncatch,scratch,0,1\n")
    (tmp_path / "bad.csv").write_text("flavor,condition,seed,mean_return\ncatch,scratch,0,1\n")
    (tmp_path / "word.csv").write_text("target,condition,seed,mean_return\ncatch,scratch,first,1\n")
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk/policy.safetensors").write_bytes(b"junk")
    (tmp_path / "alien").mkdir()
    save_file({"w": torch.zeros(2)}, tmp_path / "alien/policy.safetensors")
    # A checkpoint whose description and tensors do not go together.
    source = (pretrained / "checkpoint/policy.safetensors").read_bytes()
    (tmp_path / "bent").mkdir()
    bent = source.replace(b'\\"num_actions\\": 54', b'\\"num_actions\\": 55')
    assert bent != source
    (tmp_path / "bent/policy.safetensors").write_bytes(bent)
    return tmp_path


def words_of(line: str, finished: Path) -> list[str]:
    """Split a line of WRONG; & stands for a blank within a word."""
    places = {"FINISHED": finished, "PRETRAINED": finished / "runs/catch/pretrain/seed0"}
    return [str(places.get(word, word.replace("&", " "))) for word in line.split()]


def check_refusal(spoken: Spoken, said: list[str]) -> None:
    assert spoken.status == 2, spoken
    assert spoken.out == ""
    assert spoken.err.count("\n") == 1, spoken.err
    assert spoken.err.startswith("thaw: ")
    assert "Traceback" not in spoken.err
    for words in said:
        assert words in spoken.err


@pytest.mark.parametrize(("line", "said"), WRONG, ids=[line or "nothing" for line, _ in WRONG])
def test_wrong_input_is_one_line_and_nothing_is_written(
    line: str, said: list[str], say: Say, littered: Path, finished: Path
) -> None:
    before, suite_before = listing(littered), listing(finished)
    check_refusal(say(*words_of(line, finished)), said)
    assert listing(littered) == before
    assert listing(finished) == suite_before


def test_wrong_input_is_refused_by_the_installed_command_too(
    littered: Path, finished: Path
) -> None:
    sample = (
        "run tiny.yaml --out x --seedz 2",
        "run tiny.yaml --out x --set environment.downsampel=2",
        "run tiny.yaml --out foreign",
        "transfer PRETRAINED catch?num_actions=56 --rule update_all --out x --steps 9",
        "report --scores bad.csv --out x",
    )
    before = listing(littered)
    for line, said in WRONG:
        if line in sample:
            check_refusal(thaw_command(*words_of(line, finished), cwd=littered), said)
    assert listing(littered) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    "line",
    [
        "run tiny.yaml --out x --device cuda",
        "train catch --out x --steps 9 --device cuda",
        "evaluate random catch --device cuda",
    ],
)
def test_a_gpu_that_is_not_there_is_said(line: str, say: Say, littered: Path) -> None:
    before = listing(littered)
    check_refusal(say(*line.split()), ["device 'cuda' is not there (no usable CUDA GPU); use cpu"])
    assert listing(littered) == before


@pytest.mark.parametrize("name", ["run.json", "result.json"])
def test_a_broken_file_of_a_run_is_named(
    name: str, say: Say, finished: Path, tiny: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "suite")
    (tmp_path / "suite/runs/catch/pretrain/seed0" / name).write_text("{")
    before = listing(tmp_path)
    check_refusal(
        say("run", tiny, "--out", "suite"), [f"pretrain/seed0/{name} is broken", "delete"]
    )
    assert listing(tmp_path) == before


def test_a_reader_that_leaves_early_is_no_error_worth_a_traceback(tmp_path: Path) -> None:
    with thaw_process("plan", "catch-paper", cwd=tmp_path) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
