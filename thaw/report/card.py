"""The card: what the author of a benchmark puts beside it, for programs and for readers.

docs/card.schema.json is the JSON Schema of card.json. A change that breaks its readers raises
:data:`SCHEMA_VERSION`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from thaw.report.metrics import plain
from thaw.report.spec import ReportSpec, condition_name, transfer_names
from thaw.report.statistics import CONFIDENCE
from thaw.report.tables import TableFrame, to_markdown
from thaw.report.verdict import Verdict
from thaw.report.words import count, listed

SCHEMA_VERSION = 1

_NUMBERS = [
    *("source", "target", "condition", "metric", "mean", "ci_low", "ci_high"),
    *("num_seeds", "num_missing", "note"),
]
_AGGREGATES = [
    *("condition", "metric", "statistic", "mean", "ci_low", "ci_high"),
    *("num_tasks", "num_seeds", "note"),
]
_VERDICT = [
    *("source", "target", "best", "runner_up", "may_be_best", "difference", "ci_low", "ci_high"),
    *("confidence", "num_seeds", "paired", "p_value", "p_holm", "margin", "seeds_needed"),
    *("sentence", "reading", "next_step"),
]
_GATE = ("name", "sentence", "blocks")
_ANSWER = (
    *("name", "question", "outcome", "sentence", "details", "first", "second"),
    *("difference", "ci_low", "ci_high", "num_seeds", "paired"),
)

Card = dict[str, Any]


def card(
    spec: ReportSpec,
    scores: pd.DataFrame,
    metrics: pd.DataFrame,
    aggregates: pd.DataFrame,
    judged: Sequence[Verdict],
    provenance: Mapping[str, str] | None = None,
) -> Card:
    """Return the content of card.json.

    Args:
        spec: What was planned.
        scores: As :func:`thaw.report.scores.check_scores` returns them.
        metrics: From :func:`thaw.report.metrics.metrics_frame`.
        aggregates: From :func:`thaw.report.aggregates.aggregates_frame`.
        judged: One verdict per transfer.
        provenance: Where the runs come from, each entry a text for a reader; None if unknown.
    """
    names = transfer_names(spec.transfers)
    main = metrics[metrics["metric"].isin([spec.main_metric, "return"])]
    document = {
        "schema_version": SCHEMA_VERSION,
        "name": spec.name,
        "transfers": [
            {"source": source, "target": target, "name": names[source, target]}
            for source, target in spec.transfers
        ],
        "conditions": [{"id": name, "name": condition_name(name)} for name in spec.conditions],
        "baseline": spec.baseline,
        "seeds": list(spec.seeds),
        "budgets": _budgets(scores),
        "provenance": None if provenance is None else dict(provenance),
        "metric": spec.main_metric,
        "bounds": None if spec.bounds is None else list(spec.bounds),
        "confidence": CONFIDENCE,
        "verdicts": [_verdict(verdict, names) for verdict in judged],
        "numbers": main[_NUMBERS].to_dict("records"),
        "aggregates": aggregates[_AGGREGATES].to_dict("records"),
        "does_not_show": _limits(spec, judged),
    }
    filled: Card = plain(document)
    return filled


def card_json(document: Card) -> str:
    """Return the text of card.json."""
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def card_markdown(document: Card, table: TableFrame) -> str:
    """Return the text of card.md.

    Args:
        document: From :func:`card`.
        table: The main table.
    """
    conditions = [entry["name"] for entry in document["conditions"]]
    seeds, budgets = document["seeds"], document["budgets"]
    steps = [
        f"{budgets[name]:,} steps of {what}"
        for name, what in (("pretrain_steps", "pretraining"), ("transfer_steps", "each transfer"))
        if budgets[name] is not None
    ]
    lines = [f"# {_safe(document['name'])}", "", "## Verdicts", ""]
    for verdict in document["verdicts"]:
        remarks = [g["sentence"] for g in verdict["gates"] if not g["blocks"]]
        said = [verdict["sentence"], *remarks, verdict["reading"], verdict["next_step"]]
        lines.append(f"* {_safe(' '.join(filter(None, said)))}")
        lines += [
            f"    * {_safe(a['question'])} {_safe(a['sentence'])}" for a in verdict["answers"]
        ]
    lines += [
        *("", "## What was compared", ""),
        *(
            ("* " if entry["name"] == entry["target"] else f"* {_safe(entry['name'])}: ")
            + f"`{_code(entry['target'])}`"
            + (f", from `{_code(entry['source'])}`" if entry["source"] else "")
            for entry in document["transfers"]
        ),
        f"* Conditions: {_safe(listed(conditions))}.",
        f"* {count(len(seeds), 'seed')}: {', '.join(map(str, seeds))}.",
        f"* Budgets: {listed(steps)}." if steps else "* Budgets: unknown.",
        *(
            f"* {name.replace('_', ' ').capitalize()}: {_safe(text)}"
            for name, text in (document["provenance"] or {}).items()
            if text
        ),
        *("", to_markdown(table)),
        *("## What this does not show", ""),
        *(f"* {_safe(sentence)}" for sentence in document["does_not_show"]),
    ]
    return "\n".join(lines) + "\n"


def _budgets(scores: pd.DataFrame) -> dict[str, int | None]:
    """Return the most steps that a pretraining and any other run made; None where unknown."""
    found: dict[str, int | None] = {"pretrain_steps": None, "transfer_steps": None}
    if "steps" not in scores:
        return found
    pretrain = scores["condition"] == "pretrain"
    for name, rows in (("pretrain_steps", pretrain), ("transfer_steps", ~pretrain)):
        most = scores.loc[rows, "steps"].max()
        found[name] = None if pd.isna(most) else int(most)
    return found


def _verdict(verdict: Verdict, names: Mapping[tuple[str, str], str]) -> dict[str, object]:
    outcome = "decided" if verdict.decided else "equal" if verdict.equal else "open"
    return {
        "name": names[verdict.source, verdict.target],
        "outcome": "no_verdict" if verdict.is_blocked else outcome,
        **{field: getattr(verdict, field) for field in _VERDICT},
        "gates": [{field: getattr(gate, field) for field in _GATE} for gate in verdict.gates],
        "answers": [
            {field: getattr(answer, field) for field in _ANSWER} for answer in verdict.answers
        ],
    }


def _limits(spec: ReportSpec, judged: Sequence[Verdict]) -> list[str]:
    """Say what the numbers cannot tell."""
    sentences = [
        "Other environments: the transfers were chosen, not drawn from a population. The intervals "
        "speak of other seeds of the same runs.",
        "Other budgets, networks and settings: a condition that is behind here may be ahead after "
        "more steps. Whether each condition got the settings that suit it best is not known.",
        "Failures that no seed showed: with 5 seeds up to 45 % of all runs may fail unseen, with "
        "10 up to 26 %.",
    ]
    if len(judged) > 1:
        expected = f"{(1 - CONFIDENCE) * len(judged):.2g}"
        sentences.append(
            f"Certainty for all verdicts at once: each may be wrong in 5 % of cases, so among "
            f"{len(judged)} transfers without any difference {expected} would be decided on "
            "average. p_holm is adjusted for that."
        )
    if any(not verdict.paired for verdict in judged):
        sentences.append(
            "What runs of one seed have in common, where they were compared as independent runs."
        )
    if spec.bounds is None:
        sentences.append("Whether a return is near the highest possible one: bounds are not known.")
    return sentences


def _safe(text: str) -> str:
    """Return a text in one line in which Markdown finds no tag and no cell."""
    return re.sub(r"[\\|<]", lambda letter: "\\" + letter[0], " ".join(text.split()))


def _code(text: str) -> str:
    return " ".join(text.replace("`", "'").split())
