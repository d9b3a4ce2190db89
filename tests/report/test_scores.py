from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from thaw.config.errors import InputError
from thaw.experiment import results
from thaw.report.scores import (
    CURVE_COLUMNS,
    SCORE_COLUMNS,
    infer_spec,
    planned_rows,
    read_curves,
    read_scores,
)
from thaw.report.spec import ReportSpec

GOOD = "target,condition,seed,mean_return\npong,update_all,0,1.5\npong,update_all,1,2\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "scores.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_four_columns_are_enough(tmp_path: Path) -> None:
    scores = read_scores(write(tmp_path, GOOD))
    assert scores["source"].tolist() == ["", ""]
    assert scores["seed"].tolist() == [0, 1]
    assert scores["mean_return"].tolist() == [1.5, 2.0]


def test_foreign_columns_and_odd_names_survive(tmp_path: Path) -> None:
    text = "target, condition ,seed,mean_return,note\nNA,1e5,0,1,\nnan,null,0,2,b\n"
    scores = read_scores(write(tmp_path, "\ufeff" + text))
    assert scores["target"].tolist() == ["NA", "nan"]
    assert scores["condition"].tolist() == ["1e5", "null"]
    assert scores["note"].tolist() == ["", "b"]


def test_empty_optional_numbers_are_unknown(tmp_path: Path) -> None:
    text = "target,condition,seed,mean_return,source_mean_return\na,scratch,0,1,\na,b,0,1,2\n"
    column = read_scores(write(tmp_path, text))["source_mean_return"]
    assert column.isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty", "target, condition, seed, mean_return"]),
        ("target,condition,seed,mean_return\n", ["no rows"]),
        ("Target,condition,seed,mean_return\na,b,0,1\n", ["Write 'Target' in small letters"]),
        ("target\tcondition\tseed\tmean_return\na\tb\t0\t1\n", ["by commas, not by '\\t'"]),
        ("target,condition,seed\na,b,0\n", ["'mean_return' is missing", "found target", "add"]),
        (GOOD + "pong,scratch,0,high\n", ["row 3", "mean_return is 'high'", "a number"]),
        (GOOD + "pong,scratch,0,\n", ["row 3", "mean_return is ''", "unfinished"]),
        (GOOD + "pong,scratch,0,nan\n", ["row 3", "mean_return is 'nan'"]),
        (GOOD + "pong,scratch,0,inf\n", ["row 3", "mean_return is 'inf'"]),
        (GOOD + "pong,scratch,0.5,1\n", ["row 3", "seed is '0.5'", "whole number"]),
        (GOOD + "pong,scratch,zero,1\n", ["row 3", "seed is 'zero'"]),
        (GOOD + ",scratch,0,1\n", ["row 3", "'target' is empty"]),
        (GOOD + "pong,update_all,1,3\n", ["row 3 repeats", "seed '1'", "another seed"]),
        ("target,condition,seed,mean_return,steps\na,b,0,1,x\n", ["steps is 'x'"]),
        (GOOD + 'pong,"scratch,0,1\n', ["not a CSV file"]),
    ],
)
def test_a_wrong_file_is_answered_in_one_line(tmp_path: Path, text: str, words: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        read_scores(path)
    message = str(error.value)
    assert "\n" not in message
    for word in [str(path), *words]:
        assert word in message


def test_an_absent_or_binary_file_is_the_users_matter_too(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        read_scores(tmp_path / "nothing.csv")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ValueError, match="not a CSV file in UTF-8"):
        read_scores(tmp_path / "binary")


def test_equal_seeds_of_different_sources_are_different_runs(tmp_path: Path) -> None:
    text = "source,target,condition,seed,mean_return\na,t,update_all,0,1\nb,t,update_all,0,2\n"
    assert len(read_scores(write(tmp_path, text))) == 2


def test_curves_may_be_empty_but_not_wrong(tmp_path: Path) -> None:
    header = "target,condition,seed,steps,mean_return\n"
    assert read_curves(write(tmp_path, header)).empty
    with pytest.raises(ValueError, match="'steps' is missing"):
        read_curves(write(tmp_path, GOOD))
    twice = header + "a,b,0,100,1\na,b,0,100,2\n"
    with pytest.raises(ValueError, match="row 2 repeats a run and bin"):
        read_curves(write(tmp_path, twice))


def test_a_spec_is_inferred_from_what_is_there() -> None:
    rows = [
        ("", "catch", "pretrain", 7),
        ("", "catch@b", "random", 0),
        ("catch", "catch@b", "mine", 0),
        ("catch", "catch@a", "freeze_head", 2),
        ("catch", "catch@a", "update_all", 1),
        ("", "other", "scratch", 0),
    ]
    scores = pd.DataFrame(rows, columns=["source", "target", "condition", "seed"])
    spec = infer_spec(scores, name="theirs")
    assert spec.transfers == (("catch", "catch@b"), ("catch", "catch@a"), ("", "other"))
    assert spec.conditions == ("random", "scratch", "update_all", "freeze_head", "mine")
    assert spec.seeds == (0, 1, 2)
    assert (spec.name, spec.normalize, spec.paper) == ("theirs", "none", None)
    assert spec.inferred
    assert not spec.paired


def test_the_report_knows_every_column_that_thaw_writes() -> None:
    assert tuple(column.name for column in SCORE_COLUMNS) == results.SCORE_COLUMNS
    assert tuple(column.name for column in CURVE_COLUMNS) == results.CURVE_COLUMNS


def test_rows_without_a_source_serve_only_transfers_without_rows_of_their_own() -> None:
    rows = [("", "t", 0), ("", "t", 1), ("a", "t", 0), ("a", "other", 1)]
    frame = pd.DataFrame(rows, columns=["source", "target", "seed"]).assign(condition="mine")
    spec = ReportSpec("n", (("a", "t"), ("b", "t")), ("mine",), (0, 1))

    def found(source: str, seeds: tuple[int, ...] = (0, 1)) -> list[tuple[str, int]]:
        plan = dataclasses.replace(spec, seeds=seeds)
        rows = planned_rows(frame, plan, source, "t", "mine")
        return list(zip(rows["source"], rows["seed"], strict=True))

    assert found("a") == [("a", 0)]
    assert found("a", seeds=(1,)) == []
    assert found("b") == [("", 0), ("", 1)]
    assert found("") == [("", 0), ("", 1)]


def test_pretrainings_alone_are_nothing_to_compare() -> None:
    scores = pd.DataFrame(
        [("", "catch", "pretrain", 0)], columns=["source", "target", "condition", "seed"]
    )
    with pytest.raises(ValueError, match="no run to compare"):
        infer_spec(scores)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "target,condition,seed,mean_return\na,b,0,1\na,b,1,2,3\n",
            "row 2 has 5 values, but there are 4 columns",
        ),
        (
            "target,condition,seed,mean_return,mean_return\na,b,0,1,5\n",
            "two columns are named 'mean_return'",
        ),
        ("target,condition,seed,mean_return\na,b,0,1e308\n", r"from -1e\+100 to 1e\+100"),
        ("target,condition,seed,mean_return\na,b,-1,1\n", "a whole number from 0 to"),
        ("target,condition,seed,mean_return\na,b,1e20,1\n", "a whole number from 0 to"),
        ("target,condition,seed,mean_return\na,b,1e30,1\n", "a whole number from 0 to"),
    ],
)
def test_a_file_that_pandas_would_misread_is_refused(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_scores(path)
    assert "\n" not in str(caught.value)
