"""The metrics that need learning curves, the return before training or the source: docs/metrics.md.

They have the same columns as :func:`thaw.report.metrics.metrics_frame`, and are appended to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from thaw.report.curves import CurveTable
from thaw.report.learning.budget import QUARTERS, budget, parts
from thaw.report.learning.price import first_returns, price
from thaw.report.learning.speed import SHARES, Measured, speed
from thaw.report.learning.transfer_curves import TransferCurves
from thaw.report.metrics import COLUMNS, num_missing
from thaw.report.runs import RunTable
from thaw.report.spec import ReportSpec
from thaw.report.statistics import CONFIDENCE
from thaw.report.verdict import Verdict

_PARTS = "difference_to_freeze_embedding"

UNITS = {
    "jumpstart": "return",
    "jumpstart_over_random": "return",
    "zero_shot_gap": "return",
    "area": "return",
    "area_gain": "return",
    "forward_transfer": "share of the way to the highest possible return",
    "area_ratio": "ratio",
    "area_ratio_above_random": "ratio",
    "asymptotic_gain": "return",
    "regret": "return",
    **{f"share_reaching_{name}": "share of runs" for name in (*SHARES, "threshold")},
    **{f"steps_to_{name}": "agent steps" for name in (*SHARES, "threshold")},
    **{f"steps_saved_to_{name}": "agent steps" for name in (*SHARES, "threshold")},
    "dip": "return",
    "share_recovered": "share of runs",
    "recovery_steps": "agent steps",
    "change_on_source": "return",
    "change_on_source_relative": "ratio",
    _PARTS: "return",
    f"area_{_PARTS}": "return",
    **{f"{_PARTS}_at_{percent}": "return" for percent in QUARTERS},
    f"{_PARTS}_change": "return",
    **{f"lead_at_{percent}": "return" for percent in QUARTERS},
}
"""Every metric of this module, and its unit. Returns are undiscounted and unclipped."""


def curve_metrics_frame(
    scores: pd.DataFrame,
    curves: pd.DataFrame | None,
    spec: ReportSpec,
    judged: Sequence[Verdict] = (),
) -> pd.DataFrame:
    """Compute the metrics of :data:`UNITS` for every planned transfer.

    Args:
        scores: As :func:`thaw.report.scores.check_scores` returns them.
        curves: As :func:`thaw.report.scores.check_curves` returns them. Without any, there are
            only the metrics that need none.
        spec: What was planned; other seeds are left out.
        judged: The verdicts, for the confidence of each transfer; by default 95 %.

    Returns:
        The columns of :data:`thaw.report.metrics.COLUMNS`. Where there is no number, ``mean`` and
        the bounds are NaN and ``note`` says why. ``num_seeds`` counts the runs in
        the number.
    """
    with_curves = curves is not None and not curves.empty
    table = RunTable(scores, spec)
    if curves is None:
        curves = pd.DataFrame(columns=["source", "target", "condition", "seed"])
    grouped = CurveTable(curves, spec)
    found = {(verdict.source, verdict.target): verdict for verdict in judged}
    rows = []
    for source, target in spec.transfers:
        verdict = found.get((source, target))
        confidence = CONFIDENCE if verdict is None else verdict.confidence
        transfer = TransferCurves(table, grouped, source, target, confidence)
        for condition, metric, estimate in _measure(transfer, with_curves=with_curves):
            rows.append(
                {
                    "source": source,
                    "target": target,
                    "condition": condition,
                    "metric": metric,
                    "mean": estimate.value,
                    "ci_low": estimate.low,
                    "ci_high": estimate.high,
                    "num_seeds": estimate.num_seeds,
                    "num_missing": num_missing(spec, verdict, estimate),
                    "note": estimate.note,
                    "confidence": confidence,
                    "p_value": math.nan,
                    "p_holm": math.nan,
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def _measure(transfer: TransferCurves, *, with_curves: bool) -> Iterator[Measured]:
    yield from first_returns(transfer, with_curves=with_curves)
    if with_curves:
        yield from speed(transfer)
    yield from price(transfer, with_curves=with_curves)
    yield from parts(transfer, with_curves=with_curves)
    if with_curves:
        yield from budget(transfer)
