"""A suite whose conditions also start from milestones: its runs, its tables and its report."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from command_line import TINY, Say

from thaw.config.runtime import Runtime
from thaw.config.strict import from_plain, parse_yaml
from thaw.config.suite import Suite
from thaw.experiment.execute import prepare
from thaw.experiment.one_run import run_one
from thaw.experiment.published import publish_suite
from thaw.experiment.reporting import report_suite
from thaw.experiment.results import SOURCE_STEPS_FILE, load_results
from thaw.files.policy_file import POLICY_FILE
from thaw.files.run_folder import RunFolder

TARGET = "catch@large_ball"
CHANGES = {"milestones": 3, "source_steps": "all", "conditions": ["random", "freeze_all"]}


@pytest.fixture(scope="module")
def by_step(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished suite that asks how much pretraining is enough."""
    folder = tmp_path_factory.mktemp("by_step")
    suite = from_plain(parse_yaml(TINY) | CHANGES, Suite, "test")
    for run in prepare(suite, folder, "cpu").runs:
        done = run_one(folder, key=run.key, index=None, runtime=Runtime(), trust_code=False)
        assert done.status == "done"
    return folder


def policy_of(folder: Path) -> bytes:
    return (folder / POLICY_FILE).read_bytes()


def test_each_run_starts_from_its_own_policy(by_step: Path) -> None:
    pretraining = RunFolder(by_step / "runs/catch/pretrain/seed0")
    for step in (4, 40):
        moved = RunFolder(by_step / f"runs/{TARGET}/freeze_all-after-{step}/seed0")
        assert policy_of(moved.checkpoint) == policy_of(pretraining.milestones.find(step))
    final = RunFolder(by_step / f"runs/{TARGET}/freeze_all/seed0")
    assert policy_of(final.checkpoint) == policy_of(pretraining.checkpoint)
    assert policy_of(final.checkpoint) == policy_of(pretraining.milestones.find(400))


def test_the_tables_of_a_report_have_only_runs_from_the_final_policy(by_step: Path) -> None:
    results = load_results(by_step)
    moved = results.scores[results.scores["condition"] == "freeze_all"]
    assert list(moved["key"]) == [f"{TARGET}/freeze_all/seed0"]
    assert results.source_steps is not None
    keys = dict(zip(results.source_steps["source_step"], results.source_steps["key"], strict=True))
    assert keys == {
        4: f"{TARGET}/freeze_all-after-4/seed0",
        40: f"{TARGET}/freeze_all-after-40/seed0",
        400: f"{TARGET}/freeze_all/seed0",
    }


def test_the_report_shows_the_return_by_the_amount(by_step: Path) -> None:
    reported = report_suite(by_step)
    out = reported.page.parent
    rows = pd.read_csv(out / "pretraining.csv")
    scores = pd.read_csv(by_step / SOURCE_STEPS_FILE)
    assert list(rows["source_step"]) == [4, 40, 400]
    means = scores.set_index("source_step")["mean_return"]
    assert list(rows["mean"]) == [means[step] for step in (4, 40, 400)]
    page = reported.page.read_text()
    assert '<h2 id="how-much-pretraining">' in page
    assert "Freeze all: not decided; there are too few finished runs for an interval." in page
    assert (out / "figures/pretraining.svg").read_bytes().startswith(b"<?xml")


def test_a_published_folder_keeps_the_amounts(by_step: Path, tmp_path: Path) -> None:
    publish_suite([by_step], tmp_path)
    ours, theirs = load_results(tmp_path).source_steps, load_results(by_step).source_steps
    assert ours is not None
    assert theirs is not None
    columns = ["condition", "seed", "source_step", "mean_return"]
    assert ours[columns].to_dict("records") == theirs[columns].to_dict("records")


def test_a_report_without_milestones_leaves_none_of_an_earlier_one(
    by_step: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(by_step, tmp_path / "copied"))
    report_suite(folder)
    suite = folder / "suite.yaml"
    suite.write_text(suite.read_text().replace("source_steps: all", "source_steps: final"))
    out = report_suite(folder).page.parent
    assert not (folder / SOURCE_STEPS_FILE).exists()
    assert not (out / "pretraining.csv").exists()
    assert list((out / "figures").glob("pretraining.*")) == []
    assert "how-much-pretraining" not in (out / "index.html").read_text()


def test_one_transfer_starts_from_a_milestone(by_step: Path, tmp_path: Path, say: Say) -> None:
    pretraining = by_step / "runs/catch/pretrain/seed0"
    words = ("transfer", pretraining, TARGET, "--rule", "freeze_all", "--steps", 9)
    spoken = say(*words, "--out", tmp_path / "moved", "--source-step", 40)
    assert spoken.status == 0, spoken.err
    moved = RunFolder(tmp_path / "moved")
    assert policy_of(moved.checkpoint) == policy_of(pretraining / "milestones/40")
    assert moved.spec().source_step == 40
    spoken = say(*words, "--out", tmp_path / "none", "--source-step", 41)
    assert spoken.status == 2
    assert spoken.err.endswith("its milestones are: 4, 40, 400\n")
    assert not (tmp_path / "none").exists()


def test_one_training_keeps_milestones(tmp_path: Path, say: Say) -> None:
    spoken = say(
        "train", "catch", "--out", tmp_path / "run", "--steps", 120, "--milestones", 2,
        "--set", "environment={num_envs: 4, downsample: 16, frames_per_step: 16}",
        "--set", "agent.embedding=impala_shallow", "--set", "evaluation.episodes=4",
    )  # fmt: skip
    assert spoken.status == 0, spoken.err
    assert RunFolder(tmp_path / "run").milestones.kept() == [1, 120]
