"""Builds the report as one HTML page.

The page holds its style, figures and scripts itself, so that it needs no network. Without scripts
it shows the same numbers. It has a light and a dark style.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from thaw.report.aggregates import why_no_aggregates
from thaw.report.background import Background, Provenance
from thaw.report.metrics import REFERENCE
from thaw.report.page.boxes import verdict_boxes
from thaw.report.page.charts import (
    curve_svg,
    final_note,
    final_svg,
    legend,
    look_number,
    look_variables,
    pretraining_svg,
)
from thaw.report.page.grids import aggregates as aggregates_table
from thaw.report.page.grids import heat_map, table
from thaw.report.page.live import content_policy, curve_data, scripts
from thaw.report.page.parts import glossary
from thaw.report.page.runs import health, run_list
from thaw.report.panels import CurvePanel, FinalPanel, return_range
from thaw.report.paper import PAPER_TABLES
from thaw.report.pretraining import Amounts
from thaw.report.spec import ReportSpec, condition_name, flavor_name
from thaw.report.tables import TableFrame
from thaw.report.verdict import Verdict

_CSS = Path(__file__).with_name("page.css").read_text(encoding="utf-8")

_FILES = {
    "metrics.csv": "all numbers",
    "metrics.json": "all numbers and verdicts",
    "profiles.csv": "performance profiles over all transfers",
    "card.json": "summary for programs",
    "card.md": "summary for readers",
    "table.csv": "main table",
    "table.tex": "tables for LaTeX",
    "table.md": "tables for Markdown",
}

_PROVENANCE = {
    "date": "Runs ended",
    "command": "Again with",
    "versions": "Versions",
    "commit": "Commit",
    "machine": "Machine",
    "budgets": "Budgets",
    "network": "Network",
    "clock": "Clock",
    "wall_time": "Time of all runs",
}


def page(
    spec: ReportSpec,
    scores: pd.DataFrame,
    judged: Sequence[Verdict],
    tables: Sequence[TableFrame],
    source_table: TableFrame,
    metrics: pd.DataFrame,
    aggregates: pd.DataFrame,
    curves: Sequence[CurvePanel],
    finals: Sequence[FinalPanel],
    speed_tables: Sequence[TableFrame] = (),
    amounts: Sequence[Amounts] = (),
    by_pretraining: Sequence[CurvePanel] = (),
    background: Background | None = None,
    interactive: bool = True,
) -> str:
    """Return the text of the page.

    Args:
        spec: What was planned.
        scores: As :func:`thaw.report.scores.check_scores` returns them; for the list of runs.
        judged: The verdicts, shown first.
        tables: The main table first.
        source_table: Returns back on the source flavor.
        metrics: From :func:`thaw.report.metrics.metrics_frame`.
        aggregates: From :func:`thaw.report.aggregates.aggregates_frame`.
        curves: The learning curves; empty if there are none.
        finals: The final returns.
        speed_tables: What the curves say in numbers, if there are any.
        amounts: How much pretraining is enough, where that was asked.
        by_pretraining: The same as curves.
        background: What a suite's folder tells; None for scores from elsewhere.
        interactive: Whether the learning curves can be explored; else they are pictures.
    """
    background = background or Background()
    runs = run_list(spec, scores, background)
    sections = {
        "Verdicts": "\n".join(verdict_boxes(judged, background)),
        "Results": _results(spec, scores, tables, metrics, aggregates, background),
        "Learning curves": _curves(spec, curves, interactive) + _speed(spec, speed_tables),
        "Final returns": _finals(spec, finals),
        **({"How much pretraining": _amounts(spec, amounts, by_pretraining)} if amounts else {}),
        "Back on the source flavor": _source(spec, source_table),
        "Runs": runs.html,
        "Health": health(spec, scores, runs.num_missing, background.health),
        "How this was made": _how(spec),
    }
    anchors = {title: title.lower().replace(" ", "-") for title in sections}
    links = "".join(f'<li><a href="#{anchors[t]}">{escape(t)}</a></li>' for t in sections)
    body = [
        f"<h1>{escape(spec.name)}</h1>",
        f'<p class="soft">{escape(_summary(spec, runs.num_missing))}</p>',
        _provenance(background),
        f'<nav aria-label="Contents"><ul>{links}</ul></nav>',
        "<main>",
        *(f'<h2 id="{anchors[t]}">{escape(t)}</h2>\n{text}' for t, text in sections.items()),
        "</main>",
    ]
    texts = scripts(with_library=interactive and bool(curves))
    body += [f"<script>{text}</script>" for text in texts]
    light, dark = look_variables(spec)
    style = f":root{{{light}}}@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{content_policy(texts)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(spec.name)} - thaw</title>\n<style>{_CSS}{style}</style>\n</head>\n"
        "<body>\n" + "\n".join(body) + "\n</body>\n</html>\n"
    )


def _summary(spec: ReportSpec, num_missing: int) -> str:
    counts = [
        (len(spec.transfers), "transfer"),
        (len(spec.conditions), "condition"),
        (len(spec.seeds), "seed"),
    ]
    words = ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts)
    if spec.racing is not None:
        return f"{words} at most: a race gives more seeds only to conditions that are still open."
    if not num_missing:
        return f"{words}; every planned run is finished."
    return f"{words}; {num_missing} planned run{'s are' if num_missing > 1 else ' is'} missing."


def _provenance(background: Background) -> str:
    """Say where the runs come from, and link the files that belong to the page."""
    known: Provenance = background.provenance
    facts = {heading: getattr(known, name) for name, heading in _PROVENANCE.items()}
    items = {heading: escape(text) for heading, text in facts.items() if text}
    if "Again with" in items:
        items["Again with"] = f"<code>{items['Again with']}</code>"
    files = [_link(name, f"{name} ({what})") for name, what in _FILES.items()]
    if known.suite_file:
        files.insert(0, _link(known.suite_file, "suite.yaml (the whole configuration)"))
    if background.root:
        files.append(_link(f"{background.root}/scores.csv", "scores.csv (one row per run)"))
    items["Files"] = ", ".join(files)
    if background.films and background.root:
        films = [_link(f"{background.root}/{film}", film) for film in background.films]
        items["Films"] = ", ".join(films)
    rows = "".join(f"<dt>{heading}</dt><dd>{text}</dd>" for heading, text in items.items())
    return f'<dl class="facts">{rows}</dl>'


def _link(address: str, text: str) -> str:
    return f'<a href="{escape(quote(address))}">{escape(text)}</a>'


def _results(
    spec: ReportSpec,
    scores: pd.DataFrame,
    tables: Sequence[TableFrame],
    metrics: pd.DataFrame,
    aggregates: pd.DataFrame,
    background: Background,
) -> str:
    numbers = {condition: look_number(spec, condition) for condition in spec.conditions}
    parts = [
        f'<div class="main"><h3>{escape(frame.title)}</h3>{table(frame, numbers)}</div>'
        for frame in tables
    ]
    parts.insert(1, glossary(spec, background.update_rules))
    everything = [f'<div class="beside">{parts[0]}{parts[1]}</div>', *parts[2:]]
    if overview := heat_map(metrics, spec):
        everything.append(f"<h3>All transfers at a glance</h3>{overview}")
    everything.append("<h3>Over all transfers</h3>")
    if len(aggregates):
        everything.append(aggregates_table(aggregates))
    else:
        reason = why_no_aggregates(scores, spec)
        everything.append(f"<p>Not given: {escape(reason)}.</p>")
    return "\n".join(everything)


def _curves(spec: ReportSpec, panels: Sequence[CurvePanel], interactive: bool) -> str:
    if not panels:
        return "<p>None: there is no curves.csv, or it has no run that trained.</p>"
    shared = _shared_range(spec, panels)
    figures = "".join(
        f'<figure data-panel="{place}"><figcaption>{escape(panel.title)}</figcaption>'
        f"{curve_svg(panel, spec, shared)}</figure>"
        for place, panel in enumerate(panels)
    )
    data = curve_data(panels, spec, shared) if interactive else ""
    return (
        f'{legend(spec, panels)}<div class="panels">{figures}</div>'
        f"{_paper_links('learning_curves')}{data}"
    )


def _shared_range(spec: ReportSpec, panels: Sequence[CurvePanel]) -> tuple[float, float] | None:
    """Return the range of returns of all panels; None where each has its own unit."""
    if not spec.is_one_game:
        return None
    ranges = [return_range(panel) for panel in panels]
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _amounts(spec: ReportSpec, amounts: Sequence[Amounts], panels: Sequence[CurvePanel]) -> str:
    """Return the return by the steps of pretraining: a sentence for each condition, and curves."""
    shared, parts = _shared_range(spec, panels), []
    for panel in panels:
        sentences = "".join(
            f"<li>{escape(found.sentence)}</li>"
            for found in amounts
            if (found.source, found.target) == panel.transfer
        )
        parts.append(
            f"<figure><figcaption>{escape(panel.title)}</figcaption>"
            f"{pretraining_svg(panel, spec, shared)}<ul>{sentences}</ul></figure>"
        )
    note = (
        "Each point is a transfer that started from an earlier policy of the pretraining. Such "
        "runs are in no other section. An amount is enough if it and every larger one were shown "
        "to lose less than the margin; each interval is for that amount alone. "
    )
    links = '<a href="pretraining.csv">pretraining.csv</a>'
    return (
        f'<p class="soft">{escape(note)}The numbers: {links}.</p>{legend(spec, panels)}'
        f'<div class="panels">{"".join(parts)}</div>{_paper_links("pretraining")}'
    )


def _speed(spec: ReportSpec, frames: Sequence[TableFrame]) -> str:
    """Return the tables of speed and price, each in a fold."""
    numbers = {condition: look_number(spec, condition) for condition in spec.conditions}
    return "".join(
        f"<details><summary>{escape(frame.title)}</summary>{table(frame, numbers)}</details>"
        for frame in frames
    )


def _finals(spec: ReportSpec, panels: Sequence[FinalPanel]) -> str:
    figures = "".join(
        f"<figure><figcaption>{escape(panel.title)}</figcaption>{final_svg(panel, spec)}</figure>"
        for panel in panels
    )
    note = f'<p class="soft">{escape(final_note(panels))}</p>'
    return f'{note}<div class="panels">{figures}</div>{_paper_links("final_returns")}'


def _paper_links(name: str) -> str:
    links = ", ".join(
        f'<a href="figures/{name}.{kind}">{kind}</a>' for kind in ("pdf", "png", "svg")
    )
    return (
        f'<p class="soft">For a paper: {links}. The numbers: <a href="#results">tables</a>, '
        '<a href="metrics.csv">metrics.csv</a>.</p>'
    )


def _source(spec: ReportSpec, frame: TableFrame) -> str:
    if not any(cell.kind == "value" for row in frame.cells for cell in row):
        return "<p>Not measured: no score has a source_mean_return.</p>"
    return table(frame, {condition: look_number(spec, condition) for condition in spec.conditions})


def _how(spec: ReportSpec) -> str:
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
    if spec.racing is not None:
        looks = ", ".join(
            f"{seeds} seeds ({level:.2%})"
            for seeds, level in zip(spec.racing.looks, spec.racing.levels, strict=True)
        )
        items["Racing"] = (
            f"Looks after {looks}. In brackets is the share of false verdicts that each look may "
            "spend; together they are at most 5 %. Intervals are at the level of the look that "
            "stopped the race."
        )
    if spec.paper:
        table = PAPER_TABLES[spec.paper]
        items[f"The paper ({table.citation})"] = table.remark
    targets = dict.fromkeys(target for _, target in spec.transfers)
    items["Flavors"] = "; ".join(f"{flavor_name(target)} is {target}" for target in targets)
    text = "".join(f"<dt>{escape(key)}</dt><dd>{escape(item)}</dd>" for key, item in items.items())
    return f"<dl>{text}</dl>"
