"""Write the report: tables, figures and the page."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from thaw.report.figures import figure_files, final_returns_figure, learning_curves_figure
from thaw.report.html import page
from thaw.report.metrics import aggregates_frame, metrics_frame, metrics_json
from thaw.report.scores import check_curves, check_scores
from thaw.report.spec import ReportSpec
from thaw.report.tables import TableFrame, main_metric, table_frame, to_csv, to_latex, to_markdown
from thaw.report.verdict import verdicts


def write_report(
    scores: pd.DataFrame,
    curves: pd.DataFrame | None,
    spec: ReportSpec,
    out: str | os.PathLike[str],
) -> Path:
    """Write the whole report; what an earlier one left under the same names is replaced.

    Args:
        scores: One row per finished run; may have no rows yet.
        curves: One row per run and bin; without any there is no figure of curves.
        spec: What was planned.
        out: The folder, made if need be.

    Returns:
        The path of index.html, which is written last.

    Raises:
        ValueError: Scores or curves are wrong; one line says how to mend them.
    """
    scores = check_scores(scores)
    metrics = metrics_frame(scores, spec)
    aggregates = aggregates_frame(scores, spec)
    judged = verdicts(scores, spec)
    tables = _tables(metrics, spec)
    source_table = table_frame(metrics, spec, "return_on_source")
    figures = figure_files(final_returns_figure(scores, metrics, spec), "final_returns")
    if curves is not None:
        drawn = learning_curves_figure(check_curves(curves), metrics, spec)
        if drawn is not None:
            figures |= figure_files(drawn, "learning_curves")

    folder = Path(out)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    everything = [*tables, source_table]
    labels = [f"{spec.name}-{table.metric}".replace("_", "-") for table in everything]
    texts = {
        "metrics.csv": metrics.to_csv(index=False, float_format="%.6g", lineterminator="\n"),
        "metrics.json": metrics_json(spec, metrics, aggregates, [asdict(v) for v in judged]),
        "table.md": "\n".join(to_markdown(table) for table in everything) + _diverged(scores),
        "table.tex": "\n".join(map(to_latex, everything, labels)),
        "table.csv": to_csv(tables[0]),
        "table_source.csv": to_csv(source_table),
    }
    for name, image in figures.items():
        _write(folder / "figures" / name, image)
    if "learning_curves.svg" not in figures:
        for kind in ("svg", "pdf", "png"):  # an old figure would pass for one of these scores
            (folder / "figures" / f"learning_curves.{kind}").unlink(missing_ok=True)
    for name, text in texts.items():
        _write(folder / name, text.encode())
    index = folder / "index.html"
    content = page(spec, scores, judged, tables, source_table, aggregates, figures)
    _write(index, content.encode())
    return index


def _tables(metrics: pd.DataFrame, spec: ReportSpec) -> list[TableFrame]:
    """Return the main table, and the raw returns behind it where it is normalized."""
    names = dict.fromkeys([main_metric(spec), "return"])
    return [table_frame(metrics, spec, name) for name in names]


def _diverged(scores: pd.DataFrame) -> str:
    """Name the runs whose weights grew beyond all bounds, if there are any."""
    if "diverged" not in scores.columns:
        return ""
    runs = scores[scores["diverged"].astype(str) == "True"]
    names = [f"{r['target']} {r['condition']} seed {r['seed']}" for r in runs.to_dict("records")]
    return f"\nDiverged (weights beyond all bounds): {', '.join(names)}.\n" if names else ""


def _write(path: Path, content: bytes) -> None:
    """Write through a file beside it, so that a reader sees the old or the new one, never half."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    beside.write_bytes(content)
    os.replace(beside, path)
