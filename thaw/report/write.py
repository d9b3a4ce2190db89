"""Writes the report: tables, figures and the page."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from thaw.files.atomic import as_write_failed, write_atomic
from thaw.report.aggregates import aggregates_frame, profiles_frame
from thaw.report.background import Background
from thaw.report.bounds import check_within_bounds
from thaw.report.card import card, card_json, card_markdown
from thaw.report.figures import (
    draw_final_returns,
    draw_learning_curves,
    draw_pretraining,
    figure_files,
)
from thaw.report.learning.curve_metrics import curve_metrics_frame
from thaw.report.learning.speed_tables import budget_table, speed_table
from thaw.report.metrics import metrics_frame, metrics_json
from thaw.report.page import page
from thaw.report.panels import curve_panels, final_panels
from thaw.report.pretraining import (
    amounts_of_pretraining,
    pretraining_frame,
    pretraining_panels,
)
from thaw.report.scores import check_curves, check_scores, check_source_steps
from thaw.report.spec import ReportSpec
from thaw.report.tables import (
    TableFrame,
    escape_formula,
    table_frame,
    to_csv,
    to_latex,
    to_markdown,
)
from thaw.report.verdict import verdicts


def write_report(
    scores: pd.DataFrame,
    curves: pd.DataFrame | None,
    spec: ReportSpec,
    out: str | os.PathLike[str],
    background: Background | None = None,
    source_steps: pd.DataFrame | None = None,
    interactive: bool = True,
) -> Path:
    """Write the whole report, and replace the files of an earlier one.

    Args:
        scores: One row per finished run; may have no rows yet.
        curves: One row per run and bin; without it there is no figure of learning curves.
        spec: What was planned.
        out: The folder; created if needed.
        background: What a suite's folder tells; for the page.
        source_steps: One row per run that started from a pretraining, with its step, where
            ``spec.source_steps`` names more than its end.
        interactive: Whether the page's learning curves can be explored; without, the page is 1.2
            MB smaller.

    Returns:
        The path of index.html, which is written last.

    Raises:
        InputError: Scores or curves are wrong, or outside the bounds of the returns; the message
            says how to correct them.
        WriteFailed: Disk full, no permission, and the like.
    """
    scores = check_scores(scores)
    curves = None if curves is None else check_curves(curves)
    if source_steps is not None:
        source_steps = check_source_steps(source_steps) if spec.source_steps else None
    for frame, where in ((scores, "scores"), (curves, "curves"), (source_steps, "source steps")):
        if frame is not None:
            check_within_bounds(frame, spec.bounds, where)
    judged = verdicts(scores, spec)
    final = metrics_frame(scores, spec)
    learning = curve_metrics_frame(scores, curves, spec, judged)
    metrics = pd.concat([final, learning], ignore_index=True) if len(learning) else final
    aggregates = aggregates_frame(scores, spec)
    tables = _tables(metrics, spec)
    source_table = table_frame(metrics, spec, "return_on_source")
    finals = final_panels(scores, metrics, spec)
    figures = figure_files(draw_final_returns(finals, spec), "final_returns")
    panels = [] if curves is None else curve_panels(curves, metrics, spec)
    if panels:
        figures |= figure_files(draw_learning_curves(panels, spec), "learning_curves")
    amounts = []
    if source_steps is not None:
        amounts = amounts_of_pretraining(source_steps, scores, spec)
    by_pretraining = pretraining_panels(amounts, scores, spec) if amounts else []
    if by_pretraining:
        figures |= figure_files(draw_pretraining(by_pretraining, spec), "pretraining")

    folder = Path(out)
    with as_write_failed(folder):
        (folder / "figures").mkdir(parents=True, exist_ok=True)
    document = card(spec, scores, metrics, aggregates, judged, _provenance(background))
    profiles = profiles_frame(scores, spec)
    has_source = any(cell.kind == "value" for row in source_table.cells for cell in row)
    everything = [*tables, source_table] if has_source else tables
    speed_tables = [
        table
        for transfer in spec.transfers
        for make in (speed_table, budget_table)
        if (table := make(learning, spec, *transfer)).cells
    ]
    labels = [f"{spec.name}-{table.metric}".replace("_", "-") for table in everything]
    texts = {
        "metrics.csv": metrics.map(
            lambda value: escape_formula(value) if isinstance(value, str) else value
        ).to_csv(index=False, float_format="%.6g", lineterminator="\n"),
        "metrics.json": metrics_json(spec, metrics, aggregates, judged),
        "table.md": "\n".join(to_markdown(table) for table in [*everything, *speed_tables])
        + _diverged(scores),
        "table.tex": "\n".join(map(to_latex, everything, labels)),
        "table.csv": to_csv(tables[0]),
        "table_source.csv": to_csv(source_table),
        "profiles.csv": profiles.to_csv(index=False, float_format="%.6g", lineterminator="\n"),
        "card.json": card_json(document),
        "card.md": card_markdown(document, tables[0]),
    }
    if amounts:
        frame = pretraining_frame(amounts)
        texts["pretraining.csv"] = frame.to_csv(
            index=False, float_format="%.6g", lineterminator="\n"
        )
    for name, image in figures.items():
        write_atomic(folder / "figures" / name, image)
    # What an earlier report wrote and this one does not would show other scores.
    for name, drawn in (("learning_curves", panels), ("pretraining", by_pretraining)):
        for kind in ("svg", "pdf", "png") if not drawn else ():
            (folder / "figures" / f"{name}.{kind}").unlink(missing_ok=True)
    if not amounts:
        (folder / "pretraining.csv").unlink(missing_ok=True)
    for name, text in texts.items():
        write_atomic(folder / name, text.encode())
    index = folder / "index.html"
    content = page(
        spec,
        scores,
        judged,
        tables=tables,
        source_table=source_table,
        metrics=metrics,
        aggregates=aggregates,
        curves=panels,
        finals=finals,
        speed_tables=speed_tables,
        amounts=amounts,
        by_pretraining=by_pretraining,
        background=background,
        interactive=interactive,
    )
    write_atomic(index, content.encode())
    return index


def _provenance(background: Background | None) -> dict[str, str] | None:
    """Return what is known of where the runs come from; a link of the page has no place here."""
    if background is None:
        return None
    texts = asdict(background.provenance)
    return {name: text for name, text in texts.items() if text and name != "suite_file"}


def _tables(metrics: pd.DataFrame, spec: ReportSpec) -> list[TableFrame]:
    """Return the main table and, if it is normalized, the table of raw returns."""
    names = dict.fromkeys([spec.main_metric, "return"])
    return [table_frame(metrics, spec, name) for name in names]


def _diverged(scores: pd.DataFrame) -> str:
    """Name the runs whose weights grew beyond all bounds, if there are any."""
    if "diverged" not in scores.columns:
        return ""
    runs = scores[scores["diverged"] == "True"]
    names = [f"{r['target']} {r['condition']} seed {r['seed']}" for r in runs.to_dict("records")]
    return f"\nDiverged (weights beyond all bounds): {', '.join(names)}.\n" if names else ""
