"""Scores and curves, derived from run folders."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from thaw.experiment.reporting import report_suite
from thaw.experiment.results import CURVE_COLUMNS, SCORE_COLUMNS, load_results
from thaw.files.run_folder import RunFolder

TARGET = "runs/catch@large_ball"


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
    assert len(scores) == 8
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
    assert len(results.scores) == 7
