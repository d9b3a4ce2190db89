"""The tool that proves that a refactoring moves no result."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import thaw

TOOL = Path(__file__).parents[1] / "benchmarks" / "same_results.py"
BEFORE = {
    "taken": {"root": "/old", "commit": "1111111"},
    "machine": {"python": "3.11.7", "torch": "2.13.0"},
    "results": {"a/policy.safetensors": "0123", "a/result.json": "4567"},
    "notes": {"thaw run --help": "usage: run\n  --out DIR"},
}


def compare(folder: Path, after: dict[str, dict[str, str]], *flags: str) -> tuple[int, str, str]:
    """Compare BEFORE with a document in which some sections are others."""
    (folder / "before.json").write_text(json.dumps(BEFORE))
    (folder / "after.json").write_text(json.dumps(BEFORE | after))
    command = [sys.executable, str(TOOL), "compare", "before.json", "after.json", *flags]
    environment = {"PYTHONPATH": str(Path(thaw.__file__).parents[1])}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_equal_results_are_counted(tmp_path: Path) -> None:
    status, out, err = compare(tmp_path, {})
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "2 results compared, 0 differ; 0 notes"


@pytest.mark.parametrize(
    ("results", "line"),
    [
        ({"a/policy.safetensors": "9999", "a/result.json": "4567"}, "0123 -> 9999"),
        ({"a/result.json": "4567"}, "0123 -> (missing)"),
    ],
)
def test_a_changed_or_missing_result_is_named_and_fails(
    tmp_path: Path, results: dict[str, str], line: str
) -> None:
    status, out, _ = compare(tmp_path, {"results": results})
    assert status == 1
    assert out.splitlines()[0] == f"DIFFERS a/policy.safetensors: {line}"
    assert out.splitlines()[-1] == "2 results compared, 1 differ; 0 notes"


def test_a_changed_help_is_named_and_does_not_fail(tmp_path: Path) -> None:
    status, out, _ = compare(tmp_path, {"notes": {"thaw run --help": "usage: run\n  --to DIR"}})
    assert status == 0
    assert out.splitlines()[0] == "note: thaw run --help: --out DIR -> --to DIR"


def test_two_machines_are_compared_only_on_request(tmp_path: Path) -> None:
    other = {"machine": {"python": "3.11.7", "torch": "2.14.0"}}
    status, out, err = compare(tmp_path, other)
    assert (status, out) == (2, "")
    assert "torch: 2.13.0 -> 2.14.0" in err
    assert compare(tmp_path, other, "--anyway")[0] == 0


def test_nothing_to_compare_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text(json.dumps(BEFORE | {"results": {}}))
    command = [sys.executable, str(TOOL), "compare", "empty.json", "empty.json"]
    environment = {"PYTHONPATH": str(Path(thaw.__file__).parents[1])}
    assert subprocess.run(command, cwd=tmp_path, env=environment).returncode == 2


def test_every_run_of_every_built_in_suite_is_hashed() -> None:
    tool = runpy.run_path(str(TOOL))
    hashes = tool["suite_hashes"]()
    planned = [run for name in ("catch-quick", "procgen-quick")
               for run in thaw.plan(thaw.load_suite(name)).runs]  # fmt: skip
    assert {run.spec.content_hash for run in planned} < set(hashes.values())
    suites = {name.split("/")[1] for name in hashes}
    assert {"catch-paper", "atari-paper", "atari-paper-frames", "androidenv-quick"} < suites
    assert len(set(hashes.values())) > 500


def test_digests_see_everything_but_the_seconds(tmp_path: Path) -> None:
    digests = runpy.run_path(str(TOOL))["digests"]

    def taken(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        found: dict[str, str] = digests(tmp_path, {name})
        return found[name]

    for name, text in (
        ("progress.csv", "steps,seconds,loss\n1,0.5,2.0\n"),
        ("result.json", '{"steps": 1, "seconds": 0.5, "loss": 2.0}'),
    ):
        assert taken(name, text) == taken(name, text.replace("0.5", "0.7")), name
        assert taken(name, text) != taken(name, text.replace("2.0", "2.1")), name
