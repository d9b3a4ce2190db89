"""Tables like those of the paper: one row per condition, one column per transfer."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from thaw.report.paper import PAPER_TABLES, PaperTable
from thaw.report.spec import UNTRAINED_CONDITIONS, ReportSpec, condition_name, transfer_names
from thaw.report.statistics import MIN_SEEDS

LATEX_COLUMNS = 3
"""The most transfers in one LaTeX table; a page is not wide enough for more."""

TITLES = {
    "return": "Mean return on the target",
    "normalized_by_scratch": "Return normalized by training from scratch",
    "return_on_source": "Mean return back on the source flavor, after the transfer",
}
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # without braces, LaTeX would read it as an option of the row before
    "]": "{]}",
    **{sign: f"\\{sign}" for sign in "&%$#_"},
}

CellKind = Literal["value", "missing", "not_available", "paper", "empty"]


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: What to print.
        kind: How to mark it.
        bold: Whether it is the best of its column.
        note: Why there is no number, or what the number lacks.
    """

    text: str
    kind: CellKind
    bold: bool = False
    note: str = ""


@dataclass(frozen=True)
class Column:
    """One column; with ``from_paper``, it holds the paper's numbers for the transfer before it."""

    title: str
    from_paper: bool = False


@dataclass(frozen=True)
class TableFrame:
    """A table of R rows and C columns, in no particular format.

    Attributes:
        metric: One of :mod:`thaw.report.metrics`.
        title: What the numbers are.
        caption: How to read a cell.
        columns: [C], without the column of labels.
        labels: [R], the conditions' names for a reader.
        conditions: [R], the same conditions.
        cells: [R, C].
    """

    metric: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    labels: tuple[str, ...]
    conditions: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]

    def __repr__(self) -> str:
        return to_markdown(self)

    def _repr_markdown_(self) -> str:
        return to_markdown(self)


def table_frame(metrics: pd.DataFrame, spec: ReportSpec, metric: str | None = None) -> TableFrame:
    """Return the table of one metric.

    Args:
        metrics: From :func:`thaw.report.metrics.metrics_frame`.
        spec: What was planned. If its ``paper`` table shows the same metric, the paper's rows and
            columns come first, in the paper's order, and each of these columns is followed by a
            column with the paper's numbers.
        metric: ``return``, ``normalized_by_scratch`` or ``return_on_source``; by default
            the main metric.
    """
    metric = metric or spec.main_metric
    paper = PAPER_TABLES[spec.paper] if spec.paper else None
    if paper is not None and paper.metric != metric:
        paper = None
    shown = metrics[metrics["metric"] == metric]
    transfers = _column_order(spec, paper)
    conditions = _row_order(spec, shown, metric, paper)
    titles = transfer_names(spec.transfers)
    columns: list[Column] = []
    cells: list[list[Cell]] = [[] for _ in conditions]
    for source, target in transfers:
        rows = shown[(shown["source"] == source) & (shown["target"] == target)]
        by_condition = {str(row["condition"]): row for _, row in rows.iterrows()}
        columns.append(Column(titles[source, target]))
        means = {c: float(by_condition[c]["mean"]) for c in conditions if c in by_condition}
        decimals = _decimals(list(means.values()))
        trained = {
            c: mean
            for c, mean in means.items()
            if c not in UNTRAINED_CONDITIONS and np.isfinite(mean)
        }
        highest = [c for c, mean in trained.items() if mean == max(trained.values())]
        best = highest[0] if len(highest) == 1 else ""  # equal means have no best
        for row_cells, condition in zip(cells, conditions, strict=True):
            row_cells.append(_cell(by_condition.get(condition), decimals, condition == best))
        if paper is not None and paper.column(target) is not None:
            columns.append(Column(titles[source, target], from_paper=True))
            for row_cells, condition in zip(cells, conditions, strict=True):
                row_cells.append(_paper_cell(paper.value(condition, target)))
    return TableFrame(
        metric=metric,
        title=TITLES[metric].replace("training from scratch", spec.baseline_name),
        caption=_caption(metric, paper, spec),
        columns=tuple(columns),
        labels=tuple(condition_name(condition) for condition in conditions),
        conditions=tuple(conditions),
        cells=tuple(tuple(row) for row in cells),
    )


def to_markdown(table: TableFrame) -> str:
    """Return a titled pipe table with its caption."""
    header = ["", *_flat_titles(table)]
    lines = [f"### {table.title}", "", _pipes(header), _pipes(["---", *["---:"] * len(header[1:])])]
    for label, row in zip(table.labels, table.cells, strict=True):
        texts = [f"**{cell.text}**" if cell.bold else cell.text for cell in row]
        lines.append(_pipes([label, *texts]))
    return "\n".join([*lines, "", table.caption, ""])


def to_csv(table: TableFrame) -> str:
    """Return the same layout as CSV; for numbers to compute with take metrics.csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["condition", *map(escape_formula, _flat_titles(table))])
    for label, row in zip(table.labels, table.cells, strict=True):
        writer.writerow([escape_formula(label), *(cell.text for cell in row)])
    return text.getvalue()


def escape_formula(text: str) -> str:
    """Return a name that no spreadsheet takes for a formula: it gets an apostrophe in front.

    Names may come from files of others. Source: OWASP, CSV Injection.
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def to_latex(table: TableFrame, label: str = "thaw") -> str:
    r"""Return booktabs tables of at most :data:`LATEX_COLUMNS` transfers each.

    Args:
        table: What to print.
        label: For ``\ref``; from the second part on, a number is added to it.
    """
    starts = [i for i, column in enumerate(table.columns) if not column.from_paper]
    parts = []
    for number, first in enumerate(range(0, len(starts), LATEX_COLUMNS), start=1):
        later = starts[first + LATEX_COLUMNS :]
        end = later[0] if later else len(table.columns)
        suffix = "" if number == 1 else f"-{number}"
        parts.append(_latex_part(table, starts[first], end, f"tab:{label}{suffix}"))
    head = "% Needs \\usepackage{booktabs}. Written by thaw; edit the suite, not this file.\n"
    return head + "\n".join(parts)


def escape_latex(text: str) -> str:
    """Return text in which the special characters of LaTeX are escaped."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _latex_part(table: TableFrame, start: int, end: int, label: str) -> str:
    columns = table.columns[start:end]
    groups = [i for i, column in enumerate(columns) if not column.from_paper]
    widths = np.diff([*groups, len(columns)])
    spans = [
        f"\\multicolumn{{{width}}}{{c}}{{{escape_latex(columns[first].title)}}}"
        for first, width in zip(groups, widths, strict=True)
    ]
    rules = "".join(
        f"\\cmidrule(lr){{{first + 2}-{first + 1 + width}}}"
        for first, width in zip(groups, widths, strict=True)
    )
    lines = [
        "\\begin{table}[t]",
        "\\centering",
        "\\scriptsize",
        "\\setlength{\\tabcolsep}{3pt}",
        f"\\caption{{{escape_latex(table.title)}. {escape_latex(table.caption)}}}",
        f"\\label{{{label}}}",
        f"\\begin{{tabular}}{{l{'r' * len(columns)}}}",
        "\\toprule",
        f" & {' & '.join(spans)} \\\\",
    ]
    if any(column.from_paper for column in columns):
        kinds = ["paper" if column.from_paper else "ours" for column in columns]
        lines += [rules, f" & {' & '.join(kinds)} \\\\"]
    lines.append("\\midrule")
    for name, row in zip(table.labels, table.cells, strict=True):
        stacks = [_latex_lines(cell) for cell in row[start:end]]
        height = max(len(stack) for stack in stacks)
        for depth in range(height):
            cells = [stack[depth] if depth < len(stack) else "" for stack in stacks]
            head = escape_latex(name) if depth == 0 else ""
            gap = "[2pt]" if depth == height - 1 else ""
            lines.append(f"{head} & {' & '.join(cells)} \\\\{gap}")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}", ""])


def _latex_lines(cell: Cell) -> list[str]:
    """Return the lines of a cell: to save width, the interval stands below the mean."""
    mean, *rest = re.split(r" (?=[\[(])", cell.text) if cell.kind == "value" else [cell.text]
    text = _latex_number(mean)
    below = [f"{{\\tiny {_latex_number(line)}}}" for line in rest]
    return [f"\\textbf{{{text}}}" if cell.bold else text, *below]


def _latex_number(text: str) -> str:
    return escape_latex(text).replace("-", "$-$")


def _column_order(spec: ReportSpec, paper: PaperTable | None) -> list[tuple[str, str]]:
    """Return the transfers: first those of the paper's table, in its order."""
    if paper is None:
        return list(spec.transfers)
    places = {pair: paper.column(pair[1]) for pair in spec.transfers}
    last = len(paper.targets)
    return sorted(spec.transfers, key=lambda pair: last if (p := places[pair]) is None else p)


def _row_order(
    spec: ReportSpec, shown: pd.DataFrame, metric: str, paper: PaperTable | None
) -> list[str]:
    baseline = spec.baseline
    planned = [c for c in dict.fromkeys(shown["condition"]) if c != "pretrain"]
    if metric == "normalized_by_scratch":  # scratch is the unit: its row would be all 1
        planned = [c for c in planned if c != baseline]
        if paper is not None:
            planned = [c for c in paper.conditions if c in planned] + [
                c for c in planned if c not in paper.conditions
            ]
    has_pretrained = metric == "return_on_source" and "pretrain" in set(shown["condition"])
    return ["pretrain", *planned] if has_pretrained else planned


def _cell(row: pd.Series | None, decimals: int, best: bool) -> Cell:
    if row is None:
        return Cell("", "empty")
    mean, low, high = float(row["mean"]), float(row["ci_low"]), float(row["ci_high"])
    note, num_seeds, num_missing = str(row["note"]), int(row["num_seeds"]), int(row["num_missing"])
    if not num_seeds:
        measured = row["metric"] != "return_on_source" or not note.startswith("not measured")
        return Cell("missing" if measured else "not measured", "missing", note=note)
    if not np.isfinite(mean):
        return Cell("n/a", "not_available", note=note)
    text = _fixed(mean, decimals)
    if both := re.fullmatch(r"2 seeds: (.+) and (.+); no interval", note):
        text += f" ({both[1]}, {both[2]})"
    if np.isfinite(low):
        text += f" [{_fixed(low, decimals)}, {_fixed(high, decimals)}]"
    if num_missing:
        text += f" ({num_seeds} of {num_seeds + num_missing} seeds)"
    return Cell(text, "value", bold=best, note=note)


def _paper_cell(value: float | None) -> Cell:
    if value is None:
        return Cell("", "empty")
    return Cell("NaN" if np.isnan(value) else _fixed(value, 3), "paper")


def _caption(metric: str, paper: PaperTable | None, spec: ReportSpec) -> str:
    num_seeds = len(spec.seeds)
    sentences = [
        "Mean over the seeds that the race asked for [t interval at the level of its last look]."
        if spec.racing is not None
        else f"Mean over {num_seeds} seeds [95 % t interval]."
        if num_seeds >= MIN_SEEDS
        else "Two seeds: their mean (and both), no interval."
        if num_seeds == 2
        else "One seed, so there is no interval."
    ]
    sentences.append("Bold: the highest mean of the trained conditions; it is no verdict.")
    if metric == "normalized_by_scratch":
        sentences.append(
            f"1 is what {spec.baseline_name} reaches. n/a: it is missing or cannot be told from "
            "zero."
        )
    if paper is not None:
        sentences.append(f"Paper: {paper.citation}. {paper.remark}")
    return " ".join(sentences)


def _decimals(means: Sequence[float]) -> int:
    """Return the number of decimals of a column, which depends on its largest mean."""
    largest = max((abs(mean) for mean in means if np.isfinite(mean)), default=0.0)
    return 3 if largest < 10 else 2 if largest < 100 else 1 if largest < 1000 else 0


def _fixed(value: float, decimals: int) -> str:
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # + 0.0 turns -0.0 into 0.0


def _flat_titles(table: TableFrame) -> list[str]:
    return [f"{c.title} (paper)" if c.from_paper else c.title for c in table.columns]


def _pipes(cells: Sequence[str]) -> str:
    # An escaped < cannot begin a tag, because Markdown would pass tags on to the browser.
    escaped = [re.sub(r"[\\|<]", lambda letter: "\\" + letter[0], cell) for cell in cells]
    return f"| {' | '.join(escaped)} |"
