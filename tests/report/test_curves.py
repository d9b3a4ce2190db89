from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from curve_frames import SOURCE, TARGET, curves_frame, line
from hypothesis import given, settings
from hypothesis import strategies as st

from thaw.report.curves import Curve, CurveTable, align, curve_points
from thaw.report.spec import ReportSpec

TRANSFER = (SOURCE, TARGET)


def spec_of(num_seeds: int, *conditions: str, **fields: Any) -> ReportSpec:
    names = conditions or ("scratch", "update_all")
    return ReportSpec("n", (TRANSFER,), names, tuple(range(num_seeds)), **fields)


def curve(seed: int, *steps: float) -> Curve:
    return Curve(seed, np.array(steps, float), np.array(steps, float) * 2)


def test_seeds_meet_at_the_bins_edge_and_nothing_is_filled_in() -> None:
    curves = curves_frame({"update_all": [{10: 0, 20: 2, 40: 8}, {10: 1, 30: 5, 40: 4}]})
    points = curve_points(curves, spec_of(2), *TRANSFER, "update_all")
    assert points.steps.tolist() == [10, 20, 30, 40]
    assert points.mean.tolist() == [0.5, 2, 5, 6]
    assert points.num_seeds.tolist() == [2, 1, 1, 2]
    assert np.isnan(points.low).all()
    assert np.isnan(points.high).all()
    np.testing.assert_array_equal(points.seeds, [[0, 2, np.nan, 8], [1, np.nan, 5, 4]])
    assert points.seed_numbers == (0, 1)


def test_the_band_is_students_t_at_each_point() -> None:
    curves = curves_frame({"update_all": [{10: 1, 20: 0}, {10: 2, 20: 0}, {10: 3, 20: 0}, {20: 0}]})
    points = curve_points(curves, spec_of(4), *TRANSFER, "update_all")
    half = 4.302653 / np.sqrt(3)  # t of 2 degrees of freedom; the standard deviation is 1
    assert points.low[0] == pytest.approx(2 - half)
    assert points.high[0] == pytest.approx(2 + half)
    assert np.isnan(points.low[1])  # four equal values show no spread, which is not certainty
    cut = curve_points(curves, spec_of(4, bounds=(0.0, 3.0)), *TRANSFER, "update_all")
    assert (cut.low[0], cut.high[0]) == (0.0, 3.0)


def test_bins_that_differ_by_one_step_are_one_point() -> None:
    runs = {seed: {10 * i + seed: float(i) for i in range(1, 9)} for seed in (0, 1)}
    runs[2] = {10 * i: float(i + 3) for i in range(1, 9)}
    points = curve_points(curves_frame({"update_all": runs}), spec_of(3), *TRANSFER, "update_all")
    assert points.steps.tolist() == [10 * i for i in range(1, 9)]  # the step of most seeds
    assert points.num_seeds.tolist() == [3] * 8
    assert points.mean.tolist() == [i + 1 for i in range(1, 9)]
    assert np.isfinite(points.low).all()


def test_steps_that_belong_to_different_bins_stay_apart() -> None:
    steps, _ = align([curve(0, 1, 10, 100, 1000), curve(1, 1, 10, 100, 1001)])
    assert steps.tolist() == [1, 10, 100, 1001]
    steps, _ = align([curve(0, 900, 1000), curve(1, 900, 999, 1000)])  # a last evaluation
    assert steps.tolist() == [900, 999, 1000]
    assert align([curve(0, 10), curve(1, 1000)])[0].tolist() == [10, 1000]
    assert align([curve(0, 0, 10), curve(1, 0, 20)])[0].tolist() == [0, 10, 20]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sets(st.integers(0, 300), min_size=1, max_size=12).map(sorted), min_size=1, max_size=5
    )
)
def test_aligned_points_keep_every_value_and_its_order(runs: list[list[int]]) -> None:
    curves = [curve(seed, *steps) for seed, steps in enumerate(runs)]
    steps, values = align(curves)
    assert (np.diff(steps) > 0).all()
    for row, run in zip(values, curves, strict=True):
        assert row[~np.isnan(row)].tolist() == run.values.tolist()


def test_scratch_serves_every_transfer_and_unplanned_seeds_none() -> None:
    curves = curves_frame({"scratch": {0: {10: 1}, 7: {10: 2}}, "update_all": {0: {10: 3}}})
    table = CurveTable(curves, spec_of(1))
    assert [c.seed for c in table.curves(*TRANSFER, "scratch").curves] == [0]
    assert not table.curves(*TRANSFER, "scratch").paired
    assert table.curves(*TRANSFER, "update_all").paired
    assert not table.curves("other", TARGET, "update_all").curves
    assert not len(table.points(*TRANSFER, "freeze_head").steps)


def test_a_thousand_runs_are_grouped_in_seconds() -> None:
    conditions = [f"rule{i}" for i in range(20)]
    runs = {name: [line(0, 1, bins=1000) for _ in range(50)] for name in conditions}
    curves = curves_frame(runs).sample(frac=1, random_state=0)
    start = time.process_time()
    table = CurveTable(curves, spec_of(50, *conditions))
    points = [table.points(*TRANSFER, name) for name in conditions]
    took = time.process_time() - start
    assert all(len(found.steps) == 1000 and len(found.seeds) == 50 for found in points)
    assert took < 20  # seconds; about 2 on one idle core
