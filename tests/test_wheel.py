"""The wheel holds the whole package and works where there is no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
"""Without PYTHONPATH, which could show the checkout to the new environment."""


def package_files(root: Path) -> set[str]:
    """Return what a wheel must hold of ``root / "thaw"``: all but compiled modules."""
    return {
        path.relative_to(root).as_posix()
        for path in (root / "thaw").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def checked(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=CLEAN, capture_output=True, text=True
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy: setuptools would pack what an old ``build/`` still holds."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(
        ROOT / "thaw", source / "thaw", ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    checked(
        *PIP, "wheel", "--no-deps", "--no-index", "--no-build-isolation",
        "--wheel-dir", folder, source, cwd=folder,
    )  # fmt: skip
    (built,) = folder.glob("thaw-*.whl")
    return built


@pytest.fixture(scope="module")
def bin_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of a new environment: thaw from the wheel, its dependencies from this one."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, symlinks=True)
    python = home / "bin/python"
    checked(*PIP, "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=home)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site_packages = Path(checked(python, "-I", "-c", code, cwd=home).strip())
    # Folders that a .pth file names come last, and their own .pth files are not read. So neither
    # an editable thaw in them nor a copied one can come before the wheel's.
    here = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (site_packages / "dependencies.pth").write_text("\n".join(here) + "\n")
    return home / "bin"


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    wanted = package_files(ROOT)
    assert "thaw/py.typed" in wanted
    with ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("thaw/")}
    assert packed == wanted


def test_the_installed_wheel_plans_a_suite_and_lists_flavors(
    bin_folder: Path, tmp_path: Path
) -> None:
    code = "import thaw; print(thaw.__file__)"
    origin = Path(checked(bin_folder / "python", "-I", "-c", code, cwd=tmp_path).strip())
    assert origin.is_relative_to(bin_folder.parent)
    assert "catch-quick: " in checked(bin_folder / "thaw", "plan", "catch-quick", cwd=tmp_path)
    flavors = checked(bin_folder / "thaw", "flavors", cwd=tmp_path).splitlines()
    assert {"catch", "catch@large_ball", "androidenv/catch"} <= set(flavors)
    assert list(tmp_path.iterdir()) == []
