from __future__ import annotations

import re
from pathlib import Path

from thaw.report.learning.curve_metrics import UNITS
from thaw.report.metrics import METRICS


def test_the_docs_name_every_metric() -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    for metric in (*UNITS, *METRICS, "lead"):
        name = re.sub(r"_(\d+|threshold)$", "", metric)
        assert f"`{name}`" in text or f"`{name}_" in text, metric
