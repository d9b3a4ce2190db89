from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from thaw.report.spec import ReportSpec
from thaw.report.write import write_report

MakeScores = Callable[..., pd.DataFrame]
EVIL = '<script>alert("x")</script>& $\\nonsense$'
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Structure(HTMLParser):
    """Collects tags, identifiers and text, and checks that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value or "" for key, value in attrs if key == "id"]
        self.links += [value or "" for key, value in attrs if key in ("href", "src", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: Path) -> Structure:
    structure = Structure()
    structure.feed(page.read_text(encoding="utf-8"))
    assert structure.open == []
    return structure


@pytest.fixture
def curves() -> pd.DataFrame:
    rows = [
        ("catch", "catch@large_ball", "update_all", seed, steps, 0.1 * seed)
        for seed in (0, 1)
        for steps in (10, 20)
    ]
    columns = ["source", "target", "condition", "seed", "steps", "mean_return"]
    return pd.DataFrame(rows, columns=columns)


def test_the_page_stands_alone(
    make_scores: MakeScores, curves: pd.DataFrame, tmp_path: Path
) -> None:
    spec = ReportSpec("n", (("catch", "catch@large_ball"),), ("update_all", "scratch"), (0, 1))
    scores = make_scores({"update_all": [0.5, 0.6], "scratch": [0.1, 0.2]})
    page = read(write_report(scores, curves, spec, tmp_path))
    assert {"script", "link", "img", "iframe"} & page.tags == set()
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        inside = link.startswith("#") and link[1:] in page.ids
        assert inside or (tmp_path / link).is_file(), link
    assert "@import" not in page.text
    assert re.findall(r"url\((?!#)", page.text) == []


def test_everything_is_escaped(make_scores: MakeScores, tmp_path: Path) -> None:
    spec = ReportSpec(EVIL, ((EVIL, "t" + EVIL),), ("scratch", EVIL), (0, 1))
    scores = make_scores({EVIL: [0.5, 0.6]}, source=EVIL, target="t" + EVIL)
    page = read(write_report(scores, None, spec, tmp_path))
    assert "script" not in page.tags
    assert EVIL in page.text


def test_verdicts_come_first_and_missing_runs_are_listed(
    make_scores: MakeScores, tmp_path: Path
) -> None:
    transfers = (("catch", "catch@a"), ("other", "catch@a"))
    spec = ReportSpec("n", transfers, ("scratch", "update_all"), (0, 1))
    scores = make_scores({"pretrain": [1, 1], "update_all": [0.5, None]}, target="catch@a")
    text = read(write_report(scores, None, spec, tmp_path)).text
    assert text.index("not decided") < text.index("Mean return on the target")
    # Two scratch runs, missing once for both transfers, one update_all of the first, two of the
    # second.
    assert "5 planned runs are missing" in text
    assert "Catch, a, from Catch (3 missing)" in text
    assert "Catch, a, from Other (2 missing)" in text
    assert "Pretrainings, and runs outside of the plan" in text


def test_the_list_of_runs_and_the_table_count_the_same_runs(
    make_scores: MakeScores, tmp_path: Path
) -> None:
    spec = ReportSpec("n", (("a", "t"), ("b", "t")), ("update_all",), (0, 1))
    own = make_scores({"update_all": [0.5, None]}, source="a", target="t")
    without_source = make_scores({"update_all": [0.1, 0.2]}, source="", target="t")
    scores = pd.concat([own, without_source])
    text = read(write_report(scores, None, spec, tmp_path)).text
    table = (tmp_path / "table.csv").read_text(encoding="utf-8")
    assert "(1 of 2 seeds)" in table  # of the transfer from a, whose own run of seed 1 is missing
    assert "1 planned run is missing" in text
    assert "T, from A (1 missing)" in text


def test_absent_parts_say_why(make_scores: MakeScores, tmp_path: Path) -> None:
    spec = ReportSpec("n", (("catch", "catch@large_ball"),), ("update_all",), (0,))
    text = read(write_report(make_scores({"update_all": [0.5]}), None, spec, tmp_path)).text
    assert "there is no curves.csv" in text
    assert "no score has a source_mean_return" in text
    assert "every planned run is finished" in text
