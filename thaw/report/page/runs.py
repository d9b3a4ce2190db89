"""Lists the runs with links to their files, and says how they went."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import pandas as pd

from thaw.report.background import Background
from thaw.report.page.grids import box
from thaw.report.runs import RunTable
from thaw.report.scores import RUN_IDENTITY, SCORE_COLUMNS
from thaw.report.spec import INDEPENDENT_CONDITIONS, ReportSpec, condition_name, transfer_names
from thaw.report.words import count, duration

MOST_LISTED = 2_000
"""A page that lists more runs than these opens slowly."""


class RunColumn(NamedTuple):
    """One column of the list of runs."""

    name: str
    """In :data:`~thaw.report.scores.SCORE_COLUMNS`."""
    heading: str
    pattern: str


_RUN_COLUMNS = (
    RunColumn("mean_return", "return", "{:.4g}"),
    RunColumn("sem", "standard error", "{:.2g}"),
    RunColumn("num_episodes", "episodes", "{:,.0f}"),
    RunColumn("steps", "steps", "{:,.0f}"),
    RunColumn("frames", "frames", "{:,.0f}"),
    RunColumn("seconds", "time", ""),
    RunColumn("mean_policy_lag", "policy lag", "{:.2f}"),
)
_MEANINGS = {column.name: column.meaning for column in SCORE_COLUMNS}


class RunList(NamedTuple):
    """The planned runs and what is missing of them."""

    html: str
    num_missing: int


def run_list(spec: ReportSpec, scores: pd.DataFrame, background: Background) -> RunList:
    """Return the list of all planned runs, and how many are missing."""
    table = RunTable(scores, spec)
    columns = [
        column
        for column in _RUN_COLUMNS
        if column.name in scores and scores[column.name].notna().any()
    ]
    names, blocks, num_missing = transfer_names(spec.transfers), [], 0
    listed: set[tuple[object, ...]] = set()
    for source, target in spec.transfers:
        lines, missing_here = [], 0
        for condition in spec.conditions:
            rows = {row["seed"]: row for row in table.rows(source, target, condition)}
            # One run without a source serves all transfers to its target; it is listed once.
            own_source = "" if condition in INDEPENDENT_CONDITIONS else source
            for seed in spec.seeds:
                row = rows.get(seed)
                run = (row["source"] if row else own_source, target, condition, seed)
                if run in listed or (row is None and spec.racing is not None):
                    continue  # a race gives more seeds only to conditions that are still open
                listed.add(run)
                missing_here += row is None
                lines.append(_run(columns, condition, seed, row, background.runs))
        num_missing += missing_here
        note = f" ({missing_here} missing)" if missing_here else ""
        addresses = f"{source or 'unknown source'} to {target}"
        blocks.append(
            f"<details><summary>{escape(names[source, target])}{note}</summary>"
            f'<p class="soft">{escape(addresses)}</p>{_run_table(columns, lines)}</details>'
        )
    others = [
        _run(columns, f"{row['condition']} ({row['target']})", row["seed"], row, background.runs)
        for row in scores.to_dict("records")
        if tuple(row[name] for name in RUN_IDENTITY) not in listed
    ]
    if others:
        blocks.append(
            "<details><summary>Pretrainings, and runs outside of the plan</summary>"
            f"{_run_table(columns, others)}</details>"
        )
    if len(listed) + len(others) > MOST_LISTED:
        return RunList(_too_many(len(listed) + len(others), background.root), num_missing)
    return RunList("\n".join(blocks), num_missing)


def health(
    spec: ReportSpec, scores: pd.DataFrame, num_missing: int, found: Mapping[str, str]
) -> str:
    """Say how the runs went, as far as it is known.

    Args:
        spec: What was planned.
        scores: One row per finished run.
        num_missing: Planned runs without a score.
        found: What the runs' own files say: a sentence by its title.
    """
    items = {"Missing runs": _missing(spec, num_missing)}
    if "diverged" in scores:
        bad = scores[scores["diverged"] == "True"]
        runs = [f"{r['target']} {r['condition']} seed {r['seed']}" for r in bad.to_dict("records")]
        known = len(scores) > 0 and (scores["diverged"] != "").any()
        if runs or known:
            items["Diverged runs"] = (
                f"Weights beyond all bounds: {', '.join(runs)}." if runs else "None."
            )
    if lag := _policy_lag(scores):
        items["Policy lag"] = lag
    items |= found
    text = "".join(f"<dt>{escape(key)}</dt><dd>{escape(item)}</dd>" for key, item in items.items())
    return f"<dl>{text}</dl>"


def _missing(spec: ReportSpec, number: int) -> str:
    if spec.inferred:
        return "Unknown: the plan was made from the scores that are there."
    if spec.racing is not None:
        return "Not counted: a race gives more seeds only to conditions that are still open."
    if not number:
        return "None: every planned run is finished."
    return f"{count(number, 'planned run')} {'has' if number == 1 else 'have'} no score."


def _policy_lag(scores: pd.DataFrame) -> str | None:
    """Describe the clocks of the runs and their policy lag; None if no run has one."""
    if not {"clock", "mean_policy_lag"} <= set(scores.columns):
        return None
    trained = scores[scores["mean_policy_lag"].notna() & (scores["clock"] != "")]
    if trained.empty:
        return None
    lags_of_clocks = [
        f"{count(len(lags), 'run')} on the {clock} clock, "
        f"{lags.mean():.2f} updates on average (most in one run: {lags.max():.2f})"
        for clock, lags in trained.groupby("clock")["mean_policy_lag"]
    ]
    return (
        "The number of updates between the weights that acted and the weights that learned; "
        f"V-trace corrects for it: {'; '.join(lags_of_clocks)}."
    )


def _too_many(number: int, root: str) -> str:
    where = "They are the rows of the scores file that this report was made from."
    if root:
        where = f'They are the rows of <a href="{escape(root)}/scores.csv">scores.csv</a>.'
    return f"<p>{number:,} runs are too many to list here. {where}</p>"


def _run_table(columns: Sequence[RunColumn], lines: Sequence[str]) -> str:
    head = '<th scope="col">condition</th><th scope="col">seed</th>' + "".join(
        f'<th scope="col" title="{escape(_MEANINGS[column.name])}">{column.heading}</th>'
        for column in columns
    )
    return box("Runs", head, lines)


def _run(
    columns: Sequence[RunColumn],
    condition: str,
    seed: object,
    row: Mapping[Any, Any] | None,
    folder: str,
) -> str:
    name = escape(condition_name(condition))
    key = str(row.get("key") or "") if row else ""
    if folder and key:
        name = f'<a href="{escape(quote(folder))}/{quote(key)}/">{name}</a>'
    if row is not None and row.get("diverged") == "True":
        name += " (diverged)"
    head = f'<tr><th scope="row">{name}</th><td>{escape(str(seed))}</td>'
    if row is None:
        rest = "<td></td>" * (len(columns) - 1)
        return f'{head}<td class="missing">missing</td>{rest}</tr>'
    return f"{head}{''.join(_value(column, row) for column in columns)}</tr>"


def _value(column: RunColumn, row: Mapping[Any, Any]) -> str:
    found = row.get(column.name)
    value = math.nan if found is None else float(found)
    if not np.isfinite(value):
        return "<td></td>"
    if column.name == "seconds":
        return f'<td data-value="{value:g}">{duration(value)}</td>'
    return f"<td>{column.pattern.format(value)}</td>"
