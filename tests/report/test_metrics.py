from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from thaw.report.metrics import (
    aggregates_frame,
    metrics_frame,
    metrics_json,
    select_runs,
    why_not_normalized,
)
from thaw.report.scores import check_scores
from thaw.report.spec import ReportSpec

MakeScores = Callable[..., pd.DataFrame]
BALL = ("catch", "catch@large_ball")


def plan(*conditions: str, seeds: int = 3, **fields: object) -> ReportSpec:
    return ReportSpec("test", (BALL,), conditions, tuple(range(seeds)), **fields)  # type: ignore[arg-type]


def only(metrics: pd.DataFrame, condition: str, metric: str) -> pd.Series:
    rows = metrics[(metrics["condition"] == condition) & (metrics["metric"] == metric)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_every_metric_by_hand(make_scores: MakeScores) -> None:
    scores = make_scores({"scratch": [1, 2, 3], "update_all": [5, 5, 8], "freeze_head": [4, 5, 9]})
    metrics = metrics_frame(scores, plan("scratch", "update_all", "freeze_head"))
    assert only(metrics, "freeze_head", "return")["mean"] == 6
    assert only(metrics, "freeze_head", "normalized_by_scratch")["mean"] == 3
    assert only(metrics, "freeze_head", "difference_to_scratch")["mean"] == 4
    # 4 beats none, 5 ties twice, 9 beats three: 4 of 9 pairs.
    chance = only(metrics, "freeze_head", "probability_of_improvement")
    assert chance["mean"] == pytest.approx(4 / 9)
    assert only(metrics, "update_all", "return")["ci_low"] == 5
    assert only(metrics, "update_all", "return")["ci_high"] == 8
    assert not metrics.duplicated(["source", "target", "condition", "metric"]).any()


def test_references_are_not_compared_with_themselves(make_scores: MakeScores) -> None:
    scores = make_scores({"scratch": [1, 2, 3], "update_all": [5, 5, 8]})
    metrics = metrics_frame(scores, plan("scratch", "update_all"))
    for condition, metric in [
        ("scratch", "normalized_by_scratch"),
        ("scratch", "difference_to_scratch"),
        ("update_all", "probability_of_improvement"),
    ]:
        row = only(metrics, condition, metric)
        assert np.isnan(row["mean"])
        assert row["note"] == "is the reference"


@pytest.mark.parametrize(
    ("scratch", "sem", "reason"),
    [
        ([0.0, 0.0, 0.0], None, "touches zero"),
        ([-0.1, 0.1, 0.2], None, "touches zero"),
        ([0.0, 0.4, 0.4], None, "touches zero"),
        ([-0.3, -0.2, -0.4], None, "below zero"),
        ([None, None, None], None, "missing"),
        ([0.5], None, "cannot be told from zero"),
        ([0.5], 0.3, "touches zero"),
        ([0.5], 0.1, ""),
        ([0.3, 0.2, 0.4], None, ""),
    ],
)
def test_a_ratio_needs_a_denominator_known_to_be_above_zero(
    make_scores: MakeScores, scratch: list[float | None], sem: float | None, reason: str
) -> None:
    scores = check_scores(make_scores({"scratch": scratch, "update_all": [1, 2, 3]}, sem=sem))
    spec = plan("scratch", "update_all")
    why = why_not_normalized(select_runs(scores, spec, *BALL, "scratch"), BALL[1])
    assert reason in why
    assert bool(reason) == bool(why)
    row = only(metrics_frame(scores, spec), "update_all", "normalized_by_scratch")
    assert np.isfinite(row["mean"]) == (not reason)
    assert reason in row["note"]


def test_missing_seeds_are_counted_and_strangers_left_out(make_scores: MakeScores) -> None:
    scores = make_scores({"update_all": [1, None, 3, 100]})
    row = only(metrics_frame(scores, plan("update_all")), "update_all", "return")
    assert (row["mean"], row["num_seeds"], row["num_missing"]) == (2, 2, 1)
    nothing = only(metrics_frame(scores, plan("freeze_all")), "freeze_all", "return")
    assert np.isnan(nothing["mean"])
    assert (nothing["num_seeds"], nothing["num_missing"]) == (0, 3)
    assert nothing["note"] == "no finished run"


def test_one_seed_has_no_interval(make_scores: MakeScores) -> None:
    row = only(metrics_frame(make_scores({"scratch": [1]}), plan("scratch")), "scratch", "return")
    assert row["mean"] == 1
    assert np.isnan([row["ci_low"], row["ci_high"]]).all()
    assert row["note"] == "one seed: no interval"


def test_scratch_serves_every_source_but_a_transfer_only_its_own(make_scores: MakeScores) -> None:
    scores = make_scores({"scratch": [1, 2], "update_all": [3, 4]}, source="a", target="t")
    spec = ReportSpec("n", (("a", "t"), ("b", "t")), ("scratch", "update_all"), (0, 1))
    assert select_runs(scores, spec, "b", "t", "scratch").values.tolist() == [1, 2]
    assert select_runs(scores, spec, "b", "t", "update_all").values.tolist() == []
    assert select_runs(scores, spec, "a", "t", "update_all").paired
    assert not select_runs(scores, spec, "a", "t", "scratch").paired


def test_returns_on_the_source_stand_beside_the_pretrained_policy(make_scores: MakeScores) -> None:
    scores = make_scores({"pretrain": [0.9, 0.7], "scratch": [0.1, 0.2], "update_all": [0.5, 0.6]})
    scores["source_mean_return"] = [np.nan, np.nan, np.nan, np.nan, 0.4, np.nan]
    metrics = metrics_frame(scores, plan("scratch", "update_all", seeds=2))
    assert only(metrics, "pretrain", "return_on_source")["mean"] == pytest.approx(0.8)
    after = only(metrics, "update_all", "return_on_source")
    assert (after["mean"], after["num_seeds"], after["num_missing"]) == (0.4, 1, 1)
    assert metrics[metrics["metric"] == "return_on_source"]["condition"].tolist() == [
        "pretrain",
        "update_all",
    ]


def test_an_interval_does_not_depend_on_what_else_is_reported(make_scores: MakeScores) -> None:
    scores = make_scores({"update_all": [1, 2, 9], "freeze_head": [4, 5, 9]})
    alone = only(metrics_frame(scores, plan("freeze_head")), "freeze_head", "return")
    among = only(metrics_frame(scores, plan("update_all", "freeze_head")), "freeze_head", "return")
    pd.testing.assert_series_equal(alone, among, check_names=False)


def test_aggregates_leave_out_what_cannot_be_normalized(make_scores: MakeScores) -> None:
    targets = ("g/a@1", "g/b@1", "g/c@1")
    returns = [([2, 2], [4, 8]), ([5, 5], [5, 15]), ([0, 0], [7, 7])]
    scores = pd.concat(
        [
            make_scores({"scratch": scratch, "update_all": moved}, target=target)
            for target, (scratch, moved) in zip(targets, returns, strict=True)
        ]
    )
    spec = ReportSpec(
        "n", tuple(("catch", t) for t in targets), ("scratch", "update_all"), (0, 1), "scratch"
    )
    aggregates = aggregates_frame(scores, spec)
    assert aggregates["condition"].tolist() == ["update_all", "update_all"]
    means = dict(zip(aggregates["statistic"], aggregates["mean"], strict=True))
    assert means == {"mean": 2.5, "iqm": 2.5}  # runs 2, 4 and 1, 3
    assert aggregates["num_tasks"].tolist() == [2, 2]
    assert aggregates["note"].str.contains("g/c@1 is left out").all()


def test_raw_returns_of_different_games_are_not_aggregated(make_scores: MakeScores) -> None:
    scores = make_scores({"scratch": [1, 2]})
    games = ReportSpec("n", (("", "g/a@1"), ("", "g/b@1")), ("scratch",), (0, 1))
    flavors = ReportSpec("n", (("", "g/a@1"), ("", "g/a@2")), ("scratch",), (0, 1))
    assert aggregates_frame(scores, games).empty
    assert not aggregates_frame(scores, flavors).empty


def test_json_says_null_and_never_nan(make_scores: MakeScores) -> None:
    spec = plan("scratch", "update_all")
    scores = make_scores({"scratch": [0, 0, 0], "update_all": [1, 2, 3]})
    metrics = metrics_frame(scores, spec)
    text = metrics_json(spec, metrics, aggregates_frame(scores, spec), [])
    document = json.loads(text)
    assert "NaN" not in text
    rows = {(row["condition"], row["metric"]): row for row in document["metrics"]}
    assert rows["update_all", "normalized_by_scratch"]["mean"] is None
    assert rows["update_all", "return"]["mean"] == 2
    assert document["transfers"] == [{"source": BALL[0], "target": BALL[1]}]
