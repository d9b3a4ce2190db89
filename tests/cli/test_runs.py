"""The commands for one run at a time: train, transfer, evaluate, record."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import command_line
import pytest
from command_line import Say, listing, thaw_command, thaw_process
from refusals import check_refusal, check_refused_and_unwritten

SMALL = (
    "--set", "environment.downsample=16", "--set", "environment.frames_per_step=8",
    "--set", "environment.num_envs=4", "--set", "agent.embedding=impala_shallow",
    "--set", "agent.unroll_length=10", "--set", "agent.lstm_size=16",
    "--set", "agent.fc_size=16", "--set", "evaluation.episodes=4",
)  # fmt: skip


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


@pytest.mark.slow
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


def test_a_policy_is_not_moved_to_other_buttons(say: Say, tmp_path: Path) -> None:
    pytest.importorskip("envpool")
    small = [
        "--set", "agent.embedding=mlp", "--set", "agent.lstm_size=8", "--set", "agent.fc_size=8",
        "--set", "environment.num_envs=2", "--set", "evaluation.episodes=1",
        "--set", "environment.max_episode_steps=5",
    ]  # fmt: skip
    source = "minigrid/MiniGrid-Empty-5x5-v0"
    assert say("train", source, "--out", "run", "--steps", 40, *small).status == 0
    before = listing(tmp_path)
    target = "minigrid/MiniGrid-Dynamic-Obstacles-5x5-v0"
    for command in (
        ["transfer", "run", target, "--rule", "update_all", "--steps", 40, "--out", "out"],
        ["evaluate", "run", target],
        ["record", "run", target, "--out", "film.mp4"],
    ):
        check_refusal(say(*command), ["has pickup, drop, toggle, done"])
    assert listing(tmp_path) == before


def test_one_episode_has_no_standard_error(say: Say) -> None:
    one = say("evaluate", "random", "catch", "--episodes", 1)
    assert re.fullmatch(r"-?1\.00 \(return of 1 episode\)\n", one.out)
    two = say("evaluate", "random", "catch", "--episodes", 2)
    assert " +- " in two.out
    assert two.out.endswith(" (mean and standard error of 2 episodes)\n")


WRONG: list[tuple[str, list[str]]] = [
    ("train cathc --out x --steps 9", ["unknown family 'cathc'", "did you mean 'catch'?"]),
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
    (
        "transfer none catch --rule freeze_all --out x --steps 9",
        ["'none' does not exist. Allowed: a run's folder or its checkpoint folder"],
    ),
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
    (
        "transfer PRETRAINED gym/CartPole-v1 --rule update_all --out x --steps 9",
        ["'downsample'", "the checkpoint's, which was trained in 'catch'; a policy moves only to"],
    ),
    ("evaluate PRETRAINED gym/CartPole-v1", ["has no option", "which was trained in 'catch'"]),
    ("record random catch --out film.mp4/", ["--out film.mp4/ is not an .mp4 file"]),
    ("record random catch --out film.gif", ["--out film.gif is not an .mp4 file"]),
    (
        "evaluate none catch",
        ["checkpoint 'none' does not exist. Allowed: a run's", "or the word random"],
    ),
    ("evaluate randm catch", ["'randm' does not exist; did you mean 'random'?"]),
    ("record randm catch --out film.mp4", ["'randm' does not exist; did you mean 'random'?"]),
    ("evaluate junk catch", ["junk/policy.safetensors is not a readable safetensors file"]),
    ("evaluate alien catch", ["alien/policy.safetensors was not written by thaw"]),
    ("evaluate bent catch", ["does not fit its own description"]),
    ("evaluate PRETRAINED catch?num_actions=56", ["54", "56"]),
    ("evaluate random catch --episodes 0", ["--episodes is 0; it must be at least 1"]),
    ("evaluate random catch --seed -1", ["--seed is -1; it must be at least 0"]),
    ("evaluate random catch --set num_env=4", ["unknown key 'num_env'", "'num_envs'?"]),
    ("evaluate random catch --set num_envs=x", ["num_envs is 'x'; it must be a whole number"]),
    ("evaluate random catch --set drawn_on=cpu", ["environment.drawn_on cannot be set"]),
    ("evaluate random catch --set seed=1", ["environment.seed cannot be set"]),
    ("evaluate random catch --set downsampel=2", ["did you mean 'downsample'?"]),
    ("evaluate random catch@a@b", ["not of the form family/name@variant, as in 'catch@large"]),
]  # fmt: skip


@pytest.mark.parametrize(("line", "said"), WRONG, ids=[line or "nothing" for line, _ in WRONG])
def test_wrong_input_is_one_line_and_nothing_is_written(
    line: str, said: list[str], say: Say, littered: Path, finished: Path
) -> None:
    check_refused_and_unwritten(line, said, say, littered, finished)
