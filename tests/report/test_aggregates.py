from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from thaw.report.aggregates import COLUMNS, aggregates_frame, profiles_frame, why_no_aggregates
from thaw.report.metrics import metrics_frame
from thaw.report.spec import ReportSpec

MakeScores = Callable[..., pd.DataFrame]


def three_targets(make_scores: MakeScores) -> pd.DataFrame:
    returns = [([2, 2, 2.1], [4, 8, 6]), ([5, 5, 5.1], [5, 15, 10]), ([0, 0, 0], [7, 7, 8])]
    return pd.concat(
        [
            make_scores({"scratch": scratch, "update_all": moved}, target=target)
            for target, (scratch, moved) in zip(("g/a@1", "g/b@1", "g/c@1"), returns, strict=True)
        ]
    )


def of_targets(
    *targets: str, normalize: Literal["none", "scratch"] = "scratch", **changes: Any
) -> ReportSpec:
    transfers = tuple(("catch", target) for target in targets)
    return ReportSpec("n", transfers, ("scratch", "update_all"), (0, 1, 2), normalize, **changes)


def test_aggregates_leave_out_what_cannot_be_normalized(make_scores: MakeScores) -> None:
    aggregates = aggregates_frame(three_targets(make_scores), of_targets("g/a@1", "g/b@1", "g/c@1"))
    assert list(aggregates.columns) == COLUMNS
    assert set(aggregates["condition"]) == {"update_all"}
    assert aggregates["statistic"].tolist() == ["iqm", "mean", "median", "optimality_gap"]
    means = dict(zip(aggregates["statistic"], aggregates["mean"], strict=True))
    ratios = 6 / (6.1 / 3), 10 / (15.1 / 3)
    assert means["mean"] == means["median"] == pytest.approx(np.mean(ratios))
    assert set(aggregates["num_tasks"]) == {2}
    assert set(aggregates["num_seeds"]) == {3}
    assert aggregates["note"].str.contains("g/c@1 is left out: 3 seeds cannot tell").all()
    mean = aggregates[aggregates["statistic"] == "mean"].iloc[0]
    assert mean["ci_low"] < mean["rliable_low"] < mean["mean"] < mean["rliable_high"]


def test_transfers_left_out_for_uncertainty_leave_no_interval(make_scores: MakeScores) -> None:
    scores = three_targets(make_scores)
    third = (scores["target"] == "g/c@1") & (scores["condition"] == "scratch")
    scores.loc[third, "mean_return"] = [0.1, 0.9, 0.2]
    spec = of_targets("g/a@1", "g/b@1", "g/c@1")
    aggregates = aggregates_frame(scores, spec)
    assert aggregates["mean"].notna().all()
    assert aggregates["ci_low"].isna().all()
    assert aggregates["rliable_low"].notna().all()
    assert aggregates["note"].str.contains("from zero, so there is no interval").all()
    assert profiles_frame(scores, spec)["ci_low"].isna().all()


def test_raw_returns_of_different_games_are_not_aggregated(make_scores: MakeScores) -> None:
    scores = three_targets(make_scores)
    games = of_targets("g/a@1", "g/b@1", normalize="none")
    assert aggregates_frame(scores, games).empty
    assert profiles_frame(scores, games).empty
    assert "no common unit" in why_no_aggregates(scores, games)
    flavors = ReportSpec("n", (("", "g/a@1"), ("", "g/a@2")), ("scratch",), (0, 1))
    assert not aggregates_frame(make_scores({"scratch": [1, 2]}), flavors).empty
    assert "one transfer" in why_no_aggregates(scores, of_targets("g/a@1"))


def test_a_condition_that_lacks_a_transfer_has_no_number(make_scores: MakeScores) -> None:
    scores = three_targets(make_scores)
    scores = scores[~((scores["target"] == "g/b@1") & (scores["condition"] == "update_all"))]
    aggregates = aggregates_frame(scores, of_targets("g/a@1", "g/b@1"))
    assert aggregates["mean"].isna().all()
    assert set(aggregates["note"]) == {"Update all has no finished run on g/b@1"}


def test_raw_intervals_are_cut_at_what_is_possible(make_scores: MakeScores) -> None:
    near = {"scratch": [0, 0.1, 0.2], "update_all": [0.8, 1.0, 1.0]}
    scores = pd.concat([make_scores(near, target=f"catch@{i}") for i in range(2)])
    spec = of_targets("catch@0", "catch@1", normalize="none", bounds=(-1.0, 1.0))
    found = aggregates_frame(scores, spec)
    mean = found[(found["condition"] == "update_all") & (found["statistic"] == "mean")]
    assert mean["ci_high"].item() == 1
    assert mean["ci_low"].item() < 0.8


def test_profiles_fall_from_one_to_zero(make_scores: MakeScores) -> None:
    profiles = profiles_frame(three_targets(make_scores), of_targets("g/a@1", "g/b@1"), 11)
    assert profiles["share"].iloc[0] <= 1
    assert profiles["share"].iloc[-1] == 0
    assert (np.diff(profiles["share"]) <= 0).all()


def test_ten_thousand_runs_take_seconds() -> None:
    rng = np.random.default_rng(0)
    conditions = ("scratch", "update_all", *(f"rule_{i}" for i in range(8)))
    rows = [
        ("" if condition == "scratch" else "g", f"g@{t}", condition, seed)
        for t in range(10)
        for condition in conditions
        for seed in range(100)
    ]
    scores = pd.DataFrame(rows, columns=["source", "target", "condition", "seed"])
    scores["mean_return"] = rng.normal(3, 1, size=len(scores))
    transfers = tuple(("g", f"g@{t}") for t in range(10))
    spec = ReportSpec("n", transfers, conditions, tuple(range(100)), "scratch")
    started = time.process_time()
    metrics_frame(scores, spec)
    aggregates_frame(scores, spec)
    profiles_frame(scores, spec)
    assert time.process_time() - started < 20  # here 3
