"""The published studies: each report is rebuilt from what the repository has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from thaw.experiment.reporting import report_suite

RESULTS = Path(__file__).parents[2] / "results"
STUDIES = sorted(path.parent for path in RESULTS.glob("*/suite.yaml"))
MOST_BYTES = 20e6


def test_there_are_studies_and_the_table_names_each() -> None:
    table = (RESULTS / "README.md").read_text(encoding="utf-8")
    assert STUDIES
    for study in STUDIES:
        assert f"]({study.name}/README.md)" in table, study.name


@pytest.mark.parametrize(
    "study",
    [
        pytest.param(study, marks=[pytest.mark.slow] * (i % 3 > 0), id=study.name)
        for i, study in enumerate(STUDIES)
    ],
)
def test_a_study_s_report_is_rebuilt_from_what_is_published(study: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in study.iterdir() if path.is_file()}
    report_suite(study, tmp_path)
    for name in ("metrics.csv", "table.md", "table_source.csv", "card.md"):
        assert (tmp_path / name).read_text() == (study / "report" / name).read_text(), name
    assert {name: (study / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_every_file_that_a_page_links_is_published(study: Path) -> None:
    page = (study / "report" / "index.html").read_text(encoding="utf-8")
    assert "plotly.js" not in page, "thaw report STUDY --static makes it 1.2 MB smaller"
    links = re.findall(r'<a [^>]*href="([^"#:]+)"', page)
    assert len(links) > 5
    assert [link for link in links if not (study / "report" / link).exists()] == []


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_a_study_says_what_was_asked_and_what_it_does_not_show(study: Path) -> None:
    text = (study / "README.md").read_text(encoding="utf-8")
    for heading in ("Question", "Command", "Hardware", "Wall time", "Commit", "What came out"):
        assert f"**{heading}**" in text, heading
    assert "**What it does not show**" in text


def test_the_page_of_rules_has_the_table_that_came_out() -> None:
    page = (RESULTS.parent / "docs" / "rules.md").read_text(encoding="utf-8")
    table = (RESULTS / "catch-rules" / "report" / "table.md").read_text(encoding="utf-8")
    assert table.split("\n\n")[1] in page


def test_all_studies_together_are_small() -> None:
    size = sum(path.stat().st_size for path in RESULTS.rglob("*") if path.is_file())
    assert size < MOST_BYTES, f"{size / 1e6:.1f} MB"
