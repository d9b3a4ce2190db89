"""The paper's tables go in as scores and come out as they are printed."""

from __future__ import annotations

import math
from typing import Literal

import pandas as pd
import pytest

from thaw.report.metrics import metrics_frame
from thaw.report.paper import PAPER_TABLES, PaperTable
from thaw.report.scores import check_scores
from thaw.report.spec import ReportSpec
from thaw.report.tables import table_frame

SPREAD = (-0.02, -0.01, 0.0, 0.01, 0.02)
"""Of five seeds around a cell's number, so that their mean is that number."""


def scores_of(table: PaperTable) -> pd.DataFrame:
    """Return five runs for each printed cell; a printed NaN has none. Scratch is the unit."""
    rows = []
    values = dict(table.values)
    if table.metric == "normalized_by_scratch":
        values["scratch"] = (1.0,) * len(table.targets)
    for condition, row in values.items():
        for target, value in zip(table.targets, row, strict=True):
            for seed, offset in enumerate(SPREAD):
                if not math.isnan(value):
                    mean = value + offset * value  # a ratio of 0 has no spread
                    rows.append((target, condition, seed, mean, 0.01))
    return check_scores(
        pd.DataFrame(rows, columns=["target", "condition", "seed", "mean_return", "sem"])
    )


@pytest.mark.parametrize("name", ["table1", "table2"])
def test_a_table_of_the_paper_comes_out_as_printed(name: Literal["table1", "table2"]) -> None:
    paper = PAPER_TABLES[name]
    scores = scores_of(paper)
    spec = ReportSpec(
        name=name,
        transfers=tuple(("", target) for target in paper.targets),
        conditions=tuple(dict.fromkeys(scores["condition"])),
        seeds=tuple(range(len(SPREAD))),
        normalize="scratch" if paper.metric == "normalized_by_scratch" else "none",
        paper=name,
    )
    table = table_frame(metrics_frame(scores, spec), spec)
    assert table.metric == paper.metric
    assert table.conditions == paper.conditions
    checked = 0
    for condition, cells in zip(table.conditions, table.cells, strict=True):
        ours, theirs = cells[::2], cells[1::2]  # each column is followed by the paper's
        for target, cell, printed in zip(paper.targets, ours, theirs, strict=True):
            value = paper.values[condition][paper.targets.index(target)]
            if math.isnan(value):
                assert (cell.text, printed.text) == ("missing", "NaN")
            else:
                assert cell.text.split(" ")[0] == printed.text == f"{value:.3f}", (
                    target,
                    condition,
                )
            checked += 1
    assert checked == len(paper.targets) * len(paper.conditions)
