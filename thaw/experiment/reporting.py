"""From a suite's folder to its report."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from thaw.experiment.results import derive_results, write_results
from thaw.experiment.suite_folder import SuiteFolder


def report_suite(folder: Path, out: Path | None = None) -> Path:
    """Derive the tables of a suite's folder and write its report.

    Args:
        folder: The suite's folder; missing runs are shown as missing.
        out: The report's folder; by default ``folder/report``.

    Returns:
        The path of index.html; table.md lies next to it.

    Raises:
        InputError: Not a suite's folder, or a broken file in it.
        WriteFailed: Disk full and the like.
    """
    from thaw.report.spec import ReportSpec
    from thaw.report.write import write_report

    suite_folder = SuiteFolder(folder)
    planned = suite_folder.plan()
    suite = planned.suite
    results = derive_results(suite_folder, planned)
    if out is None or os.access(folder, os.W_OK):  # a folder that may only be read has no tables
        write_results(suite_folder, results)
    for line in results.left_out:
        print(f"thaw: {line}", file=sys.stderr)
    spec = ReportSpec(
        name=suite.name,
        transfers=tuple((str(t.source), str(t.target)) for t in suite.transfers),
        conditions=suite.conditions,
        seeds=suite.seed_list,
        normalize=suite.report.normalize,
        paper=suite.report.paper,
    )
    return write_report(results.scores, results.curves, spec, out or suite_folder.report)
