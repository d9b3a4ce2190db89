"""A picture of the time that each part of a decision takes."""

from __future__ import annotations

import io
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from thaw.report.figures import PAGE_WIDTH_INCHES, STYLE

COLORS = {
    "environment": "#999999",
    "act": "#56b4e9",
    "act and learn": "#0072b2",
    "rest": "#e69f00",
}
NAMES = {
    "environment": "environment",
    "act": "network, acting",
    "act and learn": "network, acting and learning",
    "rest": "everything else",
}
BARS = {
    "bound": ("environment", "act and learn"),
    "lockstep update_all": ("environment", "act and learn"),
    "lockstep freeze_embedding": ("environment", "act"),
    "freeze_all": ("environment", "act"),
}
"""The separately measured parts that each bar contains."""


def draw_times(summary: dict[str, Any]) -> bytes:
    """Draw the microseconds of a decision and of its parts, as SVG.

    The length of a part is its median when measured alone. The rest is the whole minus the parts;
    with a frozen embedding, it contains the learning of the head.
    """
    medians = {n: s["median"] for n, s in summary["steps_per_second"].items()}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PAGE_WIDTH_INCHES, 1.9), layout="constrained")
        axes = figure.add_subplot()
        labeled: set[str] = set()
        for row, (name, parts) in enumerate(BARS.items()):
            widths = {part: 1e6 / medians[part] for part in parts}
            if name != "bound":
                widths["rest"] = max(0.0, 1e6 / medians[name] - sum(widths.values()))
            left = 0.0
            for part, width in widths.items():
                label = None if part in labeled else NAMES[part]
                labeled.add(part)
                axes.barh(row, width, left=left, color=COLORS[part], label=label, height=0.7)
                left += width
            axes.text(left, row, f"  {medians[name]:,.0f} decisions/s", va="center")
        axes.set_yticks(range(len(BARS)), [name.removeprefix("lockstep ") for name in BARS])
        axes.invert_yaxis()
        axes.margins(x=0.2)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("microseconds per decision")
        axes.set_title(f"{summary['flavor']}, {summary['embedding']}, {summary['precision']}")
        figure.legend(loc="outside lower center", ncols=len(COLORS), frameon=False)
        svg = io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return svg.getvalue()
