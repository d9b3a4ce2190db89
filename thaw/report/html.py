"""Builds the report as one HTML page.

The page holds its style and figures itself, so that it needs no network. It has no scripts, and
a light and a dark style.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from thaw.report.figures import looks
from thaw.report.metrics import REFERENCE
from thaw.report.paper import PAPER_TABLES
from thaw.report.scores import RUN_IDENTITY, SCORE_COLUMNS, planned_rows
from thaw.report.spec import (
    INDEPENDENT_CONDITIONS,
    ReportSpec,
    condition_name,
    flavor_name,
    transfer_names,
)
from thaw.report.tables import Cell, TableFrame
from thaw.report.verdict import Verdict

_CSS = Path(__file__).with_name("page.css").read_text(encoding="utf-8")

_AGGREGATES_CAPTION = (
    "Interquartile mean (IQM) over all runs, and mean of the transfers' means, each with a 95 % "
    "interval in which the runs of one pretraining are one unit. It speaks of these transfers, not "
    "of others."
)


class RunColumn(NamedTuple):
    """One column of the list of runs."""

    name: str
    """In :data:`~thaw.report.scores.SCORE_COLUMNS`."""
    heading: str
    pattern: str
    unit: float = 1.0
    """The value is divided by this."""


_RUN_COLUMNS = (
    RunColumn("mean_return", "return", "{:.4g}"),
    RunColumn("sem", "standard error", "{:.2g}"),
    RunColumn("num_episodes", "episodes", "{:,.0f}"),
    RunColumn("steps", "steps", "{:,.0f}"),
    RunColumn("frames", "frames", "{:,.0f}"),
    RunColumn("seconds", "hours", "{:.2f}", 3600.0),
    RunColumn("mean_policy_lag", "policy lag", "{:.2f}"),
)
_MEANINGS = {column.name: column.meaning for column in SCORE_COLUMNS}


def page(
    spec: ReportSpec,
    scores: pd.DataFrame,
    judged: Sequence[Verdict],
    tables: Sequence[TableFrame],
    source_table: TableFrame,
    aggregates: pd.DataFrame,
    figures: Mapping[str, bytes],
) -> str:
    """Return the text of the page.

    Args:
        spec: What was planned.
        scores: As :func:`thaw.report.scores.check_scores` returns them; for the list of runs.
        judged: The verdicts, shown first.
        tables: The main table first.
        source_table: Returns back on the source flavor.
        aggregates: From :func:`thaw.report.metrics.aggregates_frame`.
        figures: Content by file name; the SVG files become part of the page.
    """
    colors = {condition: look.color for condition, look in looks(spec).items()}
    runs, missing = _runs(spec, scores)
    body = [
        f"<h1>{escape(spec.name)}</h1>",
        f'<p class="soft">{escape(_summary(spec, missing))}</p>',
        "<h2>Which update rule won?</h2>",
        *(_verdict(verdict) for verdict in judged),
    ]
    for table in tables:
        body += [f"<h2>{escape(table.title)}</h2>", _table(table, colors)]
    if len(aggregates):
        body += ["<h2>Over all transfers</h2>", _aggregates(aggregates)]
    body.append("<h2>Learning curves</h2>")
    if "learning_curves.svg" in figures:
        body.append(_figure(figures["learning_curves.svg"], "learning_curves", "Learning curves"))
    else:
        body.append("<p>None: there is no curves.csv, or it has no run that trained.</p>")
    body += [
        "<h2>Final returns</h2>",
        _figure(figures["final_returns.svg"], "final_returns", "Final returns"),
        "<h2>Back on the source flavor</h2>",
    ]
    if any(cell.kind == "value" for row in source_table.cells for cell in row):
        body.append(_table(source_table, colors))
    else:
        body.append("<p>Not measured: no score has a source_mean_return.</p>")
    body += ["<h2>Runs</h2>", runs, "<h2>How this was made</h2>", _how(spec, scores)]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(spec.name)} - thaw</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _summary(spec: ReportSpec, num_missing: int) -> str:
    counts = [
        (len(spec.transfers), "transfer"),
        (len(spec.conditions), "condition"),
        (len(spec.seeds), "seed"),
    ]
    words = ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts)
    if not num_missing:
        return f"{words}; every planned run is finished."
    return f"{words}; {num_missing} planned run{'s are' if num_missing > 1 else ' is'} missing."


def _verdict(verdict: Verdict) -> str:
    kind, tag = ("verdict decided", "DECIDED") if verdict.decided else ("verdict", "NOT DECIDED")
    reading = f'<p class="soft">{escape(verdict.reading)}</p>' if verdict.reading else ""
    sentence = f'<p><span class="tag">{tag}</span>{escape(verdict.sentence)}</p>'
    return f'<div class="{kind}">{sentence}{reading}</div>'


def _table(table: TableFrame, colors: Mapping[str, str]) -> str:
    head = "".join(
        '<th scope="col" class="paper">paper</th>'
        if column.from_paper
        else f'<th scope="col">{escape(column.title)}</th>'
        for column in table.columns
    )
    rows = []
    for condition, label, cells in zip(table.conditions, table.labels, table.cells, strict=True):
        color = colors.get(condition)
        swatch = f'<span class="swatch" style="background:{color}"></span>' if color else ""
        rows.append(
            f'<tr><th scope="row">{swatch}{escape(label)}</th>{"".join(map(_cell, cells))}</tr>'
        )
    return (
        '<div class="wide"><table>'
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        f'<p class="soft">{escape(table.caption)}</p>'
    )


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    text = re.sub(r" (\[[^\]]*\])", r' <span class="interval">\1</span>', text)
    text = re.sub(r" (\([^)]*seeds\))", r' <span class="seeds">\1</span>', text)
    text = f"<strong>{text}</strong>" if cell.bold else text
    title = f' title="{escape(cell.note)}"' if cell.note else ""
    return f'<td class="{cell.kind}"{title}>{text}</td>'


def _aggregates(aggregates: pd.DataFrame) -> str:
    rows = []
    for condition, group in aggregates.groupby("condition", sort=False):
        by_statistic = {str(row["statistic"]): row for _, row in group.iterrows()}
        cells = "".join(f"<td>{_interval(by_statistic[name])}</td>" for name in ("iqm", "mean"))
        name = escape(condition_name(str(condition)))
        rows.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    notes = " ".join(f"{note}." for note in dict.fromkeys(aggregates["note"]) if note)
    return (
        '<div class="wide"><table><thead><tr><th></th>'
        '<th scope="col">IQM</th><th scope="col">mean</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        f'<p class="soft">{escape(f"{_AGGREGATES_CAPTION} {notes}")}</p>'
    )


def _interval(row: pd.Series) -> str:
    mean, low, high = float(row["mean"]), float(row["ci_low"]), float(row["ci_high"])
    if not np.isfinite(mean):
        return "n/a"
    interval = f' <span class="interval">[{low:.3f}, {high:.3f}]</span>'
    return f"{mean:.3f}{interval if np.isfinite(low) else ''}"


def _figure(svg: bytes, name: str, title: str) -> str:
    """Return a figure that contains an SVG, with identifiers that are unique in the page."""
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = text.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)
    links = ", ".join(
        f'<a href="figures/{name}.{kind}">{kind}</a>' for kind in ("pdf", "png", "svg")
    )
    return f"<figure>{text}<figcaption>For a paper: {links}</figcaption></figure>"


def _runs(spec: ReportSpec, scores: pd.DataFrame) -> tuple[str, int]:
    """Return the list of all planned runs as HTML, and how many are missing."""
    names, blocks, num_missing = transfer_names(spec.transfers), [], 0
    listed: set[tuple[object, ...]] = set()
    for source, target in spec.transfers:
        lines, missing_here = [], 0
        for condition in spec.conditions:
            found = planned_rows(scores, spec, source, target, condition).to_dict("records")
            rows = {row["seed"]: row for row in found}
            # One run without a source serves all transfers to its target; it is listed once.
            own_source = "" if condition in INDEPENDENT_CONDITIONS else source
            for seed in spec.seeds:
                row = rows.get(seed)
                run = (row["source"] if row else own_source, target, condition, seed)
                if run in listed:
                    continue
                listed.add(run)
                missing_here += row is None
                lines.append(_run(condition, seed, row))
        num_missing += missing_here
        note = f" ({missing_here} missing)" if missing_here else ""
        addresses = f"{source or 'unknown source'} to {target}"
        blocks.append(
            f"<details><summary>{escape(names[source, target])}{note}</summary>"
            f'<p class="soft">{escape(addresses)}</p>{_run_table(lines)}</details>'
        )
    others = [
        _run(f"{row['condition']} ({row['target']})", row["seed"], row)
        for row in scores.to_dict("records")
        if tuple(row[name] for name in RUN_IDENTITY) not in listed
    ]
    if others:
        blocks.append(
            "<details><summary>Pretrainings, and runs outside of the plan</summary>"
            f"{_run_table(others)}</details>"
        )
    return "\n".join(blocks), num_missing


def _run_table(lines: Sequence[str]) -> str:
    head = "".join(
        f'<th scope="col" title="{escape(_MEANINGS[column.name])}">{column.heading}</th>'
        for column in _RUN_COLUMNS
    )
    return (
        '<div class="wide"><table><thead><tr><th></th><th scope="col">seed</th>'
        f"{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _run(condition: str, seed: object, row: Mapping[Any, Any] | None) -> str:
    name = condition_name(condition)
    if row is not None and row.get("diverged") == "True":
        name += " (diverged)"
    head = f'<tr><th scope="row">{escape(name)}</th><td>{escape(str(seed))}</td>'
    if row is None:
        rest = "<td></td>" * (len(_RUN_COLUMNS) - 1)
        return f'{head}<td class="missing">missing</td>{rest}</tr>'
    cells = []
    for column in _RUN_COLUMNS:
        value = float(row.get(column.name, "nan")) / column.unit
        cells.append(f"<td>{column.pattern.format(value) if np.isfinite(value) else ''}</td>")
    return f"{head}{''.join(cells)}</tr>"


def _policy_lag(scores: pd.DataFrame) -> str | None:
    """Describe the clocks of the runs and their policy lag; None if no run has one."""
    if not {"clock", "mean_policy_lag"} <= set(scores.columns):
        return None
    trained = scores[scores["mean_policy_lag"].notna() & (scores["clock"] != "")]
    if trained.empty:
        return None
    lags_of_clocks = [
        f"{len(lags)} {'run' if len(lags) == 1 else 'runs'} on the {clock} clock, "
        f"{lags.mean():.2f} updates on average (most in one run: {lags.max():.2f})"
        for clock, lags in trained.groupby("clock")["mean_policy_lag"]
    ]
    return (
        "The number of updates between the weights that acted and the weights that learned; "
        f"V-trace corrects for it: {'; '.join(lags_of_clocks)}."
    )


def _how(spec: ReportSpec, scores: pd.DataFrame) -> str:
    items = {
        "Return": "The sum of an episode's rewards, unclipped, for the policy at the end of its "
        "run: averaged over the run's episodes, then over seeds.",
        "Interval": "95 % Student's t over seeds. The standard error is at least the one that the "
        "runs' own episodes give. There is none below three seeds, and none where all seeds are "
        "equal. It cannot know of failures that no seed showed: with 5 seeds up to 45 % of runs "
        "may fail unseen, with 10 up to 26 %.",
        "Verdict": "Decided means that the interval of the best trained condition's lead over "
        "every other one is above zero: paired t where runs of one seed start from one pretrained "
        "policy, else Welch. If two conditions were equally good, this rule would name a winner "
        "in at most 5 % of transfers.",
        "Probability of improvement": "Mann-Whitney's statistic over all pairs of runs, ties "
        f"count one half (rliable). metrics.csv has it against {condition_name(REFERENCE)}.",
        "Normalized by scratch": "Mean over seeds divided by the mean over the seeds of scratch, "
        "with Fieller's interval. Not given where scratch is missing, cannot be told from zero, or "
        "is below zero: a ratio would mean nothing there.",
        "Learning curves": "Episodes are binned by the step at which they end. A point averages "
        "the seeds that finished an episode in its bin; nothing is filled in. Conditions that do "
        "not train are drawn as a line at their final return.",
    }
    if lag := _policy_lag(scores):
        items["Policy lag"] = lag
    if spec.paper:
        table = PAPER_TABLES[spec.paper]
        items[f"The paper ({table.citation})"] = table.remark
    targets = dict.fromkeys(target for _, target in spec.transfers)
    items["Flavors"] = "; ".join(f"{flavor_name(target)} is {target}" for target in targets)
    text = "".join(f"<dt>{escape(key)}</dt><dd>{escape(item)}</dd>" for key, item in items.items())
    return f"<dl>{text}</dl>"
