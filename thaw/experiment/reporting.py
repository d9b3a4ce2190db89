"""From a suite's folder to its report."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from thaw.config.errors import InputError


def report_suite(folder: Path, out: Path | None = None) -> None:
    """Derive the tables of a suite's folder, write its report and print the main table."""
    from thaw.experiment.results import derive_results
    from thaw.experiment.suite_folder import SuiteFolder
    from thaw.report.spec import ReportSpec
    from thaw.report.write import write_report

    suite_folder = SuiteFolder(folder)
    suite = suite_folder.suite()
    results = derive_results(suite_folder)
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
    with as_input_error():
        index = write_report(results.scores, results.curves, spec, out or suite_folder.report)
    print((index.parent / "table.md").read_text(encoding="utf-8"))
    print(f"report: {index}")


@contextlib.contextmanager
def as_input_error() -> Iterator[None]:
    """Let the report's complaints about its input count as wrong input."""
    try:
        yield
    except ValueError as error:
        raise InputError(str(error)) from None
