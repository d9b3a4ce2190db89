"""Draws the learning curves after the transfer, as in the paper's figure 5, and the final returns.

There is no pyplot and so no global state. The same figure gives the same files byte for byte:
they contain no date and no random identifiers.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from thaw.report.curves import CurvePoints, curve_points
from thaw.report.runs import RunTable
from thaw.report.spec import UNTRAINED_CONDITIONS, ReportSpec, condition_name, transfer_names
from thaw.report.statistics import MIN_SEEDS

PAGE_WIDTH_INCHES = 6.75
"""The text width of a two-column paper; a figure of one panel has half of it."""

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 7,
    "legend.title_fontsize": 6.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "svg.hashsalt": "thaw",
    "text.parse_math": False,  # a dollar sign in a name does not start a formula
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}


MAX_NAME_LETTERS = 36


class Look(NamedTuple):
    """How a condition is drawn in all figures; dashes tell conditions apart without color."""

    color: str
    dashes: Any


LOOKS: Mapping[str, Look] = {  # colors after Okabe and Ito 2008, safe for color-blind readers
    "update_all": Look("#0072B2", "-"),
    "freeze_embedding": Look("#D55E00", (0, (5, 1.5))),
    "freeze_head": Look("#009E73", (0, (5, 1.2, 1.2, 1.2))),
    "scratch": Look("#333333", (0, (2, 1))),
    "freeze_all": Look("#CC79A7", (0, (1, 1))),
    "random": Look("#8C8C8C", (0, (1, 2.5))),
}
_OTHER_COLORS = ("#E69F00", "#56B4E9", "#7A4FBF", "#A6761D", "#B10026")


class PanelFigure(Figure):
    """A figure that a notebook shows, although there is no pyplot."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            self.savefig(content, format="png", dpi=110)
        return content.getvalue()


def looks(spec: ReportSpec) -> dict[str, Look]:
    """Return the look of every condition; the user's conditions get the other colors in order."""
    own = [condition for condition in spec.conditions if condition not in LOOKS]
    return {
        **LOOKS,
        **{
            name: Look(_OTHER_COLORS[i % len(_OTHER_COLORS)], "-" if i < 5 else (0, (4, 2)))
            for i, name in enumerate(own)
        },
    }


def learning_curves_figure(
    curves: pd.DataFrame, metrics: pd.DataFrame, spec: ReportSpec
) -> Figure | None:
    """Draw one panel per transfer and one curve per condition.

    Args:
        curves: As :func:`thaw.report.scores.check_curves` returns them.
        metrics: From :func:`thaw.report.metrics.metrics_frame`; a condition that does not train
            is drawn as a line at its mean return.
        spec: What was planned.

    Returns:
        The figure, or None if there is no curve.
    """
    learning = curves[~curves["condition"].isin(UNTRAINED_CONDITIONS)]
    if learning.empty:
        return None
    with matplotlib.rc_context(STYLE):
        figure, panels = _panels(spec, height_per_row=1.75, share_returns=True)
        names, drawn, counts = transfer_names(spec.transfers), dict[str, None](), set[int]()
        for transfer, axes in zip(spec.transfers, panels, strict=True):
            axes.set_title(_cut(names[transfer]))
            all_points = {
                condition: curve_points(learning, spec, *transfer, condition)
                for condition in spec.conditions
                if condition not in UNTRAINED_CONDITIONS
            }
            last = max((p.steps[-1] for p in all_points.values() if len(p.steps)), default=1.0)
            for condition, look in looks(spec).items():
                points = all_points.get(condition)
                if condition in UNTRAINED_CONDITIONS and condition in spec.conditions:
                    points = _level(metrics, *transfer, condition, float(last))
                if points is None or not len(points.steps):
                    continue
                drawn[condition] = None
                counts |= {int(n) for n in points.num_seeds}
                _draw(axes, points, look, condition)
            axes.set_xlim(0, last)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda steps, _: short_steps(steps)))
            axes.xaxis.set_major_locator(MaxNLocator(4))
        for axes in _bottom_panels(panels):
            axes.set_xlabel("Agent steps after transfer")
        for axes in _left_panels(panels):
            axes.set_ylabel("Return")
        _legend(figure, spec, list(drawn), counts)
    return figure


def final_returns_figure(scores: pd.DataFrame, metrics: pd.DataFrame, spec: ReportSpec) -> Figure:
    """Draw each condition's mean return and interval, and its runs as small dots.

    Args:
        scores: As :func:`thaw.report.scores.check_scores` returns them.
        metrics: From :func:`thaw.report.metrics.metrics_frame`.
        spec: What was planned.
    """
    conditions = spec.conditions
    shown = metrics[metrics["metric"] == "return"]
    rows = {(row["source"], row["target"], row["condition"]): row for _, row in shown.iterrows()}
    with matplotlib.rc_context(STYLE):
        figure, panels = _panels(spec, height_per_row=0.55 + 0.17 * len(conditions))
        names, counts, table = transfer_names(spec.transfers), set[int](), RunTable(scores, spec)
        for transfer, axes in zip(spec.transfers, panels, strict=True):
            axes.set_title(_cut(names[transfer]))
            for place, condition in enumerate(conditions):
                runs = table.runs(*transfer, condition)
                row = rows[*transfer, condition]
                if not len(runs.values):
                    axes.annotate(
                        "missing", (0.02, place), xycoords=("axes fraction", "data"),
                        va="center", fontsize=6, color="#8C8C8C", style="italic",
                    )  # fmt: skip
                    continue
                counts.add(len(runs.values))
                color = looks(spec)[condition].color
                axes.plot(
                    runs.values, [place + 0.27] * len(runs.values), ".", color=color, alpha=0.45,
                    markersize=4, markeredgewidth=0, label=f"seeds:{condition}",
                )  # fmt: skip
                axes.plot(
                    [row["ci_low"], row["ci_high"]], [place, place], color=color,
                    linewidth=1.6, solid_capstyle="butt", label=f"interval:{condition}",
                )  # fmt: skip
                axes.plot(
                    [row["mean"]], [place], "o", color=color, markersize=4.5,
                    markeredgecolor="white", markeredgewidth=0.5, label=f"mean:{condition}",
                )  # fmt: skip
            axes.set_ylim(len(conditions) - 0.5, -0.5)
            axes.set_yticks(range(len(conditions)), [])
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.grid(visible=False, axis="y")
            axes.margins(x=0.08)
        for axes in _left_panels(panels):
            axes.set_yticks(range(len(conditions)), [_cut(condition_name(c)) for c in conditions])
        for axes in _bottom_panels(panels):
            axes.set_xlabel("Return")
        note = f"Large dot: mean; line: 95 % t interval; small dots: {_seeds(counts)}"
        figure.supxlabel(note, fontsize=6.5)
    return figure


def figure_files(figure: Figure, name: str) -> dict[str, bytes]:
    """Render a figure as SVG, PDF and PNG; the same figure gives the same bytes.

    Returns:
        Content by file name.
    """
    dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    files = {}
    for kind, metadata in dated.items():
        content = io.BytesIO()
        with matplotlib.rc_context(STYLE), warnings.catch_warnings():
            # The font has not every script's letters. The tables and the page show them all.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            figure.savefig(content, format=kind, dpi=200, metadata=metadata)
        files[f"{name}.{kind}"] = content.getvalue()
    return files


def _cut(name: str) -> str:
    """Cut a name that is too long for a figure; tables and page show it whole."""
    return name if len(name) <= MAX_NAME_LETTERS else f"{name[:MAX_NAME_LETTERS]}..."


def short_steps(steps: float) -> str:
    """Format agent steps: 50000 is ``50k``, 1500000 is ``1.5M``."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(steps) >= size:
            return f"{steps / size:.4g}{unit}"
    return f"{steps:.4g}"


def _level(
    metrics: pd.DataFrame, source: str, target: str, condition: str, last: float
) -> CurvePoints | None:
    """Return a flat curve at a condition's mean return; None where it has none."""
    rows = metrics[
        (metrics["source"] == source)
        & (metrics["target"] == target)
        & (metrics["condition"] == condition)
        & (metrics["metric"] == "return")
        & metrics["mean"].notna()
    ]
    if rows.empty:
        return None
    row = rows.iloc[0]
    mean, low, high = (np.full(2, float(row[key])) for key in ("mean", "ci_low", "ci_high"))
    return CurvePoints(
        np.array([0.0, last]), mean, low, high, np.full(2, int(row["num_seeds"]), dtype=np.int64)
    )


def _draw(axes: Axes, points: CurvePoints, look: Look, condition: str) -> None:
    alone = "." if len(points.steps) == 1 else ""
    axes.plot(
        points.steps, points.mean, color=look.color, linestyle=look.dashes, marker=alone,
        label=f"mean:{condition}",
    )  # fmt: skip
    axes.fill_between(
        points.steps, points.low, points.high, color=look.color, alpha=0.16, linewidth=0,
        label=f"band:{condition}",
    )  # fmt: skip


def _panels(
    spec: ReportSpec, height_per_row: float, share_returns: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return a figure with one panel per transfer."""
    number = len(spec.transfers)
    columns = number if number <= 4 else 3
    rows = math.ceil(number / columns)
    width = PAGE_WIDTH_INCHES * min(1.0, 0.25 + columns / 4)
    figure = PanelFigure(figsize=(width, rows * height_per_row + 0.55), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=share_returns and spec.is_one_game)
    for spare in grid.ravel()[number:]:
        spare.set_axis_off()
    return figure, list(grid.ravel()[:number])


def _left_panels(panels: list[Axes]) -> list[Axes]:
    return [axes for axes in panels if _spot(axes).is_first_col()]


def _bottom_panels(panels: list[Axes]) -> list[Axes]:
    columns = sum(_spot(axes).is_first_row() for axes in panels)
    return panels[-columns:]


def _spot(axes: Axes) -> Any:
    spot = axes.get_subplotspec()
    assert spot is not None  # every panel comes from subplots()
    return spot


def _legend(figure: Figure, spec: ReportSpec, conditions: list[str], counts: set[int]) -> None:
    ordered = [condition for condition in spec.conditions if condition in conditions]
    lines = [
        Line2D([], [], color=look.color, linestyle=look.dashes)
        for look in (looks(spec)[condition] for condition in ordered)
    ]
    figure.legend(
        lines, [_cut(condition_name(c)) for c in ordered], loc="outside lower center",
        ncols=_legend_columns(len(ordered), len(spec.transfers)), frameon=False,
        handlelength=2.6, columnspacing=1.4, title=_interval_words(counts),
    )  # fmt: skip


def _legend_columns(num_entries: int, num_panels: int) -> int:
    """Return how many columns the legend gets, so that it fits and its lines are equally long."""
    most = {1: 2, 2: 4}.get(num_panels, 6)
    return math.ceil(num_entries / math.ceil(num_entries / most))


def _interval_words(counts: set[int]) -> str:
    if max(counts) < MIN_SEEDS:
        return f"Line: mean over {_seeds(counts)}; fewer than {MIN_SEEDS} show no interval"
    return f"Line and band: mean and 95 % t interval over {_seeds(counts)}"


def _seeds(counts: set[int]) -> str:
    few, many = min(counts, default=0), max(counts, default=0)
    number = str(many) if few == many else f"{few} to {many}"
    return f"{number} seed{'' if many == 1 else 's'}"
