"""Logs that the real libraries have written become the scores that these libraries report."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import Say, listing, thaw_command
from refusals import check_refusal
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import load_results
from torch.utils.tensorboard import SummaryWriter
from touches import Touches

from thaw.config.errors import InputError
from thaw.report.logs import collect_scores

PATTERN = "{target}/{condition}/seed{seed}"
RUNS = [
    ("PPO scratch", 0), ("PPO scratch", 1), ("fine-tune", 0), ("fine-tune", 1), ("fine-tune", 10),
]  # fmt: skip


def folder_of(root: Path, condition: str, seed: int) -> Path:
    return root / "CartPole-v1" / condition / f"seed{seed}"


@pytest.fixture(scope="module")
def sb3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five short trainings of Stable-Baselines3, with all the logs that it can write."""
    root = tmp_path_factory.mktemp("sb3")
    for condition, seed in RUNS:
        folder = folder_of(root, condition, seed)
        env = make_vec_env("CartPole-v1", n_envs=2, seed=seed, monitor_dir=str(folder))
        model = PPO(
            "MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1, seed=seed, device="cpu",
            tensorboard_log=str(folder / "tensorboard"),
        )  # fmt: skip
        evaluation = make_vec_env("CartPole-v1", n_envs=1, seed=seed)
        callback = EvalCallback(
            evaluation, eval_freq=64, n_eval_episodes=3, log_path=str(folder / "eval"), verbose=0
        )
        model.learn(256, callback=callback)
    return root


def row(frame: pd.DataFrame, condition: str, seed: int) -> pd.Series[float]:
    found = frame[(frame["condition"] == condition) & (frame["seed"] == seed)]
    assert len(found) == 1
    return found.iloc[0]


def test_training_episodes_are_those_of_stable_baselines(sb3: Path) -> None:
    found = collect_scores([sb3], PATTERN, kind="monitor")
    assert list(found.scores) == [
        "target", "condition", "seed", "mean_return", "sem", "num_episodes", "steps",
    ]  # fmt: skip
    assert len(found.scores) == len(RUNS)
    for condition, seed in RUNS:
        theirs = load_results(str(folder_of(sb3, condition, seed)))
        ours = row(found.scores, condition, seed)
        assert ours["mean_return"] == pytest.approx(theirs["r"].mean())
        assert ours["sem"] == pytest.approx(theirs["r"].sem())
        assert ours["num_episodes"] == len(theirs)
        assert ours["steps"] == theirs["l"].sum()
        curve = found.curves[
            (found.curves["condition"] == condition) & (found.curves["seed"] == seed)
        ]
        first = theirs["r"][theirs["l"].cumsum() <= curve["steps"].iloc[0]]
        assert curve["mean_return"].iloc[0] == pytest.approx(first.mean())


def test_only_the_last_hundred_episodes_count(tmp_path: Path) -> None:
    rows = "".join(f"{n},2,{n}\n" for n in range(150))
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/0.monitor.csv").write_text('#{"t_start": 0}\nr,l,t\n' + rows)
    found = collect_scores([tmp_path], "{target}/{condition}", fixed={"seed": "3"})
    assert found.scores["mean_return"].tolist() == [np.mean(range(50, 150))]
    assert found.scores["seed"].tolist() == [3]
    assert found.scores["steps"].tolist() == [300]
    shorter = collect_scores([tmp_path], "{target}/{condition}", fixed={"seed": "3"}, last=10)
    assert shorter.scores["mean_return"].tolist() == [np.mean(range(140, 150))]


def test_episodes_of_several_environments_are_sorted_by_the_clock(tmp_path: Path) -> None:
    """The files began at different times, so the times in their rows cannot be compared."""
    folder = tmp_path / "a/b/seed0"
    folder.mkdir(parents=True)
    (folder / "0.monitor.csv").write_text('#{"t_start": 100}\nr,l,t\n1,10,5\n3,10,20\n')
    (folder / "1.monitor.csv").write_text('#{"t_start": 110}\nr,l,t\n2,5,1\n')
    found = collect_scores([tmp_path], PATTERN)
    assert found.curves["mean_return"].tolist() == [1.0, 2.0, 3.0]
    assert found.curves["steps"].tolist() == [10, 15, 25]


def test_a_training_that_was_continued_in_the_same_file_goes_on_after_its_last_row(
    tmp_path: Path,
) -> None:
    """``Monitor(override_existing=False)`` writes no second first line, and times from 0."""
    sessions = [f"{value},10,{n}\n" for value in (0, 100) for n in range(1, 201)]
    (tmp_path / "a/b/seed0").mkdir(parents=True)
    log = tmp_path / "a/b/seed0/0.monitor.csv"
    log.write_text('#{"t_start": 100}\nr,l,t\n' + "".join(sessions))
    found = collect_scores([tmp_path], PATTERN)
    assert found.scores["mean_return"].tolist() == [100.0]
    assert found.curves["mean_return"].is_monotonic_increasing


def test_evaluations_give_the_last_evaluation(sb3: Path) -> None:
    found = collect_scores([sb3], PATTERN, kind="evaluations")
    for condition, seed in RUNS:
        with np.load(folder_of(sb3, condition, seed) / "eval/evaluations.npz") as file:
            steps, results = file["timesteps"], file["results"]
        ours = row(found.scores, condition, seed)
        assert ours["mean_return"] == pytest.approx(results[-1].mean())
        assert ours["sem"] == pytest.approx(results[-1].std(ddof=1) / 3**0.5)
        assert (ours["num_episodes"], ours["steps"]) == (3, steps[-1])
        curve = found.curves[
            (found.curves["condition"] == condition) & (found.curves["seed"] == seed)
        ]
        assert curve["steps"].tolist() == steps.tolist()
        assert curve["mean_return"].tolist() == pytest.approx(results.mean(axis=1).tolist())


def test_tensorboard_says_the_same_as_the_evaluations(sb3: Path) -> None:
    evaluations = collect_scores([sb3], PATTERN, kind="evaluations").scores
    events = collect_scores(
        [sb3], PATTERN, kind="tensorboard", value="eval/mean_reward"
    ).scores  # fmt: skip
    assert events["mean_return"].to_numpy() == pytest.approx(
        evaluations["mean_return"].to_numpy(), rel=1e-6
    )
    assert events["sem"].isna().all(), "an event file does not say it"


def test_events_of_cleanrl_are_episodes(tmp_path: Path) -> None:
    """CleanRL's folders, from its own writer; a run that was continued has two files."""
    for seed in (1, 2):
        folder = tmp_path / f"runs/CartPole-v1__ppo__{seed}__17000000{seed}"
        for part in (0, 1):
            writer = SummaryWriter(str(folder), filename_suffix=f".{part}")
            for n in range(10 * part, 10 * part + 10):
                writer.add_scalar("charts/episodic_return", seed * 100 + n, 50 * (n + 1))
                writer.add_scalar("charts/learning_rate", 1.0, 50 * (n + 1))
            writer.close()
    found = collect_scores([tmp_path / "runs"], "{target}__{condition}__{seed}__*")
    assert found.scores["mean_return"].tolist() == [109.5, 209.5]
    assert found.scores["num_episodes"].tolist() == [20, 20]
    assert found.scores["steps"].tolist() == [1000, 1000]
    assert found.curves["steps"].nunique() == 20


WANDB = (
    '"Step","CartPole-v1__ppo__1 - charts/episodic_return",'
    '"CartPole-v1__ppo__1 - charts/episodic_return__MIN",'
    '"CartPole-v1__ppo__1 - charts/episodic_return__MAX",'
    '"CartPole-v1__ppo__2 - charts/episodic_return",'
    '"CartPole-v1__ppo__2 - charts/episodic_return__MIN",'
    '"CartPole-v1__ppo__2 - charts/episodic_return__MAX"\n'
    '"100","10","10","10","","",""\n"200","20","0","40","30","30","30"\n'
)


def test_an_export_of_weights_and_biases_has_a_column_for_each_run(tmp_path: Path) -> None:
    (tmp_path / "wandb_export.csv").write_text(WANDB)
    found = collect_scores([tmp_path], "{target}__{condition}__{seed}")
    assert found.kind == "wandb"
    assert found.scores["mean_return"].tolist() == [15.0, 30.0]
    assert found.curves[["seed", "steps"]].to_numpy().tolist() == [[1, 100], [1, 200], [2, 200]]


def test_a_csv_file_of_one_run_and_one_of_many(tmp_path: Path) -> None:
    (tmp_path / "a/b/seed0").mkdir(parents=True)
    (tmp_path / "a/b/seed0/log.csv").write_text(
        "time/total_timesteps,rollout/ep_rew_mean,loss\n10,1,0.5\n20,,0.4\n30,3,0.3\n"
    )
    one = collect_scores([tmp_path], PATTERN)
    assert one.scores["mean_return"].tolist() == [3.0]
    assert one.curves["steps"].tolist() == [10, 30]
    many = tmp_path / "episodes.csv"
    many.write_text(
        "target,condition,seed,global_step,episodic_return\nA,x,0,5,1\nA,x,1,5,2\nA,x,0,9,3\n"
    )
    found = collect_scores([many], PATTERN)
    assert found.scores["mean_return"].tolist() == [2.0, 2.0]
    many.unlink()
    own = collect_scores([tmp_path], PATTERN, value="loss", last=2).scores
    assert own["mean_return"].tolist() == [pytest.approx(0.35)]


def test_a_source_in_the_pattern_becomes_a_column(tmp_path: Path) -> None:
    folder = tmp_path / "catch-to-pong/ft/seed0"
    folder.mkdir(parents=True)
    (folder / "log.csv").write_text("step,return\n1,2\n")
    found = collect_scores([tmp_path], "{source}-to-{target}/{condition}/seed{seed}")
    assert found.scores[["source", "target"]].to_numpy().tolist() == [["catch", "pong"]]
    assert "source" in found.curves


def test_from_logs_to_a_report_in_two_commands(sb3: Path, tmp_path: Path, say: Say) -> None:
    spoken = say(
        "scores", sb3, "--pattern", PATTERN, "--kind", "monitor", "--out", "made/scores.csv"
    )
    assert (spoken.status, spoken.err) == (0, "")
    command = spoken.out.splitlines()[-1].split()
    assert command[:2] == ["thaw", "report"]
    reported = say(*command[1:], "--baseline", "PPO scratch")
    assert reported.status == 0, reported.err
    assert "fine-tune" in reported.out
    assert (tmp_path / "report/index.html").is_file()
    assert (tmp_path / "report/figures/learning_curves.png").is_file()


def test_the_command_imports_no_torch(sb3: Path, tmp_path: Path) -> None:
    """With the installed command, and a torch that cannot be imported."""
    (tmp_path / "no/torch").mkdir(parents=True)
    (tmp_path / "no/torch/__init__.py").write_text("raise ImportError('torch was imported')")
    spoken = thaw_command(
        "scores", sb3, "--pattern", PATTERN, "--kind", "tensorboard", "--value", "eval/mean_reward",
        "--out", "scores.csv", cwd=tmp_path, PYTHONPATH=str(tmp_path / "no"),
    )  # fmt: skip
    assert spoken.status == 0, spoken.err


def test_files_that_do_not_fit_are_counted(tmp_path: Path, say: Say) -> None:
    for name in ("a/b/seed0", "old"):
        (tmp_path / "logs" / name).mkdir(parents=True)
        (tmp_path / "logs" / name / "log.csv").write_text("step,return\n1,2\n")
    spoken = say("scores", "logs", "--out", "scores.csv")
    assert spoken.status == 0
    assert spoken.err == "thaw: 1 files do not fit the pattern, such as old/log.csv\n"


def test_runs_of_unequal_length_are_named(tmp_path: Path, say: Say) -> None:
    for seed, steps in ((0, 1000), (1, 400)):
        (tmp_path / f"logs/a/b/seed{seed}").mkdir(parents=True)
        (tmp_path / f"logs/a/b/seed{seed}/log.csv").write_text(f"step,return\n{steps},2\n")
    spoken = say("scores", "logs", "--out", "scores.csv")
    assert spoken.status == 0
    assert spoken.err == "thaw: the runs of 'a' end between 400 and 1,000 steps\n"


def test_seed_1_is_not_seed_10(sb3: Path) -> None:
    scores = collect_scores([sb3], PATTERN, kind="monitor").scores
    assert sorted(scores["seed"]) == [0, 0, 1, 1, 10]


def broken(folder: Path, name: str, content: str | bytes) -> list[str]:
    run = folder / "a/b/seed0"
    run.mkdir(parents=True)
    (run / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return [str(folder)]


def pickled(folder: Path) -> list[str]:
    places = broken(folder, "evaluations.npz", "")
    objects = np.array([[Touches(folder / "touched")]], dtype=object)
    np.savez(folder / "a/b/seed0/evaluations.npz", timesteps=[1], results=objects)
    return places


def twice(folder: Path) -> list[str]:
    for name in ("a/b/seed0/x", "a/b/seed0/y"):
        (folder / name).mkdir(parents=True)
        (folder / name / "log.csv").write_text("step,return\n1,2\n")
    return [str(folder)]


WRONG: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "the pattern fits nothing": (
        lambda folder: [
            *broken(folder, "log.csv", "step,return\n1,2\n"),
            "--pattern", "{target}_{condition}_{seed}",
        ],
        "fits none of 1 files, such as a/b/seed0/log.csv",
    ),
    "a field is missing": (
        lambda folder: [str(folder), "--pattern", "{target}/{condition}"],
        "has no field {seed}",
    ),
    "a field is unknown": (
        lambda folder: [str(folder), "--pattern", "{target}/{condition}/{seeds}"],
        "has the field {seeds}; did you mean 'seed'",
    ),
    "a field is there twice": (
        lambda folder: [str(folder), "--target", "a"], "target is given twice",
    ),
    "no folder": (lambda folder: [str(folder / "none")], "no such file or folder"),
    "no place": (lambda _: [], "needs DIR or FILE"),
    "no logs": (lambda folder: broken(folder, "model.zip", ""), "found no logs; known are monitor"),
    "an unknown format": (
        lambda folder: [broken(folder, "a.pkl", "")[0] + "/a/b/seed0/a.pkl"], "unknown format",
    ),
    "an unknown kind": (
        lambda folder: [str(folder), "--kind", "monitors"], "did you mean 'monitor'",
    ),
    "a broken monitor": (
        lambda folder: broken(folder, "0.monitor.csv", "r,l,t\n1,2,3\n"), "not a monitor.csv",
    ),
    "broken evaluations": (
        lambda folder: broken(folder, "evaluations.npz", b"PK\x03\x04"), "not an evaluations.npz",
    ),
    "evaluations that are pickled": (pickled, "not an evaluations.npz"),
    "no known column": (
        lambda folder: broken(folder, "log.csv", "step,score\n1,2\n"),
        "no column is known to hold returns; choose one with --value: step, score",
    ),
    "several known columns": (
        lambda folder: broken(folder, "log.csv", "step,return,mean_return\n1,2,3\n"),
        "several columns hold returns; choose one with --value: return, mean_return",
    ),
    "an unknown value without last": (
        lambda folder: [*broken(folder, "log.csv", "step,score\n1,2\n"), "--value", "score"],
        "say with --last how many",
    ),
    "no such value": (
        lambda folder: [*broken(folder, "log.csv", "step,score\n1,2\n"), "--value", "scor"],
        "no column 'scor'; there are step, score",
    ),
    "no steps": (
        lambda folder: broken(folder, "log.csv", "epoch,return\n1,2\n"), "no column of steps",
    ),
    "a word for a number": (
        lambda folder: broken(folder, "log.csv", "step,return\n1,two\n"), "must be finite numbers",
    ),
    "one run in two folders": (twice, "are the same run"),
    "a run of another name in an export": (
        lambda folder: broken(folder, "export.csv", WANDB),
        "does not fit the run 'CartPole-v1__ppo__1'",
    ),
    "an export without the mean of a run": (
        lambda folder: broken(folder, "export.csv", '"Step","a - return__MIN","a - return__MAX"\n'),
        "no column has the values of a run",
    ),
    "no csv file to write": (
        lambda folder: [*broken(folder, "log.csv", "step,return\n1,2\n"), "--curves", "curves"],
        "must end with .csv",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_refused_in_one_line(name: str, tmp_path: Path, say: Say) -> None:
    make, message = WRONG[name]
    (tmp_path / "logs").mkdir()
    arguments = make(tmp_path / "logs")
    before = listing(tmp_path)
    check_refusal(say("scores", *arguments, "--out", "scores.csv"), [message])
    assert listing(tmp_path) == before


def test_no_tensorboard_is_an_error_that_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SummaryWriter(str(tmp_path / "a/b/seed0")).close()
    monkeypatch.setitem(sys.modules, "tensorboard.util.tensor_util", None)
    with pytest.raises(InputError, match=r"pip install 'thaw\[tensorboard\]'"):
        collect_scores([tmp_path], PATTERN)
