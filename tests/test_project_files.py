"""pyproject.toml, Makefile and .pre-commit-config.yaml agree, and dependencies are bounded."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def tools() -> list[str]:
    """Return the dev extra without thaw's own extras and without the build's requirements."""
    return [
        requirement
        for requirement in PYPROJECT["project"]["optional-dependencies"]["dev"]
        if not requirement.startswith("thaw[")
        and requirement not in PYPROJECT["build-system"]["requires"]
    ]


def hook_commands() -> list[str]:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    return [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]]


def test_every_tool_is_pinned_to_the_version_that_runs_here() -> None:
    assert [requirement for requirement in tools() if "==" not in requirement] == []
    pins = dict(requirement.split("==") for requirement in tools())
    assert {"ruff", "mypy", "import-linter", "codespell", "pytest"} <= set(pins)
    assert {name: version(name) for name in pins} == pins


def test_the_hooks_call_the_tools_of_make_lint() -> None:
    recipe = re.findall(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)[0]
    linters = set(re.findall(r"\$\(BIN\)/([\w-]+)", recipe))
    assert {"ruff", "mypy"} <= linters
    assert {command.split()[0] for command in hook_commands()} == {
        f".venv/bin/{name}" for name in linters
    }


TOOLS = ("dev", "docs")
"""Extras whose packages are pinned to one version."""


def test_every_runtime_dependency_has_an_upper_bound() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    requirements = [*PYPROJECT["project"]["dependencies"]]
    requirements += [r for name, extra in extras.items() if name not in TOOLS for r in extra]
    assert len(requirements) > 12
    unbounded = [r for r in requirements if not re.search(r">=[\d.]+,<\d", r)]
    assert unbounded == []


def test_a_group_of_tests_stays_in_one_process(tmp_path: Path) -> None:
    """What such tests share is then made once; some versions of the tools ignore the mark."""
    (tmp_path / "test_group.py").write_text(
        "import os, pathlib, pytest\n"
        "@pytest.mark.xdist_group('one')\n"
        "@pytest.mark.parametrize('number', range(6))\n"
        "def test_it(number):\n"
        "    pathlib.Path(os.environ['PYTEST_XDIST_WORKER']).touch()\n"
    )
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "."]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert len(list(tmp_path.glob("gw*"))) == 1
