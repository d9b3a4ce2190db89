"""Makes tables, figures and a page from the scores of finished runs; needs no torch.

It reads two files of a suite's folder, or a scores file from elsewhere, and writes a folder::

    index.html  card.json  card.md
    metrics.csv  metrics.json  table.md  table.tex  table.csv  table_source.csv
    figures/learning_curves.{svg,pdf,png}  figures/final_returns.{svg,pdf,png}

The package can be called: ``thaw.report("demo-catch")`` is an object with the same numbers
(:func:`thaw.report.report`).
"""

import sys

from thaw.report.aggregates import aggregates_frame
from thaw.report.in_memory import CallablePackage, Report, report
from thaw.report.metrics import metrics_frame
from thaw.report.scores import infer_spec, read_curves, read_scores
from thaw.report.spec import ReportSpec, condition_name, flavor_name
from thaw.report.tables import TableFrame, table_frame
from thaw.report.verdict import Verdict, verdicts
from thaw.report.write import write_report

__all__ = [
    "Report",
    "ReportSpec",
    "TableFrame",
    "Verdict",
    "aggregates_frame",
    "condition_name",
    "flavor_name",
    "infer_spec",
    "metrics_frame",
    "read_curves",
    "read_scores",
    "report",
    "table_frame",
    "verdicts",
    "write_report",
]

sys.modules[__name__].__class__ = CallablePackage
