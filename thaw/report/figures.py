"""Draws the learning curves after the transfer, as in the paper's figure 5, and the final returns.

There is no pyplot and so no global state. The same figure gives the same files byte for byte:
they contain no date and no random identifiers.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from thaw.report.curves import CurvePoints
from thaw.report.panels import CurvePanel, FinalPanel, curve_panels, final_panels
from thaw.report.spec import ReportSpec, condition_name
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
    dark: str
    """The color on a dark page; files of figures have a white ground."""


LOOKS: Mapping[str, Look] = {  # colors after Okabe and Ito 2008, safe for color-blind readers
    "update_all": Look("#0072B2", "-", "#4C9BE8"),
    "freeze_embedding": Look("#D55E00", (0, (5, 1.5)), "#FF8B45"),
    "freeze_head": Look("#009E73", (0, (5, 1.2, 1.2, 1.2)), "#35C79C"),
    "scratch": Look("#333333", (0, (2, 1)), "#DDE1E5"),
    "freeze_all": Look("#CC79A7", (0, (1, 1)), "#E29CC3"),
    "random": Look("#8C8C8C", (0, (1, 2.5)), "#9AA1A8"),
}
_OTHER_COLORS = (
    ("#E69F00", "#E9B44C"),
    ("#56B4E9", "#8FE0FF"),
    ("#7A4FBF", "#B796EC"),
    ("#A6761D", "#CFA15A"),
    ("#B10026", "#FF7088"),
)


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
            name: Look(color, "-" if i < 5 else (0, (4, 2)), dark)
            for i, name in enumerate(own)
            for color, dark in [_OTHER_COLORS[i % len(_OTHER_COLORS)]]
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
    panels = curve_panels(curves, metrics, spec)
    return draw_learning_curves(panels, spec) if panels else None


def draw_learning_curves(panels: Sequence[CurvePanel], spec: ReportSpec) -> Figure:
    """Draw the learning curves of every transfer, at least one."""
    return _draw_curves(panels, spec, "Agent steps after transfer")


def draw_pretraining(panels: Sequence[CurvePanel], spec: ReportSpec) -> Figure:
    """Draw the return of every transfer by the steps of pretraining, on a logarithmic axis."""
    return _draw_curves(panels, spec, "Agent steps of pretraining", ticks=spec.source_steps)


def _draw_curves(
    panels: Sequence[CurvePanel], spec: ReportSpec, title: str, ticks: Sequence[int] = ()
) -> Figure:
    """Draw curves; with ticks the axis of steps is logarithmic and has these alone."""
    with matplotlib.rc_context(STYLE):
        figure, all_axes = _panels(spec, height_per_row=1.75, share_returns=True)
        seen = looks(spec)
        drawn, counts = dict[str, None](), set[int]()
        for panel, axes in zip(panels, all_axes, strict=True):
            axes.set_title(_cut(panel.title))
            for condition, points in panel.curves:
                drawn[condition] = None
                counts |= {int(n) for n in points.num_seeds}
                _draw(axes, points, seen[condition], condition, marked=bool(ticks))
            if ticks:
                axes.set_xscale("log")
                axes.set_xlim(0.9 * ticks[0], 1.1 * ticks[-1])
                axes.xaxis.set_minor_locator(NullLocator())
            else:
                axes.set_xlim(0, panel.last_step)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda steps, _: short_steps(steps)))
            axes.xaxis.set_major_locator(FixedLocator(ticks) if ticks else MaxNLocator(4))
        for axes in _bottom_panels(all_axes):
            axes.set_xlabel(title)
        for axes in _left_panels(all_axes):
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
    return draw_final_returns(final_panels(scores, metrics, spec), spec)


def draw_final_returns(panels: Sequence[FinalPanel], spec: ReportSpec) -> Figure:
    """Draw the final returns of every transfer."""
    conditions = spec.conditions
    with matplotlib.rc_context(STYLE):
        figure, all_axes = _panels(spec, height_per_row=0.55 + 0.17 * len(conditions))
        seen, counts = looks(spec), set[int]()
        for panel, axes in zip(panels, all_axes, strict=True):
            axes.set_title(_cut(panel.title))
            for place, row in enumerate(panel.rows):
                values = row.runs.values
                if not len(values):
                    axes.annotate(
                        "missing", (0.02, place), xycoords=("axes fraction", "data"),
                        va="center", fontsize=6, color="#8C8C8C", style="italic",
                    )  # fmt: skip
                    continue
                counts.add(len(values))
                color = seen[row.condition].color
                axes.plot(
                    values, [place + 0.27] * len(values), ".", color=color, alpha=0.45,
                    markersize=4, markeredgewidth=0, label=f"seeds:{row.condition}",
                )  # fmt: skip
                axes.plot(
                    [row.low, row.high], [place, place], color=color,
                    linewidth=1.6, solid_capstyle="butt", label=f"interval:{row.condition}",
                )  # fmt: skip
                axes.plot(
                    [row.mean], [place], "o", color=color, markersize=4.5,
                    markeredgecolor="white", markeredgewidth=0.5, label=f"mean:{row.condition}",
                )  # fmt: skip
            axes.set_ylim(len(conditions) - 0.5, -0.5)
            axes.set_yticks(range(len(conditions)), [])
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.grid(visible=False, axis="y")
            axes.margins(x=0.08)
        for axes in _left_panels(all_axes):
            axes.set_yticks(range(len(conditions)), [_cut(condition_name(c)) for c in conditions])
        for axes in _bottom_panels(all_axes):
            axes.set_xlabel("Return")
        note = f"Large dot: mean; line: 95 % t interval; small dots: {seeds_words(counts)}"
        figure.supxlabel(note, fontsize=6.5)
    return figure


def figure_files(figure: Figure, name: str) -> dict[str, bytes]:
    """Render a figure as SVG, PDF and PNG; the same figure gives the same bytes.

    Returns:
        Content by file name.
    """
    dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    files = {}
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.draw_without_rendering()  # finds the layout, which takes longest, once for all kinds
        figure.set_layout_engine("none")
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


def _draw(axes: Axes, points: CurvePoints, look: Look, condition: str, marked: bool) -> None:
    marker = "." if marked or len(points.steps) == 1 else ""
    axes.plot(
        points.steps, points.mean, color=look.color, linestyle=look.dashes, marker=marker,
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
        handlelength=2.6, columnspacing=1.4, title=interval_words(counts),
    )  # fmt: skip


def _legend_columns(num_entries: int, num_panels: int) -> int:
    """Return how many columns the legend gets, so that it fits and its lines are equally long."""
    most = {1: 2, 2: 4}.get(num_panels, 6)
    return math.ceil(num_entries / math.ceil(num_entries / most))


def interval_words(counts: set[int]) -> str:
    """Say what line and band of a learning curve are, for curves of so many seeds."""
    if max(counts) < MIN_SEEDS:
        return f"Line: mean over {seeds_words(counts)}; fewer than {MIN_SEEDS} show no interval"
    return f"Line and band: mean and 95 % t interval over {seeds_words(counts)}"


def seeds_words(counts: set[int]) -> str:
    """Write how many seeds there are, as in ``2 to 5 seeds``."""
    few, many = min(counts, default=0), max(counts, default=0)
    number = str(many) if few == many else f"{few} to {many}"
    return f"{number} seed{'' if many == 1 else 's'}"
