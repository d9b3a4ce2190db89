"""From a suite's folder to its report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from thaw.config.suite import Suite
from thaw.experiment.results import derive_results, write_results
from thaw.experiment.suite_folder import SuiteFolder

if TYPE_CHECKING:
    from thaw.report.spec import ReportSpec


class Reported(NamedTuple):
    """A report that was written."""

    page: Path
    """index.html; table.md lies next to it."""
    left_out: tuple[str, ...]
    """One line for each run that is finished but damaged; its numbers are not in the report."""


def report_suite(folder: Path, out: Path | None = None) -> Reported:
    """Derive the tables of a suite's folder and write its report.

    Args:
        folder: The suite's folder; missing runs are shown as missing.
        out: The report's folder; by default ``folder/report``.

    Raises:
        InputError: Not a suite's folder, or a broken file in it.
        WriteFailed: Disk full and the like.
    """
    from thaw.report.write import write_report

    suite_folder = SuiteFolder(folder)
    planned = suite_folder.plan()
    results = derive_results(suite_folder, planned)
    if out is None or os.access(folder, os.W_OK):  # a folder that may only be read has no tables
        write_results(suite_folder, results)
    page = write_report(
        results.scores, results.curves, report_spec(planned.suite), out or suite_folder.report
    )
    return Reported(page, results.left_out)


def report_spec(suite: Suite) -> ReportSpec:
    """Return what a suite's report shows; its race is replayed by the same."""
    from thaw.report.spec import ReportSpec

    return ReportSpec(
        name=suite.name,
        transfers=tuple((str(t.source), str(t.target)) for t in suite.transfers),
        conditions=suite.conditions,
        seeds=suite.seed_list,
        normalize=suite.report.normalize,
        paper=suite.report.paper,
        racing=suite.racing,
    )
