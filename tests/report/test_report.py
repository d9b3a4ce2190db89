from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from make_golden import ATARI, CATCH, GOLDEN, KEPT, build, make_atari, make_catch

from thaw.report.scores import infer_spec, read_scores
from thaw.report.spec import ReportSpec
from thaw.report.write import write_report

SPECS = {"catch": CATCH, "atari": ATARI}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of each stored set of runs, written once."""
    folders = {name: tmp_path_factory.mktemp(name) for name in SPECS}
    return {name: build(name, SPECS[name], folder).parent for name, folder in folders.items()}


@pytest.mark.parametrize("name", list(SPECS))
@pytest.mark.parametrize("kept", KEPT)
def test_stored_runs_give_the_stored_report(reports: dict[str, Path], name: str, kept: str) -> None:
    made = (reports[name] / kept).read_text(encoding="utf-8")
    assert made == (GOLDEN / name / kept).read_text(encoding="utf-8")


def test_the_stored_runs_are_what_their_generator_makes() -> None:
    scores, curves = make_catch()
    for frame, path in [
        (scores, "catch/scores.csv"),
        (curves, "catch/curves.csv"),
        (make_atari(), "atari/scores.csv"),
    ]:
        text = frame.to_csv(index=False, lineterminator="\n")
        assert text == (GOLDEN / path).read_text(encoding="utf-8"), path


def test_every_file_is_there_and_nothing_else(reports: dict[str, Path]) -> None:
    texts = {"index.html", "metrics.csv", "metrics.json", "table.csv", "table.md", "table.tex"}
    texts |= {"card.json", "profiles.csv", "card.md"}
    kinds = ("svg", "pdf", "png")
    finals = {f"figures/final_returns.{kind}" for kind in kinds}
    curves = {f"figures/learning_curves.{kind}" for kind in kinds}
    for name, extra in [("catch", curves), ("atari", set[str]())]:
        folder = reports[name]
        files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        assert files == texts | {"table_source.csv"} | finals | extra


def test_the_same_runs_give_the_same_report(reports: dict[str, Path], tmp_path: Path) -> None:
    build("atari", ATARI, tmp_path)
    for path in reports["atari"].rglob("*"):
        if path.is_file():
            again = tmp_path / path.relative_to(reports["atari"])
            assert again.read_bytes() == path.read_bytes(), path


def test_every_number_of_the_table_is_in_metrics_csv(reports: dict[str, Path]) -> None:
    metrics = pd.read_csv(reports["catch"] / "metrics.csv")
    row = metrics[
        (metrics["target"] == "catch@red_background")
        & (metrics["condition"] == "freeze_head")
        & (metrics["metric"] == "return")
    ].iloc[0]
    cell = f"{row['mean']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}] (3 of 5 seeds)"
    assert cell in (reports["catch"] / "table.csv").read_text(encoding="utf-8")
    raw = pd.read_csv(GOLDEN / "catch" / "scores.csv")
    runs = raw[(raw["target"] == row["target"]) & (raw["condition"] == "freeze_head")]
    assert row["mean"] == pytest.approx(runs["mean_return"].mean(), rel=1e-5)


def test_json_holds_the_verdicts(reports: dict[str, Path]) -> None:
    document = json.loads((reports["catch"] / "metrics.json").read_text(encoding="utf-8"))
    best = {verdict["target"]: verdict["best"] for verdict in document["verdicts"]}
    assert best["catch@large_ball"] == "freeze_head"
    assert best["catch@red_background"] == "update_all"
    assert len(document["metrics"]) == len(pd.read_csv(reports["catch"] / "metrics.csv"))


def test_curves_of_an_earlier_report_do_not_stay(reports: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(reports["catch"], tmp_path / "report")
    scores = read_scores(GOLDEN / "catch" / "scores.csv")
    write_report(scores, None, CATCH, tmp_path / "report")
    left = {path.name for path in (tmp_path / "report" / "figures").iterdir()}
    assert left == {"final_returns.svg", "final_returns.pdf", "final_returns.png"}


def test_a_report_of_nothing_says_that_all_is_missing(tmp_path: Path) -> None:
    scores = pd.DataFrame(columns=["target", "condition", "seed", "mean_return"])
    spec = ReportSpec("n", (("a", "b"),), ("scratch", "update_all"), (0, 1))
    write_report(scores, scores.assign(steps=[]), spec, tmp_path)
    table = (tmp_path / "table.csv").read_text(encoding="utf-8")
    assert table == "condition,b\nFrom scratch,missing\nUpdate all,missing\n"
    assert "4 planned runs are missing" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_scores_of_someone_else_give_a_report(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text(
        "target,condition,seed,mean_return\n"
        "pong,update_all,0,10\npong,update_all,1,12\npong,update_all,2,11\n"
        "pong,scratch,0,1\npong,scratch,1,2\npong,scratch,2,1.5\n"
    )
    scores = read_scores(path)
    index = write_report(scores, None, infer_spec(scores, "theirs"), tmp_path / "out")
    assert "On pong: Update all won" in index.read_text(encoding="utf-8")
    table = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    assert "on the source" not in table  # nothing was measured there


def test_a_duplicate_run_is_refused_whoever_brings_it(tmp_path: Path) -> None:
    scores = read_scores(GOLDEN / "atari" / "scores.csv")
    with pytest.raises(ValueError, match="repeats a run"):
        write_report(pd.concat([scores, scores.iloc[:1]]), None, ATARI, tmp_path)


def test_a_report_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    scores = read_scores(GOLDEN / "atari" / "scores.csv")
    index = write_report(scores, None, ATARI, tmp_path)
    before = index.read_bytes()
    curves = pd.DataFrame({"target": ["a"], "condition": ["scratch"], "seed": ["x"]})
    with pytest.raises(ValueError, match="'steps' is missing"):
        write_report(scores.iloc[:3], curves, ATARI, tmp_path)
    assert index.read_bytes() == before


def test_the_report_needs_neither_torch_nor_pyplot() -> None:
    code = (
        "import sys, thaw.report; "
        "print([name for name in ('torch', 'gymnasium', 'ray', 'thaw.training.run', 'thaw.envs', "
        "'matplotlib.pyplot') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
