from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from thaw.config.errors import InputError
from thaw.config.strict import to_yaml
from thaw.config.suite import Suite
from thaw.experiment.plan import plan
from thaw.experiment.reporting import report_suite
from thaw.experiment.results import CURVE_COLUMNS, SCORE_COLUMNS, load_results
from thaw.experiment.suite_folder import SuiteFolder
from thaw.experiment.suites import load_suite
from thaw.files.atomic import StoreMismatch
from thaw.files.run_folder import RunFolder

PRETRAIN = "runs/catch/pretrain/seed0"
TARGET = "runs/catch@large_ball"


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A finished suite to break."""
    return Path(shutil.copytree(finished, tmp_path / "copied"))


def suite_of(folder: Path, *overrides: str) -> Suite:
    return load_suite(folder / "suite.yaml", overrides)


def test_scores_and_curves_are_derived_again_after_deletion(copied: Path) -> None:
    before = {name: (copied / name).read_bytes() for name in ("scores.csv", "curves.csv")}
    for name in before:
        (copied / name).unlink()
    results = load_results(copied)
    assert {name: (copied / name).read_bytes() for name in before} == before
    assert tuple(results.scores.columns) == SCORE_COLUMNS
    assert tuple(results.curves.columns) == CURVE_COLUMNS


def test_every_score_is_its_run_s_result(finished: Path) -> None:
    scores = pd.read_csv(finished / "scores.csv").set_index("key")
    assert len(scores) == 7
    for key, row in scores.iterrows():
        result = json.loads((finished / "runs" / str(key) / "result.json").read_text())
        assert row["mean_return"] == result["mean_return"]
        assert row["evaluation_mean_return"] == result["evaluation"]["mean_return"]
        if result["training"] is not None:
            assert row["training_mean_return"] == result["training"]["mean_return"]
            assert row["mean_return"] == row["training_mean_return"]
        else:
            assert row["mean_return"] == row["evaluation_mean_return"]
        if result["source_evaluation"] is not None:
            assert row["source_mean_return"] == result["source_evaluation"]["mean_return"]
        assert row["frames"] == 8 * row["steps"]


def test_curves_are_means_of_the_training_episodes_of_each_bin(finished: Path) -> None:
    curves = pd.read_csv(finished / "curves.csv")
    trained = {"pretrain", "scratch", "update_all", "freeze_embedding", "freeze_head"}
    assert set(curves["condition"]) == trained
    curve = curves[curves["condition"] == "scratch"].set_index("steps")
    episodes = pd.read_csv(finished / TARGET / "scratch/seed0/episodes.csv")
    episodes = episodes[episodes["phase"] == "training"]
    assert curve["num_episodes"].sum() == len(episodes)
    assert set(curve.index) <= {90, 180, 270, 360}  # four bins of 360 steps
    for edge, row in curve.iterrows():
        within = episodes[(episodes["step"] > int(str(edge)) - 90) & (episodes["step"] <= edge)]
        assert row["mean_return"] == pytest.approx(within["return"].mean())
        assert row["frames"] == 8 * int(str(edge))


def test_a_diverged_run_is_marked_in_scores_page_and_table(copied: Path) -> None:
    assert not pd.read_csv(copied / "scores.csv")["diverged"].any()
    assert "iverged" not in (copied / "report/table.md").read_text()
    run = copied / TARGET / "scratch/seed0"
    result = json.loads((run / "result.json").read_text())
    RunFolder(run).finish(result | {"diverged": True})
    report_suite(copied)
    scores = pd.read_csv(copied / "scores.csv").set_index("key")
    assert list(scores.index[scores["diverged"]]) == ["catch@large_ball/scratch/seed0"]
    last = (copied / "report/table.md").read_text().splitlines()[-1]
    assert last == "Diverged (weights beyond all bounds): catch@large_ball scratch seed 0."
    assert (copied / "report/index.html").read_text().count("(diverged)</th>") == 1


def test_a_run_that_is_not_done_has_no_rows(copied: Path) -> None:
    (copied / TARGET / "scratch/seed0/result.json").unlink()
    results = load_results(copied)
    assert "scratch" not in set(results.scores["condition"]) | set(results.curves["condition"])
    assert len(results.scores) == 6


def test_status_tells_done_failed_started_and_waiting(copied: Path) -> None:
    folder = SuiteFolder(copied)
    (copied / TARGET / "scratch/seed0/result.json").unlink()
    (copied / TARGET / "scratch/seed0/error.txt").write_text(
        'Traceback (most recent call last):\n  File "x.py", line 1, in f\n    f()\n    ^^^\n'
        "RuntimeError: out of\nmemory\n"
    )
    (copied / TARGET / "update_all/seed0/result.json").unlink()
    shutil.rmtree(copied / TARGET / "freeze_all/seed0")
    rows = {run.key: folder.describe(run) for run in folder.plan().runs}
    failed = rows["catch@large_ball/scratch/seed0"]
    assert (failed["status"], failed["error"]) == ("failed", "RuntimeError: out of memory")
    started = rows["catch@large_ball/update_all/seed0"]
    assert (started["status"], started["steps"], started["total_steps"]) == ("started", 360, 360)
    waiting = rows["catch@large_ball/freeze_all/seed0"]
    assert (waiting["status"], waiting["steps"], waiting["mean_return"]) == ("waiting", 0, None)
    assert rows["catch/pretrain/seed0"]["status"] == "done"


def test_the_same_suite_and_a_wider_one_are_welcome(copied: Path) -> None:
    folder = SuiteFolder(copied)
    for overrides in ([], ["seeds=3"], ["conditions=[scratch]"], ["report.num_bins=3"]):
        folder.check(plan(suite_of(copied, *overrides)))


@pytest.mark.parametrize(
    ("override", "differing"),
    [
        ("agent.discount=0.5", "in catch/pretrain/seed0 differ agent.discount"),
        ("pretrain_steps=500", "in catch/pretrain/seed0 differ steps"),
        ("transfer_steps=500", "in catch@large_ball/scratch/seed0 differ steps"),
        ("environment.num_envs=8", "differ environment.num_envs"),
        ("environment.ball_speed=2", "differ environment.ball_speed"),
    ],
)
def test_another_configuration_is_refused_by_name(
    copied: Path, override: str, differing: str
) -> None:
    with pytest.raises(StoreMismatch) as caught:
        SuiteFolder(copied).check(plan(suite_of(copied, override)))
    assert differing in str(caught.value)


def test_runs_that_the_present_suite_leaves_out_still_count(copied: Path) -> None:
    # Narrowed to one condition, then widened again with other settings: the runs of the first
    # time are still there, and must not pass for runs of the third.
    folder = SuiteFolder(copied)
    folder.begin(suite_of(copied, "conditions=[random]"))
    wider = suite_of(copied, "conditions=[random, scratch]", "transfer_steps=500")
    with pytest.raises(StoreMismatch, match=r"scratch/seed0 differ steps"):
        folder.check(plan(wider))


@pytest.mark.parametrize("name", ["run.json", "result.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_broken_file_makes_its_run_damaged_and_never_done(
    copied: Path, name: str, text: str
) -> None:
    (copied / PRETRAIN / name).write_text(text)
    folder = SuiteFolder(copied)
    folder.check(plan(suite_of(copied)))
    run = folder.plan().runs[0]
    assert folder.status(run) == "damaged"
    assert f"pretrain/seed0/{name} is" in str(folder.describe(run)["error"])


def test_a_broken_suite_yaml_is_an_error(copied: Path) -> None:
    (copied / "suite.yaml").write_text("name: [")
    with pytest.raises(InputError, match=r"suite.yaml: not valid YAML: line 1"):
        load_results(copied)


def test_a_folder_that_is_none_of_ours_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="does not exist"):
        load_results(tmp_path / "none")
    with pytest.raises(InputError, match="is a file, not a folder"):
        load_results(tmp_path / "file")
    with pytest.raises(InputError, match=r"holds no|has no suite\.yaml"):
        load_results(tmp_path)
    with pytest.raises(StoreMismatch, match=r"not empty and holds no suite\.yaml"):
        SuiteFolder(tmp_path).check(plan(load_suite("catch-quick")))


def test_a_suite_s_folder_repeats_itself(finished: Path) -> None:
    suite = suite_of(finished)
    assert to_yaml(suite) == (finished / "suite.yaml").read_text()
    keys = {run.key for run in SuiteFolder(finished).plan().runs}
    assert keys == {str(path.parent.relative_to(finished / "runs")) for path in
                    finished.rglob("run.json")}  # fmt: skip
