"""The files below .github say what is true of the project."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
FORMS = [p for p in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if p.name != "config.yml"]


def jobs() -> dict[str, Any]:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(workflow)["jobs"]
    return found


def test_the_workflow_runs_every_python_version_that_pyproject_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    assert named
    assert jobs()["test"]["strategy"]["matrix"]["python-version"] == named


def test_the_workflow_runs_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([\w-]+):", makefile, re.MULTILINE)
    commands = [step["run"] for job in jobs().values() for step in job["steps"] if "run" in step]
    called = {name for command in commands for name in re.findall(r"make ([\w-]+)", command)}
    assert called >= {"test", "docs"}
    assert called <= set(targets)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_links_files_that_are_there(path: Path) -> None:
    links = re.findall(r"\]\(\.\./(?:blob|tree)/HEAD/([^)#]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []
