from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from thaw.report.aggregates import aggregates_frame
from thaw.report.metrics import METRICS, metrics_frame, metrics_json
from thaw.report.runs import select_runs
from thaw.report.scores import check_scores
from thaw.report.spec import ReportSpec
from thaw.report.verdict import verdicts

MakeScores = Callable[..., pd.DataFrame]
BALL = ("catch", "catch@large_ball")


def plan(*conditions: str, seeds: int = 3, **fields: Any) -> ReportSpec:
    return ReportSpec("test", (BALL,), conditions, tuple(range(seeds)), **fields)


def only(metrics: pd.DataFrame, condition: str, metric: str) -> pd.Series:
    rows = metrics[(metrics["condition"] == condition) & (metrics["metric"] == metric)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_every_metric_by_hand(make_scores: MakeScores) -> None:
    returns: dict[str, list[float]] = {
        "random": [0.5, 0.4, 0.6],
        "scratch": [1.9, 2.0, 2.1],
        "update_all": [5, 5, 8],
        "freeze_head": [4, 5, 9],
    }
    metrics = metrics_frame(make_scores(returns), plan(*returns))
    assert only(metrics, "freeze_head", "return")["mean"] == 6
    assert only(metrics, "freeze_head", "normalized_by_scratch")["mean"] == pytest.approx(3)
    assert only(metrics, "freeze_head", "normalized_above_random")["mean"] == pytest.approx(
        5.5 / 1.5
    )
    assert only(metrics, "freeze_head", "difference_to_scratch")["mean"] == pytest.approx(4)
    # 4 beats none, 5 ties twice, 9 beats three: 4 of 9 pairs.
    chance = only(metrics, "freeze_head", "probability_of_improvement")
    assert chance["mean"] == pytest.approx(4 / 9)
    low, high = stats.ttest_1samp(returns["update_all"], 0).confidence_interval()
    own = only(metrics, "update_all", "return")
    assert (own["ci_low"], own["ci_high"]) == pytest.approx((low, high))
    low, high = stats.ttest_ind(
        returns["freeze_head"], returns["scratch"], equal_var=False
    ).confidence_interval()
    gap = only(metrics, "freeze_head", "difference_to_scratch")
    assert (gap["ci_low"], gap["ci_high"]) == pytest.approx((low, high))
    assert not metrics.duplicated(["source", "target", "condition", "metric"]).any()
    assert set(metrics["confidence"]) == {0.95}


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
        ([0.1, 0.4, 0.4], None, "3 seeds cannot tell From scratch from zero"),
        ([-0.3, -0.2, -0.4], None, "From scratch is below zero"),
        ([None, None, None], None, "scratch is missing"),
        ([0.5], None, "one seed without a standard error"),
        ([0.5], 0.3, "1 seed cannot tell From scratch"),
        ([0.5], 0.1, ""),
        ([0.3, 0.2, 0.4], None, ""),
    ],
)
def test_a_ratio_needs_a_denominator_known_to_be_above_zero(
    make_scores: MakeScores, scratch: list[float | None], sem: float | None, reason: str
) -> None:
    scores = check_scores(make_scores({"scratch": scratch, "update_all": [1, 2, 3]}, sem=sem))
    row = only(
        metrics_frame(scores, plan("scratch", "update_all")), "update_all", "normalized_by_scratch"
    )
    assert np.isfinite(row["mean"]) == (not reason)
    assert reason in row["note"]


def test_a_ratio_above_random_needs_random_below_scratch(make_scores: MakeScores) -> None:
    returns = {"random": [0.8, 0.9, 1.0], "scratch": [0.9, 0.8, 1.1], "update_all": [1, 2, 3]}
    row = only(
        metrics_frame(make_scores(returns), plan(*returns)), "update_all", "normalized_above_random"
    )
    assert np.isnan(row["mean"])
    assert row["note"] == "3 seeds cannot tell From scratch minus random from zero"


def test_a_shared_baseline_is_compared_in_pairs(make_scores: MakeScores) -> None:
    returns = {"update_all": [0.1, 0.9, 0.4, 0.7], "freeze_head": [0.3, 1.2, 0.6, 0.8]}
    metrics = metrics_frame(make_scores(returns), plan(*returns, seeds=4, baseline="update_all"))
    row = only(metrics, "freeze_head", "difference_to_scratch")
    low, high = stats.ttest_rel(returns["freeze_head"], returns["update_all"]).confidence_interval()
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((low, high))
    assert (row["num_seeds"], row["num_missing"]) == (4, 0)


def test_missing_seeds_are_counted_and_strangers_left_out(make_scores: MakeScores) -> None:
    scores = make_scores({"update_all": [1, None, 3, 100]})
    row = only(metrics_frame(scores, plan("update_all")), "update_all", "return")
    assert (row["mean"], row["num_seeds"], row["num_missing"]) == (2, 2, 1)
    nothing = only(metrics_frame(scores, plan("freeze_all")), "freeze_all", "return")
    assert np.isnan(nothing["mean"])
    assert (nothing["num_seeds"], nothing["num_missing"]) == (0, 3)
    assert nothing["note"] == "no finished run"


def test_one_and_two_seeds_have_no_interval(make_scores: MakeScores) -> None:
    one = metrics_frame(make_scores({"scratch": [1]}), plan("scratch"))
    two = metrics_frame(make_scores({"scratch": [1, 2.5]}), plan("scratch"))
    for metrics, mean, note in (
        (one, 1, "1 seed: no interval"),
        (two, 1.75, "2 seeds: 1.000 and 2.500; no interval"),
    ):
        row = only(metrics, "scratch", "return")
        assert row["mean"] == mean
        assert np.isnan([row["ci_low"], row["ci_high"]]).all()
        assert row["note"] == note


def test_bounded_returns_at_their_ceiling(make_scores: MakeScores) -> None:
    scores = make_scores({"update_all": [0.9, 1, 1], "freeze_head": [1, 1, 1]})
    metrics = metrics_frame(scores, plan("update_all", "freeze_head", bounds=(-1.0, 1.0)))
    assert only(metrics, "update_all", "return")["ci_high"] == 1
    same = only(metrics, "freeze_head", "return")
    assert np.isnan(same["ci_low"])
    assert same["note"] == "all 3 seeds are equal: no interval"


def test_the_episodes_of_a_run_give_the_least_error(make_scores: MakeScores) -> None:
    scores = make_scores({"update_all": [0.98, 0.98, 0.98]}, sem=0.03)
    row = only(metrics_frame(scores, plan("update_all")), "update_all", "return")
    half = stats.t.ppf(0.975, 2) * 0.03 / 3**0.5
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((0.98 - half, 0.98 + half))


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


def test_before_the_transfer_is_evaluated_as_after_it(make_scores: MakeScores) -> None:
    scores = make_scores({"pretrain": [0.1, 0.2, 0.3], "update_all": [0.5, 0.6, 0.7]})
    scores["evaluation_mean_return"] = [0.8, 0.9, 1.0, np.nan, np.nan, np.nan]
    metrics = metrics_frame(scores, plan("update_all"))
    assert only(metrics, "pretrain", "return_on_source")["mean"] == pytest.approx(0.9)


def test_an_interval_does_not_depend_on_what_else_is_reported(make_scores: MakeScores) -> None:
    scores = make_scores({"update_all": [1, 2, 9], "freeze_head": [4, 5, 9]})
    alone = only(metrics_frame(scores, plan("freeze_head")), "freeze_head", "return")
    among = only(metrics_frame(scores, plan("update_all", "freeze_head")), "freeze_head", "return")
    pd.testing.assert_series_equal(alone, among, check_names=False)


def test_the_lead_has_the_verdicts_numbers(make_scores: MakeScores) -> None:
    returns = {"update_all": [0.1, 0.9, 0.4, 0.7], "freeze_head": [0.3, 1.2, 0.6, 0.8]}
    scores = make_scores(returns)
    metrics = metrics_frame(scores, plan(*returns, seeds=4))
    (verdict,) = verdicts(scores, plan(*returns, seeds=4))
    lead = only(metrics, "freeze_head", "lead")
    p = stats.ttest_rel(returns["freeze_head"], returns["update_all"]).pvalue
    assert lead["p_value"] == lead["p_holm"] == pytest.approx(float(p))
    assert lead["ci_low"] == verdict.ci_low > 0
    assert metrics[metrics["metric"].isin(METRICS)]["p_value"].isna().all()


def test_json_says_null_and_never_nan(make_scores: MakeScores) -> None:
    spec = plan("scratch", "update_all")
    scores = make_scores({"scratch": [0, 0, 0], "update_all": [1, 2, 3]})
    metrics = metrics_frame(scores, spec)
    text = metrics_json(spec, metrics, aggregates_frame(scores, spec), verdicts(scores, spec))
    document = json.loads(text)
    assert "NaN" not in text
    rows = {(row["condition"], row["metric"]): row for row in document["metrics"]}
    assert rows["update_all", "normalized_by_scratch"]["mean"] is None
    assert rows["update_all", "return"]["mean"] == 2
    assert document["transfers"] == [{"source": BALL[0], "target": BALL[1]}]
    assert document["verdicts"][0]["decided"] is False
