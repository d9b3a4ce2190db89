"""From a suite's folder to its report."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from thaw.config.runtime import num_cores
from thaw.config.suite import Suite
from thaw.experiment.plan import Plan
from thaw.experiment.results import Results, derive_results, write_results
from thaw.experiment.suite_folder import SuiteFolder

if TYPE_CHECKING:
    from thaw.report.spec import ReportSpec
    from thaw.report.verdict import Verdict


class Reported(NamedTuple):
    """A report that was written."""

    page: Path
    """index.html; table.md lies next to it."""
    left_out: tuple[str, ...]
    """One line for each run that is finished but damaged; its numbers are not in the report."""
    verdicts: tuple[Verdict, ...]
    """One for each transfer."""


def report_suite(
    folder: Path,
    out: Path | None = None,
    results: Results | None = None,
    *,
    interactive: bool = True,
) -> Reported:
    """Derive the tables of a suite's folder and write its report.

    Args:
        folder: The suite's folder; missing runs are shown as missing.
        out: The report's folder; by default ``folder/report``.
        results: The tables, if they were just derived.
        interactive: Whether the page's learning curves can be explored.

    Raises:
        InputError: Not a suite's folder, or a broken file in it.
        WriteFailed: Disk full and the like.
    """
    from thaw.report.scores import check_scores
    from thaw.report.verdict import verdicts

    suite_folder = SuiteFolder(folder)
    read = read_suite(suite_folder, results)
    results = read.results
    if out is None or os.access(folder, os.W_OK):  # a folder that may only be read has no tables
        write_results(suite_folder, results)
    page = write_suite(read, out or suite_folder.report, interactive=interactive)
    judged = verdicts(check_scores(results.scores), read.spec)
    return Reported(page, results.left_out, tuple(judged))


class ReadSuite(NamedTuple):
    """What the report of a suite's folder is made from."""

    folder: SuiteFolder
    planned: Plan
    results: Results
    spec: ReportSpec


def read_suite(folder: SuiteFolder, results: Results | None = None) -> ReadSuite:
    """Derive the tables of a suite's folder, and say what was planned; nothing is written.

    Args:
        folder: The suite's folder.
        results: The tables, if they were just derived.

    Raises:
        InputError: Not a suite's folder, or a broken file in it.
    """
    planned = folder.plan()
    if results is None:
        results = derive_results(folder, planned)
    return ReadSuite(folder, planned, results, report_spec(planned.suite, folder))


def report_spec(suite: Suite, folder: SuiteFolder | None = None) -> ReportSpec:
    """Return what a suite's report shows; its race is replayed by the same.

    Args:
        suite: What was planned.
        folder: The suite's folder, which the advised commands name.
    """
    from thaw.report.spec import ReportSpec

    return ReportSpec(
        name=suite.name,
        transfers=tuple((str(t.source), str(t.target)) for t in suite.transfers),
        conditions=suite.conditions,
        seeds=suite.seed_list,
        normalize=suite.report.normalize,
        paper=suite.report.paper,
        margin=suite.report.margin,
        bounds=suite.report.bounds,
        threshold=suite.report.threshold,
        more_seeds=_more_seeds(suite, folder) if folder is not None else "",
        num_workers=num_cores(),
        racing=suite.racing,
        source_steps=(*earlier, suite.kept_steps[-1]) if (earlier := suite.earlier_steps) else (),
    )


def write_suite(read: ReadSuite, out: Path, *, interactive: bool = True) -> Path:
    """Write the report of what was read, and return its page.

    Args:
        read: From :func:`read_suite`.
        out: The report's folder.
        interactive: Whether the page's learning curves can be explored.

    Raises:
        WriteFailed: Disk full and the like.
    """
    from thaw.experiment.background import background_of
    from thaw.report.write import write_report

    results = read.results
    background = background_of(read.folder, read.planned, results.scores, out)
    return write_report(
        results.scores,
        results.curves,
        read.spec,
        out,
        background,
        results.source_steps,
        interactive=interactive,
    )


def _more_seeds(suite: Suite, folder: SuiteFolder) -> str:
    """Return the command that adds seeds to a suite's folder, with ``{seeds}`` for their number.

    It is empty where the suite lists its seeds and they are not 0, 1, 2, ...: a larger number
    would not keep them.
    """
    if sorted(suite.seed_list) != list(range(len(suite.seed_list))):
        return ""
    words = ["thaw", "run", str(folder.suite_yaml), "--out", str(folder.path)]
    return shlex.join(words).replace("{", "{{").replace("}", "}}") + " --seeds {seeds}"
