"""A published folder is small, and its report is that of the suite."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from command_line import Say

from thaw.config.errors import InputError
from thaw.experiment.published import publish_suite
from thaw.experiment.reporting import report_suite
from thaw.experiment.results import load_results
from thaw.experiment.suite_folder import SuiteFolder


def test_the_report_of_a_published_folder_is_that_of_the_suite(
    finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    published = publish_suite([finished], out)
    assert published.num_missing == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "curves.csv.gz", "pictures", "runs.jsonl.gz", "scores.csv", "suite.yaml",
    ]  # fmt: skip
    report_suite(out)
    report_suite(finished, tmp_path / "own")
    for name in ("metrics.csv", "table.md", "table_source.csv"):
        assert (out / "report" / name).read_text() == (tmp_path / "own" / name).read_text()
    page = (out / "report" / "index.html").read_text()
    machine = json.loads(next((finished / "runs").rglob("machine.json")).read_text())
    assert machine["platform"] in page
    assert page.count('<img src="data:image/png;base64,') == 2


def test_a_published_folder_keeps_what_each_run_says_about_itself(
    finished: Path, tmp_path: Path
) -> None:
    publish_suite([finished], tmp_path)
    lines = gzip.decompress((tmp_path / "runs.jsonl.gz").read_bytes()).decode().splitlines()
    runs = {line["key"]: line for line in map(json.loads, lines)}
    for run in SuiteFolder(finished).plan().runs:
        path = SuiteFolder(finished).run_folder(run).path
        assert runs[run.key]["run"] == json.loads((path / "run.json").read_text())
        assert runs[run.key]["result"] == json.loads((path / "result.json").read_text())
        assert runs[run.key]["machine"] == json.loads((path / "machine.json").read_text())


def test_reading_a_published_folder_changes_none_of_its_files(
    finished: Path, tmp_path: Path
) -> None:
    publish_suite([finished], tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    load_results(tmp_path)
    report_suite(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_a_damaged_run_is_not_published(copied: Path, tmp_path: Path) -> None:
    episodes = next((copied / "runs").rglob("episodes.csv"))
    episodes.write_bytes(b"\0" * 100)
    with pytest.raises(InputError, match="left out"):
        publish_suite([copied], tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_a_published_folder_is_not_published_again(finished: Path, tmp_path: Path) -> None:
    publish_suite([finished], tmp_path / "study")
    with pytest.raises(InputError, match="is published already"):
        publish_suite([tmp_path / "study"], tmp_path / "again")


def test_packed_curves_that_are_damaged_are_named(finished: Path, tmp_path: Path) -> None:
    publish_suite([finished], tmp_path)
    path = tmp_path / "curves.csv.gz"
    for damaged in (
        path.read_bytes()[:-20],
        b"steps,mean_return\n",
        path.read_bytes()[:30] + b"x" * 99,
    ):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"curves\.csv\.gz is damaged .*publish the suite"):
            load_results(tmp_path)


def test_curves_of_an_earlier_thaw_are_not_packed(finished: Path, tmp_path: Path) -> None:
    publish_suite([finished], tmp_path)
    packed = load_results(tmp_path).curves
    path = tmp_path / "curves.csv.gz"
    (tmp_path / "curves.csv").write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()
    assert load_results(tmp_path).curves.equals(packed)


def test_the_command_publishes_a_small_page_that_report_makes_interactive(
    finished: Path, tmp_path: Path, say: Say
) -> None:
    assert say("publish", finished, "--out", tmp_path).status == 0
    page = tmp_path / "report" / "index.html"
    small = page.stat().st_size
    assert say("report", tmp_path).status == 0
    assert page.stat().st_size > small + 1_000_000
    assert say("report", tmp_path, "--static").status == 0
    assert page.stat().st_size == small
