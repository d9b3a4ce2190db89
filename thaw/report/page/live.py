"""Makes the learning curves interactive: their data, the scripts, and the policy that allows them.

The library lies in this folder and becomes part of the page. It draws what Python has averaged;
what a reader hides changes no other line. Without a script the page shows the SVG figures.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from thaw.report.figures import looks
from thaw.report.page.charts import dash_array
from thaw.report.panels import CurvePanel, return_range
from thaw.report.spec import ReportSpec, condition_name
from thaw.report.statistics import FloatArray

FOLDER = Path(__file__).parent
LIBRARY = FOLDER / "plotly-basic-4.1.1.min.js"
"""plotly.js-basic-dist-min 4.1.1 from the npm registry; plotly-basic.sha256 has its checksum."""
_DIGITS = 4
"""Of a panel's range: more than a screen has pixels."""


def curve_data(
    panels: Sequence[CurvePanel], spec: ReportSpec, shared: tuple[float, float] | None
) -> str:
    """Return the curves as a block of JSON; no text in it can end the block.

    Args:
        panels: What the figures show.
        spec: What was planned.
        shared: The range of returns that all panels show; None where each has its own.
    """
    seen = looks(spec)
    document = {
        "conditions": [
            {"name": condition_name(condition), "dash": dash_array(seen[condition], 2)}
            for condition in spec.conditions
        ],
        "panels": [_panel(panel, spec, shared) for panel in panels],
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    safe = text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")
    return f'<script type="application/json" id="curves">{safe}</script>'


def scripts(with_library: bool) -> list[str]:
    """Return the texts of the page's scripts."""
    own = _read(FOLDER / "page.js")
    return [_read(LIBRARY), own] if with_library else [own]


def content_policy(texts: Sequence[str]) -> str:
    """Return the page's Content-Security-Policy: no network, and no script but these.

    Styles need ``unsafe-inline``, because the library sets them.
    """
    return (
        f"default-src 'none'; script-src {' '.join(map(_hash, texts))}; "
        "style-src 'unsafe-inline'; img-src data:; media-src 'self'; base-uri 'none'; "
        "form-action 'none'"
    )


@cache
def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _panel(
    panel: CurvePanel, spec: ReportSpec, shared: tuple[float, float] | None
) -> dict[str, Any]:
    low, high = shared or return_range(panel)
    span = high - low or abs(high) or 1.0
    decimals = max(0, _DIGITS - 1 - math.floor(math.log10(span)))
    grids: list[list[float]] = []

    def grid(steps: FloatArray) -> int:
        """Return the number of these steps in the panel's list; most curves share them."""
        found = _plain(steps, 0)
        if found not in grids:
            grids.append(found)
        return grids.index(found)

    places = {condition: place for place, condition in enumerate(spec.conditions)}
    curves = [
        {
            "look": places[condition],
            "x": grid(points.steps),
            "y": _plain(points.mean, decimals),
            "low": _plain(points.low, decimals),
            "high": _plain(points.high, decimals),
            "n": _same(points.num_seeds.tolist()),
        }
        for condition, points in panel.curves
    ]
    seeds = [
        {
            "look": places[line.condition],
            "seed": line.seed,
            "x": grid(line.steps),
            "y": _plain(line.returns, decimals),
        }
        for line in panel.seeds
    ]
    pad = 0.04 * span
    return {
        "last": panel.last_step,
        "range": [low - pad, high + pad],
        "grids": grids,
        "curves": curves,
        "seeds": seeds,
    }


def _plain(values: FloatArray, decimals: int) -> list[Any]:
    """Round numbers; NaN becomes null, and whole numbers lose their point."""
    rounded = np.round(values, decimals).tolist()
    return [None if not math.isfinite(v) else int(v) if v == int(v) else v for v in rounded]


def _same(values: list[int]) -> int | list[int]:
    """Return one number for a list of equal ones."""
    return values[0] if len(set(values)) == 1 else values
