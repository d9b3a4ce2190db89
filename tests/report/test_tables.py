from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from thaw.report.metrics import metrics_frame
from thaw.report.paper import TABLE_1, TABLE_2
from thaw.report.scores import infer_spec
from thaw.report.spec import ReportSpec
from thaw.report.tables import (
    TableFrame,
    escape_formula,
    escape_latex,
    table_frame,
    to_csv,
    to_latex,
    to_markdown,
)

MakeScores = Callable[..., pd.DataFrame]
BALL = ("catch", "catch@large_ball")


def lay_out(scores: pd.DataFrame, spec: ReportSpec, metric: str | None = None) -> TableFrame:
    return table_frame(metrics_frame(scores, spec), spec, metric)


def texts(table: TableFrame) -> dict[str, list[str]]:
    rows = zip(table.conditions, table.cells, strict=True)
    return {condition: [cell.text for cell in cells] for condition, cells in rows}


def bold(table: TableFrame) -> list[str]:
    rows = zip(table.conditions, table.cells, strict=True)
    return [condition for condition, cells in rows if any(cell.bold for cell in cells)]


def test_missing_runs_are_shown_as_missing(make_scores: MakeScores) -> None:
    scores = make_scores({"scratch": [0.2, None, 0.4], "update_all": [0.4, 0.5, 0.6]})
    spec = ReportSpec("n", (BALL,), ("random", "scratch", "update_all"), (0, 1, 2))
    table = lay_out(scores, spec)
    assert table.labels == ("Random", "From scratch", "Update all")
    assert texts(table) == {
        "random": ["missing"],
        "scratch": ["0.300 (0.200, 0.400) (2 of 3 seeds)"],
        "update_all": ["0.500 [0.252, 0.748]"],
    }


def test_one_seed_is_a_bare_number(make_scores: MakeScores) -> None:
    table = lay_out(make_scores({"scratch": [0.2]}), ReportSpec("n", (BALL,), ("scratch",), (0,)))
    assert texts(table) == {"scratch": ["0.200"]}
    assert "no interval" in table.caption


def test_the_best_that_learns_is_bold(make_scores: MakeScores) -> None:
    scores = make_scores({"freeze_all": [9, 9], "update_all": [2, 3], "freeze_head": [1, 1]})
    spec = ReportSpec("n", (BALL,), ("freeze_all", "update_all", "freeze_head"), (0, 1))
    table = lay_out(scores, spec)
    assert bold(table) == ["update_all"]
    assert "**2.500 (2.000, 3.000)**" in to_markdown(table)
    assert "\\textbf{2.500}" in to_latex(table)


def test_equal_means_have_no_best(make_scores: MakeScores) -> None:
    scores = make_scores({"update_all": [0, 0], "freeze_head": [0, 0]})
    spec = ReportSpec("n", (BALL,), ("update_all", "freeze_head"), (0, 1))
    assert bold(lay_out(scores, spec)) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(9.87654, "9.877"), (98.7654, "98.77"), (987.654, "987.7"), (9876.5, "9876")],
)
def test_decimals_follow_the_size(make_scores: MakeScores, value: float, text: str) -> None:
    scores = make_scores({"scratch": [value]})
    assert texts(lay_out(scores, ReportSpec("n", (BALL,), ("scratch",), (0,)))) == {
        "scratch": [text]
    }


def test_no_minus_zero(make_scores: MakeScores) -> None:
    scores = make_scores({"scratch": [-0.0001]})
    spec = ReportSpec("n", (BALL,), ("scratch",), (0,))
    assert texts(lay_out(scores, spec)) == {"scratch": ["0.000"]}


def test_table_1_has_the_papers_rows_columns_and_numbers(make_scores: MakeScores) -> None:
    targets = ("atari/hero@m1d0", "atari/freeway@m4d0", "atari/pong@m1d0")
    scores = pd.concat(
        [
            make_scores(
                {"scratch": scratch, "update_all": [6, 6], "random": [1, 1], "freeze_head": [3, 3]},
                target=target,
            )
            for target, scratch in zip(targets, ([2, 2], [0, 0], [3, 3]), strict=True)
        ]
    )
    spec = ReportSpec(
        name="n",
        transfers=tuple(("catch", target) for target in targets),
        conditions=("scratch", "update_all", "freeze_head", "random"),
        seeds=(0, 1),
        normalize="scratch",
        paper="table1",
    )
    table = lay_out(scores, spec)
    assert [(column.title, column.from_paper) for column in table.columns] == [
        ("Freeway m4d0", False),
        ("Freeway m4d0", True),
        ("Hero m1d0", False),
        ("Hero m1d0", True),
        ("Pong m1d0", False),
    ]
    assert list(texts(table).items()) == [
        ("random", ["n/a", "0.000", "0.500", "0.020", "0.333"]),
        ("freeze_head", ["n/a", "NaN", "1.500", "1.631", "1.000"]),
        ("update_all", ["n/a", "0.000", "3.000", "4.188", "2.000"]),
    ]
    assert TABLE_1.remark in table.caption


def test_the_papers_numbers_only_stand_beside_the_same_metric(make_scores: MakeScores) -> None:
    scores = make_scores({"update_all": [0.5, 0.5]})
    spec = ReportSpec("n", (BALL,), ("update_all",), (0, 1), "none", "table2")
    assert texts(lay_out(scores, spec)) == {"update_all": ["0.500 (0.500, 0.500)", "0.328"]}
    other = ReportSpec("n", (BALL,), ("update_all",), (0, 1), "none", "table1")
    assert texts(lay_out(scores, other)) == {"update_all": ["0.500 (0.500, 0.500)"]}


def test_the_papers_numbers_are_those_of_the_paper() -> None:
    assert TABLE_2.value("freeze_all", "androidenv/catch@large_ball") == -0.444
    assert TABLE_2.value("update_all", "catch@red_background") == 0.688
    assert TABLE_2.value("scratch", "catch@large_ball") is None
    assert TABLE_2.value("update_all", "catch") is None
    # The two places of the paper's text that fit the shifted header only.
    assert TABLE_1.value("freeze_embedding", "atari/hero@m1d0") == 3.017
    assert TABLE_1.value("freeze_head", "atari/hero@m1d0") == 1.631
    assert TABLE_1.value("freeze_head", "atari/space_invaders@m1d1") == 1.845
    assert TABLE_1.value("freeze_embedding", "atari/space_invaders@m1d1") == 0.524
    empty = [
        (condition, target)
        for condition in TABLE_1.conditions
        for target in TABLE_1.targets
        if np.isnan(TABLE_1.value(condition, target) or 0.0)
    ]
    assert empty == [("freeze_head", "freeway@m4d0")]
    for table in (TABLE_1, TABLE_2):
        assert list(table.values) == list(table.conditions)
        assert {len(row) for row in table.values.values()} == {len(table.targets)}
        assert table.citation.startswith("Dean, Toyama, Precup 2022, table")


def test_the_source_table_begins_before_the_transfer(make_scores: MakeScores) -> None:
    scores = make_scores({"pretrain": [0.9, 0.9], "update_all": [0.5, 0.5], "scratch": [1, 1]})
    scores["source_mean_return"] = [np.nan, np.nan, 0.25, 0.25, np.nan, np.nan]
    spec = ReportSpec("n", (BALL,), ("scratch", "update_all", "freeze_head"), (0, 1))
    assert texts(lay_out(scores, spec, "return_on_source")) == {
        "pretrain": ["0.900 (0.900, 0.900)"],
        "update_all": ["0.250 (0.250, 0.250)"],
        "freeze_head": ["not measured"],
    }


def test_latex_is_escaped_and_every_row_has_every_column(make_scores: MakeScores) -> None:
    targets = tuple(f"a&b/{name}@50%_{{x}}" for name in ("one", "two", "three", "four"))
    scores = pd.concat([make_scores({"my_$rule": [1, 2]}, target=target) for target in targets])
    spec = ReportSpec("n", tuple(("catch", t) for t in targets), ("my_$rule",), (0, 1))
    text = to_latex(lay_out(scores, spec))
    assert "my\\_\\$rule" in text
    assert "@50\\%\\_\\{x\\}" in text
    tabulars = re.findall(r"\\begin\{tabular\}\{(l r*|lr*)\}(.*?)\\end", text, flags=re.DOTALL)
    assert [len(columns) for columns, _ in tabulars] == [4, 2]  # at most three transfers each
    for columns, body in tabulars:
        rows = [line for line in body.splitlines() if "\\\\" in line]
        for row in rows:
            spans = [int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", row)]
            assert len(re.findall(r"(?<!\\)&", row)) + sum(spans) == len(columns) - 1
    assert text.count("\\begin{table}") == text.count("\\end{table}") == 2
    assert len(set(re.findall(r"\\label\{.*?\}", text))) == 2


def test_latex_signs_are_made_harmless() -> None:
    assert escape_latex("a_b & 5% of $x {y} #1 \\ ~ ^ [z]") == (
        r"a\_b \& 5\% of \$x \{y\} \#1 \textbackslash{} \textasciitilde{} "
        r"\textasciicircum{} {[}z{]}"
    )


def test_csv_and_markdown_keep_odd_names_in_their_cells(make_scores: MakeScores) -> None:
    odd = 'x|y, "z"'
    spec = ReportSpec("n", (("catch", odd),), ("scratch",), (0,))
    table = lay_out(make_scores({"scratch": [1]}, target=odd), spec)
    header, row = csv.reader(io.StringIO(to_csv(table)))
    assert header == ["condition", 'x|y, "z"']
    assert row == ["From scratch", "1.000"]
    assert '| x\\|y, "z" |' in to_markdown(table)


def test_names_of_others_are_neither_formulas_nor_tags(make_scores: MakeScores) -> None:
    target = "=cmd|' /C calc'!A0"
    scores = make_scores(
        {"@SUM(A1)": [1.0, 2.0], "<script>alert(1)</script>": [1.0, 3.0]}, target=target
    )
    spec = infer_spec(scores, name="hostile")
    table = table_frame(metrics_frame(scores, spec), spec)
    for row in csv.reader(io.StringIO(to_csv(table))):
        assert not any(cell.startswith(("=", "@", "+")) for cell in row), row
    text = to_markdown(table)
    assert "\\<script>" in text
    assert not re.search(r"(?<!\\)<script", text)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("=1+1", "'=1+1"), ("-x", "'-x"), ("+x", "'+x"), ("@x", "'@x"), ("catch", "catch")],
)
def test_formulas_get_an_apostrophe(name: str, shown: str) -> None:
    assert escape_formula(name) == shown
