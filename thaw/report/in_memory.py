"""A report for Python and for notebooks: the same numbers as those on the page."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from functools import cached_property
from html import escape
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from thaw.config.errors import InputError, nearest
from thaw.report.aggregates import aggregates_frame
from thaw.report.bounds import check_within_bounds
from thaw.report.figures import (
    figure_files,
    final_returns_figure,
    learning_curves_figure,
)
from thaw.report.learning.curve_metrics import curve_metrics_frame
from thaw.report.metrics import metrics_frame
from thaw.report.scores import (
    check_curves,
    check_scores,
    check_together,
    infer_spec,
    read_curves,
    read_scores,
)
from thaw.report.spec import ReportSpec
from thaw.report.summary import summary
from thaw.report.tables import TITLES, TableFrame, table_frame
from thaw.report.verdict import Verdict, verdicts
from thaw.report.words import count
from thaw.report.write import write_report

Table = pd.DataFrame | str | PathLike[str]
"""A frame, or the path of a CSV file."""


class Report:
    """What ``thaw report`` writes, as an object. Every part is computed when it is asked for."""

    def __init__(
        self,
        scores: pd.DataFrame,
        curves: pd.DataFrame | None,
        spec: ReportSpec,
        writer: Callable[..., Path] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Keep what the report is made from.

        Args:
            scores: One row per finished run.
            curves: One row per run and bin, or None.
            spec: What was planned.
            writer: Writes the report of a suite's folder, which knows more than the scores.
            folder: Where :meth:`write` writes by default.

        Raises:
            InputError: Scores or curves are wrong, or outside the bounds of the returns.
        """
        self.scores = check_scores(scores)
        self.curves = None if curves is None else check_curves(curves)
        check_within_bounds(self.scores, spec.bounds)
        if self.curves is not None:
            check_within_bounds(self.curves, spec.bounds, "curves")
        self.spec = spec
        self.page: Path | None = None
        """The page that :meth:`write` has written; None before."""
        self._writer = writer
        self._folder = folder

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """One verdict per transfer."""
        return verdicts(self.scores, self.spec)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row per transfer, condition and metric: the content of metrics.csv."""
        final = metrics_frame(self.scores, self.spec)
        learning = curve_metrics_frame(self.scores, self.curves, self.spec, self.verdicts)
        return pd.concat([final, learning], ignore_index=True) if len(learning) else final

    @cached_property
    def aggregates(self) -> pd.DataFrame:
        """Numbers over all transfers, see :mod:`thaw.report.aggregates`."""
        return aggregates_frame(self.scores, self.spec)

    def table(self, metric: str | None = None) -> TableFrame:
        """Return the table of one metric, by default the main one; ``print`` shows it.

        Raises:
            InputError: There is no table of that metric.
        """
        if metric is not None and metric not in TITLES:
            raise InputError(
                f"there is no table of '{metric}'{nearest(metric, TITLES)} Allowed: "
                f"{', '.join(TITLES)}; .metrics has all numbers"
            )
        return table_frame(self.metrics, self.spec, metric)

    def plot(self, what: Literal["learning_curves", "final_returns"] | None = None) -> Figure:
        """Draw the learning curves, or the final returns where there are no curves.

        Args:
            what: Which of the two.

        Raises:
            InputError: There are no learning curves to draw.
        """
        figure = None
        if what != "final_returns" and self.curves is not None:
            figure = learning_curves_figure(self.curves, self.metrics, self.spec)
        if figure is None and what == "learning_curves":
            raise InputError("there are no learning curves; give curves, or plot('final_returns')")
        return figure or final_returns_figure(self.scores, self.metrics, self.spec)

    def write(self, out: str | PathLike[str] | None = None, *, interactive: bool = True) -> Path:
        """Write tables, figures and the page, and return the page's path.

        Args:
            out: The folder; by default that of the suite's report.
            interactive: Whether the page's learning curves can be explored; without, the page is
                1.2 MB smaller.

        Raises:
            InputError: No folder, and the report is not that of a suite.
            WriteFailed: Disk full and the like.
        """
        folder = self._folder if out is None else Path(out)
        if folder is None:
            raise InputError("say where to write the report, as in write('report')")
        if self._writer is not None:
            self.page = self._writer(folder, interactive=interactive)
        else:
            self.page = write_report(
                self.scores, self.curves, self.spec, folder, interactive=interactive
            )
        return self.page

    def __repr__(self) -> str:
        spec = self.spec
        sizes = (spec.transfers, "transfer"), (spec.conditions, "condition"), (spec.seeds, "seed")
        words = ", ".join(count(len(items), word) for items, word in sizes)
        return "\n".join([f"Report of {spec.name}: {words}", *summary(self.verdicts)])

    def _repr_html_(self) -> str:
        """Return verdicts, main table and final returns for a notebook."""
        figure = figure_files(self.plot("final_returns"), "final_returns")["final_returns.svg"]
        svg = figure.decode()
        lines = "".join(f"<p>{escape(line)}</p>" for line in summary(self.verdicts))
        svg = svg[svg.index("<svg") :]
        return f"<h3>{escape(self.spec.name)}</h3>{lines}{_html(self.table())}{svg}"


def report(
    folder: str | PathLike[str] | None = None,
    *,
    scores: Table | None = None,
    curves: Table | None = None,
    baseline: str | None = None,
    normalize: bool = False,
    paired: bool = False,
    margin: float | None = None,
    bounds: tuple[float, float] | None = None,
    name: str | None = None,
) -> Report:
    """Return the report of a suite's folder, or of scores from elsewhere; nothing is written.

    Args:
        folder: The suite's folder, the ``out`` of :func:`thaw.run`. Runs may be missing.
        scores: Instead: a frame or a CSV file with the columns target, condition, seed and
            mean_return at least.
        curves: Beside scores: a frame or a CSV file with the columns target, condition, seed,
            steps and mean_return at least.
        baseline: The condition that plays the part of training from scratch.
        normalize: Divide returns by those of the baseline.
        paired: Whether runs of one seed start from one pretrained policy. Runs that have a source
            do.
        margin: Two conditions whose true difference is smaller count as equal.
        bounds: The lowest and the highest possible return.
        name: The title; by default the name of the scores file.

    Raises:
        InputError: Neither or both of folder and scores, or one of them is wrong.
    """
    others = (curves, baseline, margin, bounds, name)
    if folder is not None and scores is None:
        if normalize or paired or any(value is not None for value in others):
            raise InputError("with a suite's folder give nothing else; its suite.yaml has the rest")
        # By name: this package lies below thaw.experiment, and only this door leads up to it.
        reporting = importlib.import_module("thaw.experiment.reporting")
        suite_folder = reporting.SuiteFolder(folder)
        read = reporting.read_suite(suite_folder)
        return Report(
            read.results.scores,
            read.results.curves,
            read.spec,
            functools.partial(reporting.write_suite, read),
            suite_folder.report,
        )
    if folder is not None or scores is None:
        raise InputError("give either a suite's folder or scores=, a frame or a CSV file")
    rows = check_scores(scores) if isinstance(scores, pd.DataFrame) else read_scores(scores)
    points, where = None, "curves" if isinstance(curves, pd.DataFrame) else str(curves)
    if curves is not None:
        points = check_curves(curves) if isinstance(curves, pd.DataFrame) else read_curves(curves)
        check_together(rows, points, where)
    spec = infer_spec(
        rows,
        name or ("scores" if isinstance(scores, pd.DataFrame) else Path(scores).stem),
        "scratch" if normalize else "none",
        baseline=baseline or "scratch",
        paired=paired,
        margin=margin,
        bounds=bounds,
    )
    # Report checks the same, but does not know the files' names.
    check_within_bounds(rows, bounds, "scores" if isinstance(scores, pd.DataFrame) else str(scores))
    if points is not None:
        check_within_bounds(points, bounds, where)
    return Report(rows, points, spec)


class CallablePackage(ModuleType):
    """The type of the package ``thaw.report``, so that ``thaw.report(...)`` makes a report.

    ``thaw.run`` and ``thaw.plan`` are functions, and a user expects the same of ``thaw.report``.
    But it is also the package whose modules others import. Python lets a module change its own
    type for such cases (language reference, "Customizing module attribute access"). Everything
    else about the package stays as it is.
    """

    __call__ = staticmethod(report)
    __signature__ = inspect.signature(report)


def _html(table: TableFrame) -> str:
    head = "".join(f"<th>{escape(column.title)}</th>" for column in table.columns)
    rows = []
    for label, cells in zip(table.labels, table.cells, strict=True):
        texts = [f"<b>{escape(c.text)}</b>" if c.bold else escape(c.text) for c in cells]
        rows.append(f"<tr><th>{escape(label)}</th>{''.join(f'<td>{t}</td>' for t in texts)}</tr>")
    return (
        f"<p>{escape(table.title)}</p><table><thead><tr><th></th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table><p>{escape(table.caption)}</p>"
    )
