"""``thaw.report`` called from Python: the report as an object."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from make_golden import CATCH, GOLDEN

import thaw
import thaw.report.metrics
from thaw.config.errors import InputError
from thaw.report.in_memory import Report
from thaw.report.scores import read_curves, read_scores

SCORES = GOLDEN / "catch" / "scores.csv"
CURVES = GOLDEN / "catch" / "curves.csv"


@pytest.fixture(scope="module")
def made() -> Report:
    return Report(read_scores(SCORES), read_curves(CURVES), CATCH)


def foreign(gap: float = 1.0) -> pd.DataFrame:
    """Two tasks, two conditions and five seeds of another program; all numbers are made up."""
    rows = [
        (task, condition, seed, level * unit + seed * 0.1 * unit)
        for task, unit in (("ALE/Pong-v5", 1.0), ("ALE/Breakout-v5", 10.0))
        for condition, level in (("PPO scratch", 5.0), ("ppo_finetune", 5.0 + gap))
        for seed in range(5)
    ]
    return pd.DataFrame(rows, columns=["target", "condition", "seed", "mean_return"])


def test_the_package_can_be_called_and_stays_a_package() -> None:
    code = f"""
import importlib
import thaw.report
made = thaw.report(scores={str(SCORES)!r})
import thaw.report.metrics
from thaw.report.metrics import metrics_frame
assert thaw.report.metrics.metrics_frame is metrics_frame is thaw.report.metrics_frame
assert len(thaw.report.metrics.metrics_frame(made.scores, made.spec)) > 10
assert thaw.report.verdict.verdicts(made.scores, made.spec) == made.verdicts
importlib.reload(thaw.report)
assert callable(thaw.report)
print(type(thaw.report).__mro__[1].__name__, thaw.report.__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "module thaw.report\n"


def test_the_call_has_a_signature_to_read() -> None:
    names = list(inspect.signature(thaw.report).parameters)
    assert names == list(inspect.signature(thaw.report.report).parameters)
    assert names[:5] == ["folder", "scores", "curves", "baseline", "normalize"]


def test_a_suites_folder_gives_its_report(finished: Path, tmp_path: Path) -> None:
    before = (finished / "scores.csv").stat().st_mtime_ns
    made = thaw.report(finished)
    assert (finished / "scores.csv").stat().st_mtime_ns == before  # it only reads
    assert made.page is None
    assert made.spec.name == "tiny"
    assert made.curves is not None
    page = made.write(tmp_path / "out")
    assert page == made.page == tmp_path / "out" / "index.html"
    again = (finished / "report" / "metrics.csv").read_bytes()
    assert (tmp_path / "out" / "metrics.csv").read_bytes() == again
    assert [v.target for v in made.verdicts] == ["catch@large_ball"]


def test_the_object_has_the_numbers_of_the_files(made: Report, tmp_path: Path) -> None:
    made.write(tmp_path)
    stored = pd.read_csv(tmp_path / "metrics.csv")
    assert made.metrics["mean"].to_list() == pytest.approx(
        stored["mean"].to_list(), rel=1e-5, nan_ok=True
    )
    document = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert len(document["aggregates"]) == len(made.aggregates) > 0
    assert [v["sentence"] for v in document["verdicts"]] == [v.sentence for v in made.verdicts]
    assert str(made.table()) in (tmp_path / "table.md").read_text(encoding="utf-8")
    source = made.table("return_on_source")
    assert source.title == "Mean return back on the source flavor, after the transfer"


def test_it_draws_curves_or_final_returns(made: Report) -> None:
    assert made.plot().axes[0].get_ylabel() == "Return"
    assert made.plot("final_returns").axes[0].get_xlabel() != "Agent steps after transfer"
    bare = Report(made.scores, None, CATCH)
    assert len(bare.plot().axes) == 4
    with pytest.raises(InputError, match="no learning curves"):
        bare.plot("learning_curves")


def test_a_prompt_and_a_notebook_show_the_verdicts(made: Report) -> None:
    text, html = repr(made), made._repr_html_()
    assert text.startswith("Report of catch-sample: 4 transfers, 6 conditions, 5 seeds\n")
    for verdict in made.verdicts:
        assert verdict.sentence in text
    assert html.count("<svg") == 1
    assert html.count("<tr>") == 7
    assert "<b>" in html
    assert made.table()._repr_markdown_() == str(made.table())


def test_foreign_scores_take_a_baseline_and_are_unpaired() -> None:
    made = thaw.report(scores=foreign(), baseline="PPO scratch", normalize=True)
    shown = made.metrics[made.metrics["metric"] == "normalized_by_scratch"]
    ratios = shown[shown["condition"] == "ppo_finetune"]["mean"].to_list()
    assert ratios == pytest.approx([6.2 / 5.2, 6.2 / 5.2])
    assert [v.paired for v in made.verdicts] == [False, False]
    assert made.verdicts[0].best == "ppo_finetune"
    assert made.spec.inferred
    assert len(made.aggregates) > 0
    assert made.table().title == "Return normalized by PPO scratch"
    assert "1 is what PPO scratch reaches" in made.table().caption


def test_pairing_is_asked_for_and_never_covers_the_baseline() -> None:
    three = pd.concat(
        [foreign(), foreign().assign(condition=lambda f: f["condition"] + " 2")], ignore_index=True
    )
    three = three[three["condition"] != "PPO scratch 2"]
    alone = thaw.report(scores=three, baseline="PPO scratch")
    paired = thaw.report(scores=three, baseline="PPO scratch", paired=True)
    assert not alone.verdicts[0].paired
    assert paired.verdicts[0].paired
    assert {paired.verdicts[0].best, paired.verdicts[0].runner_up} == {
        "ppo_finetune", "ppo_finetune 2",
    }  # fmt: skip
    table = thaw.report.runs.RunTable(paired.scores, paired.spec)
    assert not table.runs("", "ALE/Pong-v5", "PPO scratch").paired


def test_names_from_elsewhere_are_shown_as_written() -> None:
    table = thaw.report(scores=foreign()).table()
    assert [column.title for column in table.columns] == ["ALE/Pong-v5", "ALE/Breakout-v5"]
    assert table.labels == ("PPO scratch", "ppo_finetune")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "give either a suite's folder or scores="),
        ({"folder": "x", "scores": foreign()}, "give either"),
        ({"folder": "x", "paired": True}, "its suite.yaml has the rest"),
        ({"folder": "none"}, "does not exist"),
        ({"scores": "none.csv"}, "no such file"),
        ({"scores": foreign(), "baseline": "PPO scratches"}, "did you mean 'PPO scratch'"),
        ({"scores": foreign(), "normalize": True}, "no condition 'scratch'"),
        ({"scores": foreign(), "margin": -1.0}, "margin is -1"),
        ({"scores": foreign(), "bounds": (1.0, -1.0)}, "bounds are 1 and -1"),
        ({"scores": foreign(), "bounds": (-100.0, 1.0)}, "scores: row 1: mean_return .* outside"),
        (
            {"scores": foreign(), "curves": foreign().assign(steps=1, seed=range(20))},
            "row 6 belongs to a run that has no score",
        ),
    ],
)
def test_wrong_arguments_are_one_line(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        thaw.report(**arguments)
    assert "\n" not in str(caught.value)


def test_a_table_that_does_not_exist_is_refused(made: Report) -> None:
    with pytest.raises(InputError, match=r"did you mean 'return'\? Allowed: return, normalized"):
        made.table("returns")
    with pytest.raises(InputError, match="say where to write"):
        made.write()
