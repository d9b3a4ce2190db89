"""How far the best condition is ahead of each other one, and which difference counts as none."""

from __future__ import annotations

import math
from collections.abc import Mapping

from thaw.report.runs import Runs, RunTable, compare
from thaw.report.statistics import Estimate

MARGIN_SHARE = 0.05
"""The margin of equality, where a suite names none: a share of scratch's lead over random."""

Leads = dict[str, tuple[Estimate, bool]]
"""The lead over each other condition, and whether it was paired."""


def leads_of(trained: Mapping[str, Runs], confidence: float | None = None) -> tuple[str, Leads]:
    """Return the condition with the highest mean, and its lead over each other one.

    Each lead comes with whether it was paired. The best is *decided* only if every lead is above
    zero: then it is wrong in at most 5 % of the cases, even though the best was chosen by looking
    (Gutmann and Maymin 1987; Hung and Fithian 2019). To ask the runner-up alone is not enough
    where spreads differ (docs/statistics.md).
    """
    if not trained:
        return "", {}
    best = max(trained, key=lambda condition: float(trained[condition].values.mean()))
    leads = {
        other: compare(trained[best], trained[other], confidence)
        for other in sorted(trained, key=lambda name: -float(trained[name].values.mean()))
        if other != best
    }
    return best, leads


def margin_of(table: RunTable, source: str, target: str) -> float:
    """Return the margin within which two conditions count as equal; NaN where it is unknown."""
    if table.spec.margin is not None:
        return table.spec.margin
    scratch = table.runs(source, target, table.spec.baseline).values
    random = table.runs(source, target, "random").values
    if not len(scratch) or not len(random):
        return math.nan
    distance = float(scratch.mean() - random.mean())
    return MARGIN_SHARE * distance if distance > 0 else math.nan
