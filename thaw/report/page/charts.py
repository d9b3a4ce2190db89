"""Draws the page's figures as SVG, without a script: each panel by itself, so that panels stack.

Lines and text take their colors from the page's style, so they follow its light and dark theme.
Numbers have one decimal of a pixel; a thousand curves must stay small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from thaw.report.figures import Look, interval_words, looks, seeds_words, short_steps
from thaw.report.panels import CurvePanel, FinalPanel, FinalRow, return_range
from thaw.report.spec import ReportSpec, condition_name
from thaw.report.statistics import FloatArray
from thaw.report.words import number, with_interval

WIDTH, HEIGHT = 360, 236
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 8, 36
_ROW = 22
_LABEL = 118
_MOST_LETTERS = 18


class Axis:
    """Maps values to pixels along one axis, with round ticks."""

    def __init__(self, low: float, high: float, start: float, end: float, num_ticks: int = 4):
        """Keep the range, widened where it is empty.

        Args:
            low: The lowest value.
            high: The highest value.
            start: Pixel of the lowest value.
            end: Pixel of the highest value.
            num_ticks: About how many ticks there are.
        """
        if not high > low:
            low, high = low - (abs(low) / 10 or 1), high + (abs(high) / 10 or 1)
        self.low, self.high, self.start, self.end = low, high, start, end
        self.num_ticks = num_ticks

    def at(self, value: float) -> str:
        """Return the pixel of a value."""
        return _pixel(self.start + (value - self.low) / (self.high - self.low) * self.length)

    @property
    def length(self) -> float:
        """Pixels from the lowest to the highest value; negative upwards."""
        return self.end - self.start

    def ticks(self) -> list[float]:
        """Return round numbers inside the range: steps of 1, 2 or 5."""
        rough = (self.high - self.low) / self.num_ticks
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [place * step + 0.0 for place in range(first, last + 1)]


class LogAxis(Axis):
    """Maps values above zero to pixels by their logarithms; its ticks are given."""

    def __init__(self, ticks: Sequence[float], start: float, end: float):
        """Keep the range of the ticks, of which there are at least two."""
        super().__init__(ticks[0], ticks[-1], start, end)
        self.given = list(ticks)

    def at(self, value: float) -> str:
        """Return the pixel of a value."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return _pixel(self.start + share * self.length)

    def ticks(self) -> list[float]:
        """Return the given ticks."""
        return self.given


def look_variables(spec: ReportSpec) -> tuple[str, str]:
    """Return the style's variables of the conditions' colors: for light and for dark pages."""
    seen = [look for _, look in _looks(spec)]
    light = "".join(f"--look-{place}:{look.color};" for place, look in enumerate(seen))
    dark = "".join(f"--look-{place}:{look.dark};" for place, look in enumerate(seen))
    return light, dark


def look_number(spec: ReportSpec, condition: str) -> int:
    """Return the number of a condition's color variable."""
    return [name for name, _ in _looks(spec)].index(condition)


def dash_array(look: Look, width: float) -> list[float]:
    """Return a look's dashes in pixels, for lines of so many pixels; empty for a whole line."""
    return [] if look.dashes == "-" else [round(part * width, 1) for part in look.dashes[1]]


def legend(spec: ReportSpec, panels: Sequence[CurvePanel]) -> str:
    """Return the names of all conditions that are drawn, each with a piece of its line."""
    drawn = {curve.condition for panel in panels for curve in panel.curves}
    items = []
    for place, (condition, look) in enumerate(_looks(spec)):
        if condition in drawn:
            line = (
                '<svg width="30" height="10" aria-hidden="true"><path d="M1 5H29" '
                f'class="line"{_stroke(place, look)}/></svg>'
            )
            items.append(f'<li data-look="{place}">{line} {escape(condition_name(condition))}</li>')
    counts = {int(n) for p in panels for curve in p.curves for n in curve.points.num_seeds}
    words = f"{interval_words(counts)}." if counts else ""
    return f'<ul class="legend">{"".join(items)}</ul><p class="soft">{escape(words)}</p>'


def curve_svg(panel: CurvePanel, spec: ReportSpec, shared: tuple[float, float] | None) -> str:
    """Return the learning curves of one transfer.

    Args:
        panel: What to draw.
        spec: What was planned.
        shared: The range of returns that all panels show; None where each has its own.
    """
    x = Axis(0.0, panel.last_step, _LEFT, WIDTH - _RIGHT)
    name = f"Learning curves on {panel.title}: return over agent steps after the transfer"
    return _curves(panel, spec, shared, x, "Agent steps after transfer", name)


def pretraining_svg(panel: CurvePanel, spec: ReportSpec, shared: tuple[float, float] | None) -> str:
    """Return the returns of one transfer by the steps of pretraining; arguments as there."""
    x = LogAxis(spec.source_steps, _LEFT, WIDTH - _RIGHT)
    name = f"How much pretraining: return on {panel.title} over agent steps of pretraining"
    return _curves(panel, spec, shared, x, "Agent steps of pretraining", name)


def _curves(
    panel: CurvePanel,
    spec: ReportSpec,
    shared: tuple[float, float] | None,
    x: Axis,
    title: str,
    name: str,
) -> str:
    low, high = shared or return_range(panel)
    pad = 0.04 * (high - low)
    y = Axis(low - pad, high + pad, HEIGHT - _BOTTOM, _TOP)
    seen = dict(_looks(spec))
    places = {condition: place for place, condition in enumerate(seen)}
    bands, lines = [], []
    for condition, points in panel.curves:
        place, look = places[condition], seen[condition]
        for part in _parts(np.isfinite(points.low) & np.isfinite(points.high)):
            steps = points.steps[part]
            up = _path(x, y, steps, points.high[part])
            down = _path(x, y, steps[::-1], points.low[part][::-1])
            bands.append(f'<path d="{up}L{down[1:]}Z" fill="var(--look-{place})" class="band"/>')
        label = f"<title>{escape(condition_name(condition))}</title>"
        stroke = _stroke(place, look)
        if len(points.steps) == 1:
            spot = f'cx="{x.at(points.steps[0])}" cy="{y.at(points.mean[0])}"'
            lines.append(f'<circle {spot} r="3" fill="var(--look-{place})">{label}</circle>')
        else:
            path = _path(x, y, points.steps, points.mean)
            lines.append(f'<path d="{path}" class="line"{stroke}>{label}</path>')
    inside = _grid(x, y, title) + "".join(bands) + "".join(lines)
    return _svg(WIDTH, HEIGHT, name, inside)


def final_svg(panel: FinalPanel, spec: ReportSpec) -> str:
    """Return the final returns of one transfer: a row for each condition."""
    height = _TOP + _ROW * len(panel.rows) + _BOTTOM
    values = [row.runs.values for row in panel.rows]
    bounds = [[row.mean, row.low, row.high] for row in panel.rows]
    shown = np.concatenate([*values, *bounds])
    shown = shown[np.isfinite(shown)]
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.0, 1.0)
    pad = 0.05 * (high - low)
    x = Axis(low - pad, high + pad, _LABEL, WIDTH - _RIGHT)
    places = {condition: place for place, (condition, _) in enumerate(_looks(spec))}
    rows = [
        _final_row(row, places[row.condition], x, _TOP + _ROW * (line + 0.5))
        for line, row in enumerate(panel.rows)
    ]
    inside = _x_grid(x, height - _BOTTOM, "Return") + "".join(rows)
    name = f"Final returns on {panel.title}: mean, 95 % interval and each seed"
    return _svg(WIDTH, height, name, inside)


def final_note(panels: Sequence[FinalPanel]) -> str:
    """Say how to read the final returns."""
    counts = {len(row.runs.values) for panel in panels for row in panel.rows} - {0}
    return f"Large dot: mean; line: 95 % interval; small dots: {seeds_words(counts)}."


def _final_row(row: FinalRow, place: int, x: Axis, middle: float) -> str:
    name = condition_name(row.condition)
    short = name if len(name) <= _MOST_LETTERS else f"{name[: _MOST_LETTERS - 1]}…"
    y, color = _pixel(middle), f'fill="var(--look-{place})"'
    label = f'<text x="{_LABEL - 8}" y="{_pixel(middle + 4)}" text-anchor="end">{escape(short)}'
    label += "</text>"
    if not len(row.runs.values):
        return f'{label}<text x="{_LABEL + 4}" y="{_pixel(middle + 4)}" class="none">missing</text>'
    below = _pixel(middle + 6)
    seeds = "".join(
        f'<circle cx="{x.at(value)}" cy="{below}" r="2" {color} class="seed"><title>seed {seed}: '
        f"{number(value)}</title></circle>"
        for seed, value in zip(row.runs.seeds, row.runs.values, strict=True)
    )
    text = f"{escape(name)}: {with_interval(row.mean, row.low, row.high)}"
    interval = ""
    if np.isfinite(row.low):
        interval = f'<path d="M{x.at(row.low)} {y}H{x.at(row.high)}" class="line"'
        interval += f' stroke="var(--look-{place})"/>'
    mean = f'<circle cx="{x.at(row.mean)}" cy="{y}" r="4" {color}><title>{text}</title></circle>'
    return f"<g>{label}{seeds}{interval}{mean}</g>"


def _looks(spec: ReportSpec) -> list[tuple[str, Look]]:
    seen = looks(spec)
    return [(condition, seen[condition]) for condition in spec.conditions]


def _stroke(place: int, look: Look) -> str:
    dashes = " ".join(f"{part:g}" for part in dash_array(look, 1.6))
    return f' stroke="var(--look-{place})"' + (f' stroke-dasharray="{dashes}"' if dashes else "")


def _grid(x: Axis, y: Axis, title: str) -> str:
    lines = []
    decimals = _decimals(y.ticks())
    for tick in y.ticks():
        place, text = y.at(tick), f"{tick:,.{decimals}f}"
        lines.append(f'<path d="M{_LEFT} {place}H{WIDTH - _RIGHT}" class="grid"/>')
        spot = f'x="{_LEFT - 6}" y="{_pixel(float(place) + 4)}" text-anchor="end"'
        lines.append(f"<text {spot}>{text}</text>")
    return "".join(lines) + _x_grid(x, HEIGHT - _BOTTOM, title, steps=True)


def _x_grid(x: Axis, bottom: float, title: str, *, steps: bool = False) -> str:
    lines = []
    decimals = _decimals(x.ticks())
    for tick in x.ticks():
        place = x.at(tick)
        text = short_steps(tick) if steps else f"{tick:,.{decimals}f}"
        lines.append(f'<path d="M{place} {_TOP}V{_pixel(bottom)}" class="grid"/>')
        lines.append(f'<text x="{place}" y="{_pixel(bottom + 14)}" text-anchor="middle">{text}')
        lines.append("</text>")
    lines.append(f'<path d="M{_pixel(x.start)} {_pixel(bottom)}H{WIDTH - _RIGHT}" class="axis"/>')
    middle = _pixel((x.start + x.end) / 2)
    lines.append(
        f'<text x="{middle}" y="{_pixel(bottom + 29)}" text-anchor="middle">{title}</text>'
    )
    return "".join(lines)


def _decimals(ticks: Sequence[float]) -> int:
    if len(ticks) < 2:
        return 2
    return max(0, -math.floor(math.log10(abs(ticks[1] - ticks[0])) + 1e-9))


def _svg(width: int, height: float, name: str, inside: str) -> str:
    return (
        f'<svg class="static" viewBox="0 0 {width} {height:g}" role="img" '
        f'aria-label="{escape(name)}">{inside}</svg>'
    )


def _path(x: Axis, y: Axis, steps: FloatArray, values: FloatArray) -> str:
    spots = (f"{x.at(step)} {y.at(value)}" for step, value in zip(steps, values, strict=True))
    return "M" + "L".join(spots)


def _parts(mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[slice]:
    """Return the stretches of at least two points in which a mask is true."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(int)))
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return [slice(int(start), int(end)) for start, end in pairs if end - start > 1]


def _pixel(value: float) -> str:
    return f"{round(value, 1) + 0.0:g}"
