"""machine.json describes versions and hardware, and nothing secret."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import thaw
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.runtime import Runtime
from thaw.training.machine import describe_machine, resolve_device

CHILD = """
import json, sys
from thaw.config.flavor import Flavor
from thaw.config.runtime import Runtime
from thaw.training.machine import describe_machine

json.dump(describe_machine(Runtime(), Flavor("catch"))["git_commit"], sys.stdout)
"""


def test_an_atari_run_records_its_rom_and_engine() -> None:
    machine = describe_machine(Runtime(), Flavor("atari/breakout@m12d0"))
    environment = machine["environment"]
    assert isinstance(environment, dict)
    assert set(environment) == {"rom", "rom_md5", "ale_py", "envpool"}
    assert environment["rom"] == "breakout"
    # The checksum that ALE's own list of supported ROMs has for Breakout.
    assert environment["rom_md5"] == "f34f08e5eb96e500e851a80be3277a56"
    assert describe_machine(Runtime(), Flavor("catch"))["environment"] == {}


def commit_in(checkout: Path, **environment: str) -> object:
    """The commit that a copy of the package in a checkout finds."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD], cwd=checkout, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(checkout)} | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_commit_is_that_of_the_checkout_and_unknown_without_git(tmp_path: Path) -> None:
    no_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(thaw.__file__).parent, tmp_path / "thaw", ignore=no_caches)
    assert commit_in(tmp_path) is None
    git = ("git", "-c", "user.name=n", "-c", "user.email=n@example.org", "-C", str(tmp_path))
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "first"], check=True)
    head = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    assert len(head) == 40
    assert commit_in(tmp_path) == head
    # A container may have the checkout but no git.
    assert commit_in(tmp_path, PATH="") is None


def test_no_environment_variable_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "do-not-tell")
    assert "do-not-tell" not in str(describe_machine(Runtime(), Flavor("catch")))


@pytest.mark.parametrize("name", ["tpu", "meta", "cuda:99"])
def test_a_missing_device_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve_device(name)
    assert "\n" not in str(caught.value)
