from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from make_golden import CATCH, GOLDEN
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex

from thaw.report.aggregates import aggregates_frame
from thaw.report.curves import curve_points
from thaw.report.figures import (
    LOOKS,
    figure_files,
    final_returns_figure,
    learning_curves_figure,
    looks,
    short_steps,
)
from thaw.report.metrics import metrics_frame
from thaw.report.panels import (
    FEWEST_POINTS,
    MOST_POINTS,
    MOST_SEED_LINES,
    curve_panels,
    points_per_curve,
)
from thaw.report.scores import read_curves, read_scores
from thaw.report.spec import ReportSpec

MakeScores = Callable[..., pd.DataFrame]
BALL = ("catch", "catch@large_ball")
HALF_OF_THREE = 4.30265273 / 3**0.5
"""Half of the 95 % t interval of three values of standard deviation 1."""


def make_curves(values: dict[str, dict[int, dict[int, float]]]) -> pd.DataFrame:
    """Build curves of one transfer from condition -> seed -> steps -> return."""
    rows = [
        ("" if condition == "scratch" else BALL[0], BALL[1], condition, seed, steps, value)
        for condition, seeds in values.items()
        for seed, bins in seeds.items()
        for steps, value in bins.items()
    ]
    columns = ["source", "target", "condition", "seed", "steps", "mean_return"]
    return pd.DataFrame(rows, columns=columns)


def lines(axes: Axes, kind: str) -> dict[str, tuple[list[float], list[float]]]:
    """Return condition -> (x, y) of the lines labeled ``kind:condition``."""
    found = {}
    for line in axes.get_lines():
        what, _, condition = str(line.get_label()).partition(":")
        if what == kind:
            found[condition] = (
                np.asarray(line.get_xdata(), float).round(9).tolist(),
                np.asarray(line.get_ydata(), float).round(9).tolist(),
            )
    return found


def test_seeds_meet_at_the_bins_edge_and_nothing_is_filled_in() -> None:
    seeds: dict[int, dict[int, float]] = {
        0: {10: 0, 20: 2, 40: 8},
        1: {10: 1, 30: 5, 40: 4},
        2: {10: 2, 20: 4, 40: 6},
    }
    curves = make_curves({"update_all": seeds})
    spec = ReportSpec("n", (BALL,), ("update_all",), (0, 1, 2))
    points = curve_points(curves, spec, *BALL, "update_all")
    assert points.steps.tolist() == [10, 20, 30, 40]
    assert points.mean.tolist() == [1, 3, 5, 6]
    assert points.num_seeds.tolist() == [3, 2, 1, 3]
    half = HALF_OF_THREE * np.array([1, np.nan, np.nan, 2])
    np.testing.assert_allclose(points.low, points.mean - half)
    np.testing.assert_allclose(points.high, points.mean + half)


def test_learning_curves_show_means_bands_and_levels(make_scores: MakeScores) -> None:
    scores = make_scores(
        {"random": [-0.5, -0.3], "freeze_all": [0.1, 0.3], "update_all": [1, 1, 1]}
    )
    curves = make_curves(
        {
            "update_all": {s: {100: 0.1 * s, 200: 0.6 + 0.1 * s} for s in range(3)},
            "scratch": {0: {100: -1.0, 200: 0.0}},
        }
    )
    spec = ReportSpec("n", (BALL,), ("random", "scratch", "update_all", "freeze_all"), (0, 1, 2))
    figure = learning_curves_figure(curves, metrics_frame(scores, spec), spec)
    assert figure is not None
    (axes,) = figure.axes
    assert axes.get_title() == "Catch, large ball"
    drawn = lines(axes, "mean")
    assert drawn["update_all"] == ([100, 200], [0.1, 0.7])
    assert drawn["scratch"] == ([100, 200], [-1, 0])
    assert drawn["random"] == ([0, 200], [-0.4, -0.4])
    assert drawn["freeze_all"] == ([0, 200], [0.2, 0.2])
    bands = {c.get_label(): c for c in axes.collections if isinstance(c, PolyCollection)}
    heights = bands["band:update_all"].get_paths()[0].vertices
    half = 0.1 * HALF_OF_THREE
    edges = {round(mean + side * half, 6) for mean in (0.1, 0.7) for side in (-1, 1)}
    assert {round(float(y), 6) for y in np.asarray(heights)[:, 1]} == edges
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "Random",
        "From scratch",
        "Update all",
        "Freeze all",
    ]
    assert "mean and 95 % t interval over 1 to 3 seeds" in legend.get_title().get_text()


def test_one_panel_per_transfer_and_one_color_per_condition() -> None:
    scores = read_scores(GOLDEN / "catch" / "scores.csv")
    curves = read_curves(GOLDEN / "catch" / "curves.csv")
    metrics = metrics_frame(scores, CATCH)
    figures = [
        learning_curves_figure(curves, metrics, CATCH),
        final_returns_figure(scores, metrics, CATCH),
    ]
    for figure in figures:
        assert figure is not None
        assert [axes.get_title() for axes in figure.axes] == [
            "Catch, large ball",
            "Catch, small ball",
            "Catch, small paddle",
            "Catch, red background",
        ]
        for axes in figure.axes:
            shown = {
                str(line.get_label())[5:]: to_hex(line.get_color())
                for line in axes.get_lines()
                if str(line.get_label()).startswith("mean:")
            }
            assert shown == {c: LOOKS[c].color.lower() for c in CATCH.conditions}


@pytest.mark.parametrize(
    ("target", "shared"),
    [("catch@large_ball", True), ("catch?downsample=8", True), ("ball", False)],
)
def test_panels_share_their_axis_where_the_table_has_an_aggregate(
    make_scores: MakeScores, target: str, shared: bool
) -> None:
    spec = ReportSpec("n", (("catch", "catch"), ("catch", target)), ("update_all",), (0,))
    scores = pd.concat(
        [make_scores({"update_all": [0.5]}, target=end) for _, end in spec.transfers],
        ignore_index=True,
    )
    curves = scores[["source", "target", "condition", "seed", "mean_return"]].assign(steps=100)
    figure = learning_curves_figure(curves, metrics_frame(scores, spec), spec)
    assert figure is not None
    first, second = figure.axes
    assert first.get_shared_y_axes().joined(first, second) == shared
    assert (not aggregates_frame(scores, spec).empty) == shared


def test_without_a_run_that_learns_there_are_no_curves(make_scores: MakeScores) -> None:
    scores = make_scores({"random": [0.1]})
    spec = ReportSpec("n", (BALL,), ("random",), (0,))
    curves = make_curves({"random": {0: {100: 0.0}}})
    assert learning_curves_figure(curves, metrics_frame(scores, spec), spec) is None


def test_final_returns_show_seeds_means_and_intervals(make_scores: MakeScores) -> None:
    scores = make_scores({"update_all": [0.2, 0.4, 0.6], "freeze_head": [0.3]})
    spec = ReportSpec("n", (BALL,), ("scratch", "update_all", "freeze_head"), (0, 1, 2))
    figure = final_returns_figure(scores, metrics_frame(scores, spec), spec)
    (axes,) = figure.axes
    assert lines(axes, "seeds")["update_all"][0] == [0.2, 0.4, 0.6]
    assert lines(axes, "mean")["update_all"] == ([0.4], [1])
    half = 0.2 * HALF_OF_THREE
    ends, places = lines(axes, "interval")["update_all"]
    assert ends == pytest.approx([0.4 - half, 0.4 + half])
    assert places == [1, 1]
    assert np.isnan(lines(axes, "interval")["freeze_head"][0]).all()
    assert "scratch" not in lines(axes, "mean")
    assert [text.get_text() for text in axes.texts] == ["missing"]


@pytest.mark.parametrize(
    ("second", "shared"), [("catch?paddle_width=60", True), ("atari/pong", False)]
)
def test_panels_share_the_axis_of_returns_only_within_one_game(second: str, shared: bool) -> None:
    spec = ReportSpec("n", (BALL, ("catch", second)), ("update_all",), (0,))
    curves = make_curves({"update_all": {0: {100: 0.5}}})
    other = curves.assign(target=second, mean_return=50.0)
    metrics = metrics_frame(curves.iloc[:0], spec)
    figure = learning_curves_figure(pd.concat([curves, other]), metrics, spec)
    assert figure is not None
    first_axes, second_axes = figure.axes
    assert (first_axes.get_ylim() == second_axes.get_ylim()) == shared


def test_figure_files_are_repeatable_and_undated(make_scores: MakeScores) -> None:
    scores = make_scores({"update_all": [0.2, 0.6]})
    spec = ReportSpec("n", (BALL,), ("update_all",), (0, 1))
    metrics = metrics_frame(scores, spec)
    once, again = (
        figure_files(final_returns_figure(scores, metrics, spec), "final") for _ in range(2)
    )
    assert sorted(once) == ["final.pdf", "final.png", "final.svg"]
    assert once == again
    assert b"<dc:date>" not in once["final.svg"]
    assert b"CreationDate" not in once["final.pdf"]


def test_own_conditions_take_colors_nobody_has() -> None:
    spec = ReportSpec("n", (BALL,), ("update_all", "mine", "yours"), (0,))
    colors = [look.color for look in looks(spec).values()]
    assert len(set(colors)) == len(LOOKS) + 2


@pytest.mark.parametrize(
    ("steps", "text"),
    [(0, "0"), (500, "500"), (50_000, "50k"), (1_500_000, "1.5M"), (200_000_000, "200M")],
)
def test_steps_are_written_short(steps: float, text: str) -> None:
    assert short_steps(steps) == text


def make_long_curves(num_seeds: int, num_points: int) -> pd.DataFrame:
    steps = range(10, 10 * num_points + 1, 10)
    return make_curves({"update_all": {s: {x: s + x / 7 for x in steps} for s in range(num_seeds)}})


def test_long_curves_are_thinned_to_points_that_were_measured(make_scores: MakeScores) -> None:
    curves = make_long_curves(2, 1_000)
    spec = ReportSpec("n", (BALL,), ("update_all",), (0, 1))
    metrics = metrics_frame(make_scores({"update_all": [1, 2]}), spec)
    (panel,) = curve_panels(curves, metrics, spec)
    ((_, points),) = panel.curves
    assert len(points.steps) == MOST_POINTS
    assert (points.steps[0], points.steps[-1]) == (10, 10_000)
    np.testing.assert_allclose(points.mean, 0.5 + points.steps / 7)
    assert [len(line.steps) for line in panel.seeds] == [MOST_POINTS] * 2


def test_many_curves_share_the_points_of_a_page() -> None:
    assert points_per_curve(1) == MOST_POINTS
    assert FEWEST_POINTS < points_per_curve(200) < MOST_POINTS
    assert points_per_curve(10_000) == FEWEST_POINTS


def test_single_seeds_are_drawn_up_to_a_limit_whole_seeds_first(make_scores: MakeScores) -> None:
    seeds = range(15)
    values = {s: {10: 0.0, 20: 1.0} for s in seeds}
    curves = make_curves({"update_all": values, "scratch": values})
    spec = ReportSpec("n", (BALL,), ("scratch", "update_all"), tuple(seeds))
    metrics = metrics_frame(make_scores({"update_all": [1.0] * 15}), spec)
    (panel,) = curve_panels(curves, metrics, spec)
    assert len(panel.seeds) == MOST_SEED_LINES
    assert [(line.seed, line.condition) for line in panel.seeds[:3]] == [
        (0, "scratch"), (0, "update_all"), (1, "scratch"),
    ]  # fmt: skip


def test_what_is_found_for_one_transfer_is_not_found_for_another(make_scores: MakeScores) -> None:
    other = ("catch", "catch@other")
    curves = make_curves({"update_all": {0: {10: 1.0}}, "scratch": {0: {10: 2.0}}})
    spec = ReportSpec("n", (BALL, other), ("scratch", "update_all"), (0,))
    first, second = curve_panels(curves, metrics_frame(make_scores({"random": [1]}), spec), spec)
    assert [curve.condition for curve in first.curves] == ["scratch", "update_all"]
    assert len(first.seeds) == 2
    assert second.curves == ()
    assert second.seeds == ()
