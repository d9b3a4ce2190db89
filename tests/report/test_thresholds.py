"""Tests of the shares and steps of the runs that reach a return."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from curve_frames import curves_frame, line, scores_frame
from metric_rows import flat, interval, measured, reach_at, spec_of
from scipy import stats

from thaw.report.curves import Curve
from thaw.report.learning.curve_measures import Window, rise
from thaw.report.learning.thresholds import reaching_relative, wilson


def test_wilsons_interval() -> None:
    found = wilson(2, 3)
    assert (found.low, found.high) == pytest.approx((0.2077, 0.9385), abs=1e-4)
    assert (wilson(0, 5).low, wilson(5, 5).high) == (0.0, 1.0)
    assert wilson(5, 5).low == pytest.approx(0.5655, abs=1e-4)
    assert math.isnan(wilson(1, 2).low)


def test_runs_that_do_not_reach_a_return_count_with_the_budget() -> None:
    curves = curves_frame(
        {
            "update_all": [reach_at(100), reach_at(300), reach_at(2000)],
            "scratch": [reach_at(500), reach_at(600), reach_at(700)],
        }
    )
    scores = scores_frame({"random": [0.0, 0.0, 0.0]})
    rows = measured(scores, curves, spec_of(3, threshold=0.9))
    share, steps = (rows["update_all", f"{m}_threshold"] for m in ("share_reaching", "steps_to"))
    assert share["mean"] == pytest.approx(2 / 3)
    assert interval(share) == pytest.approx((0.2077, 0.9385), abs=1e-4)
    assert steps["mean"] == pytest.approx((150 + 350 + 1000) / 3)
    assert steps["num_seeds"] == 3
    assert steps["note"] == "return 0.900; 1 of 3 did not reach it and count as 1,000"
    assert 0 <= steps["ci_low"] < steps["ci_high"] <= 1000
    saved = rows["update_all", "steps_saved_to_threshold"]
    assert saved["mean"] == pytest.approx(650 - 500)
    welch = stats.ttest_ind([550, 650, 750], [150, 350, 1000], equal_var=False)
    low, high = welch.confidence_interval(0.95)
    assert interval(saved) == pytest.approx((low, high))
    # The same return by the way of scratch's end, which is 1 in all runs, and random's, 0.
    for metric in ("share_reaching", "steps_to", "steps_saved_to"):
        relative = rows["update_all", f"{metric}_90"]
        assert interval(relative) == pytest.approx(
            interval(rows["update_all", f"{metric}_threshold"])
        )


def test_a_threshold_from_scratch_carries_the_error_of_scratch() -> None:
    window = Window(10, 1000)

    def rises(ends: Sequence[float]) -> list[Any]:
        curves = [Curve(i, *map(np.array, zip(*line(0, e).items(), strict=True)))
                  for i, e in enumerate(ends)]  # fmt: skip
        return [rise(curve, window) for curve in curves]

    own, base = rises([0.9, 1.0, 1.2, 1.3]), rises([0.8, 1.0, 1.3])
    ends, floor = np.array([0.8, 1.0, 1.3]), np.array([0.0, 0.1, -0.1])

    def numbers(kept: Sequence[int], low: Sequence[int]) -> tuple[float, float]:
        """Compute steps and saved steps again, from some of the runs."""
        at = 0.75 * (ends[kept].mean() - floor[low].mean()) + floor[low].mean()
        mine = np.mean([min(r.first_reach(np.array([at]))[0], 1000.0) for r in own])
        theirs = np.mean([min(base[i].first_reach(np.array([at]))[0], 1000.0) for i in kept])
        return float(mine), float(theirs - mine)

    found = reaching_relative(own, base, ends, floor, 0.75, 1000.0)
    assert found.saved is not None
    every = [0, 1, 2]
    whole = numbers(every, every)
    without = [
        [numbers([j for j in every if j != i], every) for i in every],
        [numbers(every, [j for j in every if j != i]) for i in every],
    ]
    at = 0.75 * (ends.mean() - floor.mean()) + floor.mean()
    mine = [min(r.first_reach(np.array([at]))[0], 1000.0) for r in own]
    for place, estimate in enumerate((found.steps, found.saved)):
        variance = np.var(mine, ddof=1) / 4
        for group in without:
            values = [numbers_[place] for numbers_ in group]
            variance += 2 / 3 * np.sum((np.array(values) - np.mean(values)) ** 2)
        assert estimate.value == pytest.approx(whole[place])
        assert estimate.standard_error == pytest.approx(math.sqrt(variance))
    itself = reaching_relative(None, base, ends, floor, 0.75, 1000.0)
    assert itself.saved is None
    assert itself.steps.has_interval


def test_a_return_that_is_there_from_the_beginning_is_said_to_be() -> None:
    curves = curves_frame({"update_all": flat([1, 1, 1]), "scratch": [reach_at(500)] * 3})
    rows = measured(scores_frame({"random": [0.0] * 3}), curves, spec_of(3, threshold=0.9))
    row = rows["update_all", "steps_to_threshold"]
    assert row["mean"] == 50
    assert "no earlier step is looked at" in row["note"]
    assert "earlier" not in rows["scratch", "steps_to_threshold"]["note"]


def test_there_is_no_threshold_where_scratch_learned_nothing() -> None:
    curves = curves_frame({"update_all": flat([1, 2, 3]), "scratch": flat([-0.1, 0.0, 0.2])})
    rows = measured(scores_frame({"random": [0.0, 0.1, 0.2]}), curves, spec_of(3))
    row = rows["update_all", "steps_to_75"]
    assert math.isnan(row["mean"])
    assert "not shown to end above random" in row["note"]
