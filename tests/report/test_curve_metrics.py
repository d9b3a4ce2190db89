"""Tests of the metrics of learning curves, of their tables and of their place in the report."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from curve_frames import SOURCE, curves_frame, even, line, scores_frame
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_rows import ALL, TRANSFER, flat, interval, measured, reach_at, spec_of
from scipy import stats

from thaw.report.curves import CurveTable
from thaw.report.learning.budget import difference_curve, speed_sentence
from thaw.report.learning.curve_metrics import UNITS, curve_metrics_frame
from thaw.report.learning.speed_tables import budget_table, speed_table
from thaw.report.learning.transfer_curves import TransferCurves
from thaw.report.runs import RunTable
from thaw.report.scores import check_curves, check_scores
from thaw.report.spec import ReportSpec
from thaw.report.write import write_report


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    found = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    return float(found.low), float(found.high)


# --- areas and ends


def test_area_gain_is_welchs_difference_of_the_areas() -> None:
    own, base = [0.6, 0.7, 0.9, 0.8], [0.15, 0.25, 0.2]
    curves = curves_frame({"update_all": flat(own), "scratch": flat(base)})
    rows = measured(scores_frame({"random": [0.0] * 3}), curves, spec_of(4))
    gain = rows["update_all", "area_gain"]
    assert gain["mean"] == pytest.approx(0.55)
    welch = stats.ttest_ind(own, base, equal_var=False).confidence_interval(0.95)
    assert interval(gain) == pytest.approx((welch.low, welch.high))
    assert rows["update_all", "area"]["mean"] == pytest.approx(0.75)
    assert rows["update_all", "area_ratio"]["mean"] == pytest.approx(0.75 / 0.2)
    assert ("scratch", "area_gain") not in rows


def test_bins_that_differ_by_one_step_keep_every_seed() -> None:
    shifted = [{s + seed: v for s, v in line(0, 1).items()} for seed in (-1, 0, 1)]
    curves = curves_frame({"update_all": shifted, "scratch": flat([0.1, 0.2, 0.3])})
    rows = measured(scores_frame({"random": [0.0, 0.1, 0.2]}), curves, spec_of(3))
    gain = rows["update_all", "area_gain"]
    assert (gain["num_seeds"], gain["num_missing"]) == (3, 0)
    assert gain["mean"] == pytest.approx(0.3, abs=0.01)
    assert gain["ci_low"] > 0
    assert rows["update_all", "lead_at_50"]["num_seeds"] == 3


def test_missing_bins_are_bridged_inside_a_run() -> None:
    full = line(0, 1)
    gaps = {steps: value for steps, value in full.items() if not 200 < steps < 800}
    curves = curves_frame({"update_all": [full, full, gaps], "scratch": flat([0.1, 0.2, 0.3])})
    rows = measured(scores_frame({"random": [0.0] * 3}), curves, spec_of(3))
    assert rows["update_all", "area"]["mean"] == pytest.approx(0.5)


def test_forward_transfer_is_the_share_of_what_scratch_left() -> None:
    own, base = [0.6, 0.7, 0.8], [0.1, 0.2, 0.3]
    curves = curves_frame({"update_all": flat(own), "scratch": flat(base)})
    scores = scores_frame({"random": [0.0] * 3})
    rows = measured(scores, curves, spec_of(3, bounds=(-1.0, 1.0)))
    found = rows["update_all", "forward_transfer"]
    assert found["mean"] == pytest.approx((0.7 - 0.2) / (1 - 0.2))
    # Fieller: the bounds are where the difference of (1 - A) and (1 - FT) (1 - A_s) is as large
    # as t standard errors; both variances are 0.01 / 3, and t has Welch's degrees of freedom.
    ratio = 0.3 / 0.8
    free = (1 + ratio**2) ** 2 / (1 / 2 + ratio**4 / 2)
    t = stats.t.ppf(0.975, free)
    for bound in interval(found):
        left = 1 - bound
        assert abs(0.3 - left * 0.8) == pytest.approx(t * math.sqrt((1 + left**2) * 0.01 / 3))
    unknown = measured(scores, curves, spec_of(3))["update_all", "forward_transfer"]
    assert math.isnan(unknown["mean"])
    assert "no highest possible return" in unknown["note"]


def test_at_the_ceiling_there_is_no_forward_transfer() -> None:
    curves = curves_frame({"update_all": flat([1, 1, 1]), "scratch": flat([0.99, 1, 1])})
    rows = measured(scores_frame({"random": [0.0] * 3}), curves, spec_of(3, bounds=(-1.0, 1.0)))
    found = rows["update_all", "forward_transfer"]
    assert math.isnan(found["mean"])
    assert "cannot tell 1.000 minus From scratch's area from zero" in found["note"]
    assert rows["update_all", "area_gain"]["mean"] == pytest.approx(0.01 / 3)


def test_a_ratio_of_areas_needs_a_denominator_above_zero() -> None:
    curves = curves_frame({"update_all": flat([1, 2, 3]), "scratch": flat([-1, 0.5, 1])})
    rows = measured(scores_frame({"random": [-8.0, -9.0, -10.0]}), curves, spec_of(3))
    assert math.isnan(rows["update_all", "area_ratio"]["mean"])
    assert "From scratch's area" in rows["update_all", "area_ratio"]["note"]
    above = rows["update_all", "area_ratio_above_random"]
    assert above["mean"] == pytest.approx((2 + 9) / (0.5 / 3 + 9))
    assert math.isfinite(above["ci_low"])


def test_the_asymptotic_gain_says_which_curve_still_rises() -> None:
    rising = [line(0, 1 + noise) for noise in (0.0, 0.01, 0.02)]
    curves = curves_frame({"update_all": flat([0.5, 0.6, 0.7]), "scratch": rising})
    row = measured(scores_frame({}), curves, spec_of(3))["update_all", "asymptotic_gain"]
    assert row["mean"] == pytest.approx(0.6 - 1.01 * 97 / 99)
    assert row["note"] == "still rising at the end: From scratch"


def test_regret_names_its_reference() -> None:
    curves = curves_frame({"update_all": flat([0.4, 0.5, 0.6]), "scratch": flat([0.1, 0.2, 0.3])})
    declared = measured(scores_frame({}), curves, spec_of(3, bounds=(-1.0, 1.0)))
    assert declared["update_all", "regret"]["mean"] == pytest.approx(0.5)
    assert "highest possible return, 1.000" in declared["update_all", "regret"]["note"]
    common = measured(scores_frame({}), curves, spec_of(3))["scratch", "regret"]
    assert common["mean"] == pytest.approx(0.3)
    assert common["note"] == "to the end of Update all, 0.500, which favors that condition"


# --- before, during and after


def test_the_dip_is_paired_with_the_return_before_training() -> None:
    before, early = [0.9, 0.8, 0.6], [0.4, 0.2, 0.2]
    runs = [even([0.0] + [low] * 4 + [1.0] * 95) for low in early]
    rows = measured(
        scores_frame({"freeze_all": before}), curves_frame({"update_all": runs}), spec_of(3)
    )
    dip = rows["update_all", "dip"]
    assert dip["mean"] == pytest.approx(0.5)
    assert interval(dip) == pytest.approx(t_interval([0.5, 0.6, 0.4]))


def test_runs_that_do_not_come_back_are_counted() -> None:
    curves = curves_frame({"update_all": [reach_at(200), reach_at(400), reach_at(5000)]})
    rows = measured(scores_frame({"freeze_all": [0.9, 0.9, 0.9]}), curves, spec_of(3))
    assert rows["update_all", "share_recovered"]["mean"] == pytest.approx(2 / 3)
    steps = rows["update_all", "recovery_steps"]
    assert steps["mean"] == pytest.approx((250 + 450 + 1000) / 3)
    assert steps["note"] == "1 of 3 did not come back and count as 1,000"


def test_few_bins_have_no_early_window() -> None:
    curves = curves_frame({"update_all": [line(0, 1, bins=8)] * 3})
    row = measured(scores_frame({"freeze_all": [0.9] * 3}), curves, spec_of(3))["update_all", "dip"]
    assert math.isnan(row["mean"])
    assert "between 1 % and 5 % of the budget" in row["note"]


def with_source(scores: pd.DataFrame, returns: Sequence[float], condition: str) -> pd.DataFrame:
    """Add the return on the source of each run of a condition."""
    known = dict(zip(scores.index[scores["condition"] == condition], returns, strict=True))
    before = scores.get("source_mean_return", pd.Series(np.nan, index=scores.index))
    column = [known.get(place, value) for place, value in before.items()]
    return scores.assign(source_mean_return=column)


def test_forgetting_is_paired_with_the_evaluation_before() -> None:
    before, after = [0.95, 0.70, 0.80], [0.75, 0.40, 0.55]
    scores = scores_frame({"update_all": [0, 0, 0], "pretrain": [0.1, 0.1, 0.1]})
    scores["evaluation_mean_return"] = [np.nan] * 3 + before
    random = pd.DataFrame(
        {"source": "", "target": SOURCE, "condition": "random", "seed": range(3),
         "mean_return": [-0.2, -0.1, 0.0]}
    )  # fmt: skip
    scores = pd.concat([with_source(scores, after, "update_all"), random], ignore_index=True)
    rows = measured(scores, None, spec_of(3))
    changes = [-0.2, -0.3, -0.25]
    change = rows["update_all", "change_on_source"]
    assert change["mean"] == pytest.approx(-0.25)
    assert interval(change) == pytest.approx(t_interval(changes))
    relative = rows["update_all", "change_on_source_relative"]
    assert relative["mean"] == pytest.approx(-0.25 / (np.mean(before) + 0.1))
    # Fieller: at each bound x, mean(change - x before) + x random is t standard errors from 0.
    needed = []
    for bound in interval(relative):
        gaps = np.array(changes) - bound * np.array(before)
        error = math.sqrt(gaps.var(ddof=1) / 3 + bound**2 * 0.01 / 3)
        needed.append(abs(gaps.mean() + bound * -0.1) / error)
    assert needed[0] == pytest.approx(needed[1])
    assert 2.7 < needed[0] < 4.31  # t of 2 to 4 degrees of freedom


def test_without_a_pretraining_there_is_no_forgetting() -> None:
    scores = with_source(scores_frame({"update_all": [0, 0, 0]}), [0.1, 0.2, 0.3], "update_all")
    row = measured(scores, None, spec_of(3))["update_all", "change_on_source"]
    assert math.isnan(row["mean"])
    assert row["note"] == "the pretraining's own return is missing"
    assert row["num_seeds"] == 3


def test_the_jumpstart_says_what_stands_for_scratch() -> None:
    scores = scores_frame({"freeze_all": [0.5, 0.6, 0.7], "random": [-0.5, -0.4, -0.3]})
    runs = [even([low] + [1.0] * 99) for low in (-0.2, -0.1, 0.0)]
    rows = measured(scores, curves_frame({"scratch": runs}), spec_of(3))
    start = rows["freeze_all", "jumpstart"]
    assert start["mean"] == pytest.approx(0.7)
    assert start["note"].startswith("From scratch by its first bin, up to 10 steps")
    assert rows["freeze_all", "jumpstart_over_random"]["mean"] == pytest.approx(1.0)


def test_the_zero_shot_gap_needs_one_environment() -> None:
    returns = {"freeze_all": [0.5, 0.4, 0.3], "pretrain": [0.9, 0.9, 0.6]}
    gap = measured(scores_frame(returns), None, spec_of(3))["freeze_all", "zero_shot_gap"]
    assert gap["mean"] == pytest.approx(-0.4)
    assert interval(gap) == pytest.approx(t_interval([-0.4, -0.5, -0.3]))
    pair = ("catch", "gym/CartPole-v1")
    scores = scores_frame(returns, target=pair[1])
    spec = ReportSpec("n", (pair,), ALL, (0, 1, 2))
    assert math.isnan(measured(scores, None, spec)["freeze_all", "zero_shot_gap"]["mean"])


# --- budget


def test_a_difference_of_speed_is_told_from_one_that_stays() -> None:
    slow = [line(0, 1 + noise) for noise in (0.0, 0.02, -0.02, 0.01)]
    fast = [even([1.0 + noise] * 100) for noise in (0.01, -0.01, 0.02, 0.0)]
    spec = spec_of(4)
    scores = scores_frame({"freeze_head": [1.0, 1.0, 0.98, 1.0], "freeze_embedding": [1.0] * 4})
    frame = curve_metrics_frame(
        check_scores(scores),
        check_curves(curves_frame({"freeze_head": fast, "freeze_embedding": slow})),
        spec,
    )
    rows = {(row["condition"], row["metric"]): row for row in frame.to_dict("records")}
    name = "difference_to_freeze_embedding"
    assert rows["freeze_head", f"{name}_at_25"]["ci_low"] > 0.7
    assert rows["freeze_head", f"{name}_at_100"]["ci_low"] < 0.05
    assert rows["freeze_head", name]["mean"] == pytest.approx(-0.005)
    assert ("freeze_head", "lead_at_25") in rows
    assert rows["freeze_head", "lead_at_25"]["note"] == "ahead of every other trained condition"
    assert "it is faster" in speed_sentence(frame, *TRANSFER)
    table = budget_table(frame, spec, *TRANSFER)
    assert table.labels == tuple(f"{p} % of the steps" for p in (25, 50, 75, 100))
    assert table.cells[0][0].text == "Freeze head"
    assert table.cells[0][0].bold
    assert "it is faster" in table.caption


def test_the_difference_curve_is_paired_and_inside_the_window() -> None:
    spec = spec_of(3)
    curves = curves_frame({"freeze_head": flat([1, 2, 3]), "freeze_embedding": flat([0, 1.5, 2])})
    transfer = TransferCurves(
        RunTable(check_scores(scores_frame({})), spec), CurveTable(curves, spec), *TRANSFER
    )
    found = difference_curve(transfer)
    assert found is not None
    assert (found.steps[0], found.steps[-1], len(found.steps)) == (10, 1000, 100)
    low, high = t_interval([1, 0.5, 1])
    assert found.low == pytest.approx(np.full(100, low))
    assert found.high == pytest.approx(np.full(100, high))
    assert difference_curve(transfer, "freeze_head", "update_all") is None


# --- all together


def whole_suite(num_seeds: int, shift: float = 0.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return scores and curves of every condition, with the returns moved by a constant."""
    rng = np.random.default_rng(num_seeds)
    levels = {"random": -0.5, "scratch": 0.4, "update_all": 0.8, "freeze_embedding": 0.6,
              "freeze_head": 0.7, "freeze_all": 0.2, "pretrain": 0.9}  # fmt: skip
    returns = {c: (level + 0.05 * rng.normal(size=num_seeds) + shift).tolist()
               for c, level in levels.items()}  # fmt: skip
    scores = scores_frame(returns)
    for condition in ("update_all", "freeze_embedding", "freeze_head"):
        scores = with_source(
            scores, (0.5 + shift + 0.1 * rng.normal(size=num_seeds)).tolist(), condition
        )
    curves = curves_frame(
        {
            c: [
                even(np.linspace(-0.3, value - shift, 100) + shift + 0.1 * rng.normal(size=100))
                for value in returns[c]
            ]
            for c in ("scratch", "update_all", "freeze_embedding", "freeze_head")
        }
    )
    return scores, curves


SHIFTED = ("area", "area_ratio", "steps_to_threshold")
"""Metrics that are not differences."""


@settings(max_examples=15, deadline=None)
@given(st.floats(-100, 100), st.integers(3, 5))
def test_a_constant_added_to_all_returns_changes_no_difference(
    shift: float, num_seeds: int
) -> None:
    first = measured(*whole_suite(num_seeds), spec_of(num_seeds, bounds=(-9.0, 1.0)))
    second = measured(
        *whole_suite(num_seeds, shift),
        spec_of(num_seeds, bounds=(-9.0 + shift, 1.0 + shift)),
    )
    assert first.keys() == second.keys()
    for (condition, metric), row in first.items():
        if metric not in SHIFTED:
            for key in ("mean", "ci_low", "ci_high"):
                assert second[condition, metric][key] == pytest.approx(
                    row[key], abs=1e-8, rel=1e-6, nan_ok=True
                ), (condition, metric, key)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.02, 1.0), st.floats(0.1, 1.0))
def test_whatever_is_missing_the_numbers_lie_in_their_intervals(
    seed: int, kept_points: float, kept_runs: float
) -> None:
    rng = np.random.default_rng(seed)
    scores, curves = whole_suite(4)
    scores = scores[rng.random(len(scores)) < kept_runs]
    runs = {(c, s) for c in ALL for s in range(4) if rng.random() < kept_runs}
    names = zip(curves["condition"], curves["seed"], strict=True)
    there = np.array([name in runs for name in names]) & (rng.random(len(curves)) < kept_points)
    moved = curves["steps"] + rng.integers(0, 4, len(curves))
    curves = curves.assign(steps=moved)[there]
    spec = spec_of(4, bounds=(-9.0, 9.0), threshold=0.3)
    for key, row in measured(scores, curves, spec).items():
        assert math.isfinite(row["mean"]) or row["note"], key
        assert math.isfinite(row["ci_low"]) == math.isfinite(row["ci_high"]), key
        if math.isfinite(row["ci_low"]):
            assert row["ci_low"] - 1e-9 <= row["mean"] <= row["ci_high"] + 1e-9, key


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_with_fewer_than_three_seeds_no_number_has_an_interval(num_seeds: int) -> None:
    rows = measured(*whole_suite(num_seeds), spec_of(num_seeds, bounds=(-9.0, 1.0)))
    assert math.isfinite(rows["update_all", "area_gain"]["mean"])
    for key, row in rows.items():
        assert np.isnan(row["ci_low"]), key
        assert np.isnan(row["ci_high"]), key
        assert row["note"], key


def test_with_three_seeds_every_metric_has_a_number() -> None:
    scores, curves = whole_suite(5)
    on_source = scores[scores["condition"] == "random"].assign(target=SOURCE)
    scores = pd.concat([scores, on_source], ignore_index=True)
    rows = measured(scores, curves, spec_of(5, bounds=(-9.0, 1.0), threshold=0.3))
    found = {metric for (_, metric), row in rows.items() if math.isfinite(row["mean"])}
    assert found == set(UNITS)
    for (condition, metric), row in rows.items():
        if metric not in ("share_reaching_90", "steps_to_90", "steps_saved_to_90"):
            assert math.isfinite(row["ci_low"]) or "equal" in row["note"], (condition, metric)
        if math.isfinite(row["ci_low"]):
            assert row["ci_low"] <= row["mean"] <= row["ci_high"], (condition, metric)


def test_without_curves_only_the_metrics_that_need_none_are_there() -> None:
    scores, _ = whole_suite(3)
    metrics = {metric for _, metric in measured(scores, None, spec_of(3))}
    assert metrics == {
        "jumpstart_over_random",
        "zero_shot_gap",
        "change_on_source",
        "change_on_source_relative",
        "difference_to_freeze_embedding",
    }


def test_a_condition_without_curves_says_so() -> None:
    curves = curves_frame({"scratch": flat([0.1, 0.2, 0.3])})
    rows = measured(scores_frame({"random": [0.0] * 3}), curves, spec_of(3))
    for metric in ("area", "asymptotic_gain", "regret", "steps_to_75"):
        assert rows["update_all", metric]["note"] == "Update all has no learning curve"
        assert math.isnan(rows["update_all", metric]["mean"])
    curves = curves_frame({"update_all": flat([0.1, 0.2, 0.3])})
    rows = measured(scores_frame({"random": [0.0] * 3}), curves, spec_of(3))
    assert rows["update_all", "area_gain"]["note"] == "From scratch has no learning curve"


def test_the_table_of_speed_and_price_shows_what_there_is() -> None:
    scores, curves = whole_suite(5)
    spec = spec_of(5)
    frame = curve_metrics_frame(check_scores(scores), check_curves(curves), spec)
    table = speed_table(frame, spec, *TRANSFER)
    assert table.title == "How fast and at what price: Catch, large ball"
    titles = [column.title for column in table.columns]
    assert titles[:2] == ["End minus scratch", "Whole curve minus scratch"]
    assert "Forward transfer" not in titles  # without bounds it is n/a everywhere
    assert table.conditions == ("scratch", "update_all", "freeze_embedding", "freeze_head")
    reached = table.cells[1][titles.index("Runs that reach it")]
    assert reached.text == "5 of 5"
    assert table.cells[0][0].kind == "empty"  # scratch minus itself
    no_curves = curve_metrics_frame(check_scores(scores_frame({})), None, spec)
    assert not budget_table(no_curves, spec, *TRANSFER).cells
    assert not speed_table(no_curves, spec, *TRANSFER).cells


def test_the_report_has_the_metrics_and_both_tables(tmp_path: Path) -> None:
    scores, curves = whole_suite(3)
    write_report(scores, curves, spec_of(3), tmp_path)
    metrics = pd.read_csv(tmp_path / "metrics.csv")
    assert {"return", "area_gain", "change_on_source"} <= set(metrics["metric"])
    document = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert len(document["metrics"]) == len(metrics)
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "### How fast and at what price: Catch, large ball" in text
    assert "### Who leads at which budget: Catch, large ball" in text
