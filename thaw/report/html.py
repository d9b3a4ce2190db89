"""The report as one page: no network, no script, figures inside, readable in light and dark."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from thaw.report import statistics
from thaw.report.curves import CURVE_RESAMPLES
from thaw.report.figures import looks
from thaw.report.metrics import REFERENCE
from thaw.report.paper import PAPER_TABLES
from thaw.report.scores import IDENTITY
from thaw.report.spec import (
    INDEPENDENT_CONDITIONS,
    ReportSpec,
    condition_name,
    flavor_name,
    transfer_names,
)
from thaw.report.tables import Cell, TableFrame
from thaw.report.verdict import FEW_SEEDS, Verdict

_CSS = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5c6570; --line: #d9dee3;
  --paper: #fff; --tint: #f4f6f8; --accent: #0072b2; --good: #00694b; --unsure: #8a5300; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #a3acb6; --line: #39414a;
  --paper: #14181c; --tint: #1d2329; --accent: #6cb8e6; --good: #5fd0a8; --unsure: #f0b35c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 5rem; max-width: 66rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.75rem 0 .75rem; }
p, li { max-width: 46rem; }
.soft, figcaption { color: var(--soft); font-size: .88rem; }
.verdict { border-left: 4px solid var(--unsure); background: var(--tint); margin: .75rem 0;
  padding: .7rem 1rem; border-radius: 0 6px 6px 0; }
.verdict.decided { border-color: var(--good); }
.verdict p { margin: 0; max-width: none; }
.verdict p + p { margin-top: .3rem; }
.tag { font-size: .78rem; font-weight: 600; color: var(--unsure); margin-right: .5rem;
  letter-spacing: .02em; }
.decided .tag { color: var(--good); }
.wide { overflow-x: auto; margin: 0 0 1rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
.wide + p { margin-top: -.4rem; max-width: 52rem; }
th, td { padding: .38rem .7rem; text-align: right; white-space: nowrap; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th { border-bottom: 2px solid var(--line); vertical-align: bottom; white-space: normal; }
th:first-child, td:first-child, .words td { text-align: left; }
tbody th { font-weight: 500; }
td .interval, td .seeds { display: block; color: var(--soft); font-size: .82em;
  font-weight: 400; line-height: 1.35; }
td .seeds { color: var(--unsure); }
td.missing { color: var(--unsure); font-style: italic; }
td.not_available, td.paper, th.paper { color: var(--soft); }
td.paper, th.paper { border-left: 1px dotted var(--line); }
.swatch { display: inline-block; width: .7em; height: .7em; border-radius: 50%;
  margin-right: .5em; border: 1px solid var(--line); }
figure { margin: 0 0 1.5rem; padding: 1rem; background: #fff; border: 1px solid var(--line);
  border-radius: 6px; }
figure svg { display: block; width: 100%; height: auto; }
figcaption, figcaption a { color: #5c6570; }
details { margin: .5rem 0; }
summary { cursor: pointer; color: var(--accent); }
a { color: var(--accent); }
dt { font-weight: 600; margin-top: .6rem; }
dd { margin: 0; max-width: 46rem; }
@media print { details > * { display: block; } body { max-width: none; } }
"""

_AGGREGATES_CAPTION = (
    "Interquartile mean over all runs, and mean of the transfers' means, each with a 95 % "
    "bootstrap interval stratified by transfer. Transfers from one source share their pretrained "
    "policies, which these intervals do not account for."
)


def page(
    spec: ReportSpec,
    scores: pd.DataFrame,
    judged: Sequence[Verdict],
    tables: Sequence[TableFrame],
    source_table: TableFrame,
    aggregates: pd.DataFrame,
    figures: Mapping[str, bytes],
) -> str:
    """Return the page.

    Args:
        spec: What was planned.
        scores: Checked; for the list of runs.
        judged: The verdicts, said first.
        tables: The main table first.
        source_table: Returns back on the source flavor.
        aggregates: From :func:`thaw.report.metrics.aggregates_frame`.
        figures: File name -> content; the SVG ones are put into the page.
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
        body.append("<p>None: there is no curves.csv, or it holds no run that learns.</p>")
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
    """Put an SVG into the page, its identifiers made unique, as a page demands."""
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
    rows = {tuple(row[key] for key in IDENTITY): row for row in scores.to_dict("records")}
    names, blocks, num_missing = transfer_names(spec.transfers), [], 0
    listed: set[tuple[Any, ...]] = set()
    for source, target in spec.transfers:
        lines, here = [], 0
        for condition, seed in itertools.product(spec.conditions, spec.seeds):
            keys = [(source, target, condition, seed), ("", target, condition, seed)]
            planned = keys[condition in INDEPENDENT_CONDITIONS]
            key = next((key for key in keys if key in rows), planned)
            if key in listed:  # one scratch run serves all transfers to its target
                continue
            listed.add(key)
            here += key not in rows
            lines.append(_run(condition, seed, rows.get(key)))
        num_missing += here
        said = f" ({here} missing)" if here else ""
        place = f"{source or 'unknown source'} to {target}"
        blocks.append(
            f"<details><summary>{escape(names[source, target])}{said}</summary>"
            f'<p class="soft">{escape(place)}</p>{_run_table(lines)}</details>'
        )
    others = [row for key, row in rows.items() if key not in listed]
    if others:
        lines = [_run(f"{row['condition']} ({row['target']})", row["seed"], row) for row in others]
        blocks.append(
            "<details><summary>Pretrainings, and runs outside of the plan</summary>"
            f"{_run_table(lines)}</details>"
        )
    return "\n".join(blocks), num_missing


def _run_table(lines: Sequence[str]) -> str:
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in (
            *("seed", "return", "standard error", "episodes", "steps", "frames", "hours"),
            "policy lag",
        )
    )
    return (
        f'<div class="wide"><table><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _run(condition: str, seed: object, row: Mapping[Any, Any] | None) -> str:
    name = condition_name(condition)
    if row is not None and str(row.get("diverged")) == "True":
        name += " (diverged)"
    head = f'<tr><th scope="row">{escape(name)}</th><td>{escape(str(seed))}</td>'
    if row is None:
        return f'{head}<td class="missing">missing</td>{"<td></td>" * 6}</tr>'

    def show(column: str, pattern: str, scale: float = 1.0) -> str:
        value = float(row.get(column, "nan"))
        return f"<td>{pattern.format(value / scale)}</td>" if np.isfinite(value) else "<td></td>"

    return (
        head
        + show("mean_return", "{:.4g}")
        + show("sem", "{:.2g}")
        + show("num_episodes", "{:,.0f}")
        + show("steps", "{:,.0f}")
        + show("frames", "{:,.0f}")
        + show("seconds", "{:.2f}", 3600.0)
        + show("mean_policy_lag", "{:.2f}")
        + "</tr>"
    )


def _policy_lag(scores: pd.DataFrame) -> str | None:
    """Say by which clocks the runs learned and how old the weights were that acted."""
    if not {"clock", "mean_policy_lag"} <= set(scores.columns):
        return None
    trained = scores[scores["mean_policy_lag"].notna()]
    if trained.empty:
        return None
    said = [
        f"{len(lags)} {'run' if len(lags) == 1 else 'runs'} on the {clock} clock, "
        f"{lags.mean():.2f} updates on average (most in one run: {lags.max():.2f})"
        for clock, lags in trained.groupby("clock")["mean_policy_lag"]
    ]
    return (
        "How many updates the weights that acted were behind those that learned, which V-trace "
        f"corrects for: {'; '.join(said)}."
    )


def _how(spec: ReportSpec, scores: pd.DataFrame) -> str:
    items = {
        "Return": "What the environment pays, unclipped, of the policy at the end of its run, "
        "averaged over the run's episodes first and over seeds then.",
        "Interval": f"95 % percentile bootstrap over seeds, {statistics.RESAMPLES:,} resamples "
        f"({CURVE_RESAMPLES:,} at each point of a curve), with a fixed random state for each "
        "number, so that the same scores give the same report. It speaks of seeds, not episodes. "
        "With few seeds it is too narrow: on normal data it covers 75 % of the time with 3 "
        "seeds, 83 % with 5, 90 % with 10.",
        "Verdict": "The trained condition with the highest mean against the runner-up. Runs of "
        "one seed start from one pretrained policy and are compared seed by seed. Decided means "
        "that the interval of the difference is above zero; between four equal conditions that "
        "still happens 36 % of the time with 2 seeds, 14 % with 3 and 7 % with 5, so take "
        f"{FEW_SEEDS} or more.",
        "Probability of improvement": "Mann-Whitney's statistic over all pairs of runs, ties "
        f"count a half (rliable). metrics.csv holds it against {condition_name(REFERENCE)}.",
        "Normalized by scratch": "Mean over seeds divided by the mean over scratch seeds, both "
        "resampled. Not given where scratch is missing or cannot be told from zero, or is below "
        "it: a ratio would mean nothing there.",
        "Learning curves": "Episodes are binned by the step at which they end. A point averages "
        "the seeds that finished an episode in its bin; nothing is filled in. Conditions that do "
        "not learn are drawn at their final return.",
    }
    if lag := _policy_lag(scores):
        items["Policy lag"] = lag
    if spec.paper:
        table = PAPER_TABLES[spec.paper]
        items[f"The paper ({table.source})"] = table.remark
    targets = dict.fromkeys(target for _, target in spec.transfers)
    items["Flavors"] = "; ".join(f"{flavor_name(target)} is {target}" for target in targets)
    text = "".join(f"<dt>{escape(key)}</dt><dd>{escape(item)}</dd>" for key, item in items.items())
    return f"<dl>{text}</dl>"
