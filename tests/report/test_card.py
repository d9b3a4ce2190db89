"""The card: what it holds, and that its published schema describes it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
from make_golden import ATARI, CATCH, GOLDEN

from thaw.report.aggregates import aggregates_frame
from thaw.report.card import card, card_markdown
from thaw.report.metrics import metrics_frame
from thaw.report.scores import check_scores, read_scores
from thaw.report.spec import ReportSpec
from thaw.report.tables import table_frame
from thaw.report.verdict import verdicts
from thaw.report.write import write_report

ROOT = Path(__file__).resolve().parents[2]


def card_of(scores: pd.DataFrame, spec: ReportSpec, folder: Path) -> dict[str, Any]:
    write_report(scores, None, spec, folder)
    document: dict[str, Any] = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    text = (ROOT / "docs" / "card.schema.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(document)
    return document


def runs(*rows: tuple[str, str, str, int, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["source", "target", "condition", "seed", "mean_return"])


NOTHING = runs()
ONE_SEED = runs(("a", "b", "scratch", 0, 1.0), ("a", "b", "update_all", 0, 2.0))
PLAIN = ReportSpec("n", (("a", "b"),), ("scratch", "update_all"), (0,))


@pytest.mark.parametrize(
    ("scores", "spec"),
    [
        (read_scores(GOLDEN / "catch" / "scores.csv"), replace(CATCH, bounds=(-1.0, 1.0))),
        (read_scores(GOLDEN / "atari" / "scores.csv"), ATARI),
        (NOTHING, PLAIN),
        (ONE_SEED, PLAIN),
    ],
    ids=["catch", "atari", "nothing", "one seed"],
)
def test_the_published_schema_describes_the_card(
    scores: pd.DataFrame, spec: ReportSpec, schema: dict[str, Any], tmp_path: Path
) -> None:
    jsonschema.validate(card_of(scores, spec, tmp_path), schema)


@pytest.mark.parametrize("broken", ["no verdict", "a new field", "another version", "a word"])
def test_the_schema_refuses_what_is_no_card(
    broken: str, schema: dict[str, Any], tmp_path: Path
) -> None:
    document = card_of(ONE_SEED, PLAIN, tmp_path)
    match broken:
        case "no verdict":
            del document["verdicts"][0]["outcome"]
        case "a new field":
            document["numbers"][0]["median"] = 1.0
        case "another version":
            document["schema_version"] = 2
        case "a word":
            document["numbers"][0]["mean"] = "high"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


def test_the_card_has_the_numbers_of_the_report(tmp_path: Path) -> None:
    scores = read_scores(GOLDEN / "catch" / "scores.csv")
    document = card_of(scores, CATCH, tmp_path)
    metrics = pd.read_csv(tmp_path / "metrics.csv")
    shown = metrics[metrics["metric"] == "return"].reset_index(drop=True)
    numbers = pd.DataFrame(document["numbers"])
    assert numbers["mean"].tolist() == pytest.approx(shown["mean"].tolist(), rel=1e-5)
    assert numbers["ci_low"].tolist() == pytest.approx(
        shown["ci_low"].tolist(), rel=1e-5, nan_ok=True
    )
    assert document["budgets"] == {"pretrain_steps": 200_000, "transfer_steps": 200_000}
    assert document["seeds"] == [0, 1, 2, 3, 4]
    verdicts = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["verdicts"]
    sentences = [verdict["sentence"] for verdict in verdicts]
    assert [verdict["sentence"] for verdict in document["verdicts"]] == sentences
    for verdict, stored in zip(document["verdicts"], verdicts, strict=True):
        assert (verdict["outcome"] == "decided") == stored["decided"]
        assert len(verdict["answers"]) == len(stored["answers"]) > 0
    text = (tmp_path / "card.md").read_text(encoding="utf-8")
    assert all(sentence in text for sentence in sentences)
    assert "## What this does not show" in text
    assert (tmp_path / "table.md").read_text(encoding="utf-8").split("\n\n")[1] in text


def test_what_is_unknown_is_null_and_said(tmp_path: Path) -> None:
    document = card_of(ONE_SEED, PLAIN, tmp_path)
    assert document["budgets"] == {"pretrain_steps": None, "transfer_steps": None}
    assert document["verdicts"][0]["outcome"] == "no_verdict"
    assert [gate["name"] for gate in document["verdicts"][0]["gates"]] == ["few_seeds"]
    assert "Budgets: unknown." in (tmp_path / "card.md").read_text(encoding="utf-8")


def test_several_transfers_say_how_many_false_verdicts_to_expect(tmp_path: Path) -> None:
    many = card_of(read_scores(GOLDEN / "catch" / "scores.csv"), CATCH, tmp_path / "many")
    assert any("0.2 would be decided" in sentence for sentence in many["does_not_show"])
    one = card_of(ONE_SEED, PLAIN, tmp_path / "one")
    assert not any("would be decided" in sentence for sentence in one["does_not_show"])


def test_names_from_elsewhere_are_no_markup_in_the_card(tmp_path: Path) -> None:
    scores = runs(("", "a`<b>|c", "<i>|x", 0, 1.0), ("", "a`<b>|c", "y", 0, 2.0))
    spec = ReportSpec("n", (("", "a`<b>|c"),), ("<i>|x", "y"), (0,))
    document = card_of(scores, spec, tmp_path)
    assert document["conditions"][0] == {"id": "<i>|x", "name": "<i>|x"}
    text = (tmp_path / "card.md").read_text(encoding="utf-8")
    assert "Conditions: \\<i>\\|x and y." in text
    assert "`a'<b>|c`" in text


def test_where_the_runs_come_from_is_on_the_card(schema: dict[str, Any]) -> None:
    scores = check_scores(ONE_SEED)
    metrics, judged = metrics_frame(scores, PLAIN), verdicts(scores, PLAIN)
    origin = {"date": "2026-01-02", "wall_time": "3 h", "commit": ""}
    document = card(scores=scores, spec=PLAIN, metrics=metrics, judged=judged, provenance=origin,
                    aggregates=aggregates_frame(scores, PLAIN))  # fmt: skip
    jsonschema.validate(document, schema)
    assert document["provenance"] == origin
    text = card_markdown(document, table_frame(metrics, PLAIN))
    assert "* Date: 2026-01-02\n* Wall time: 3 h\n\n" in text
    assert "Commit" not in text
