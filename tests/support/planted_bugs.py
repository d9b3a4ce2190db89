"""Plants known bugs, one at a time; the tests must fail each time: `make planted-bugs`.

Each bug is one replacement in a copy of the package; the repository itself is never touched. A
bug that no test notices means that a test cannot fail, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bugs import BUGS, Bug

ROOT = Path(__file__).resolve().parent.parent.parent

TESTS_FAILED = 1
"""pytest's exit status; an error while collecting, or no test at all, has another one."""

GUARD = """
from pathlib import Path

import thaw

home = Path(__file__).resolve().parent
assert Path(thaw.__file__).is_relative_to(home), f"{thaw.__file__} is not the copy in {home}"
"""
"""A conftest.py for the copy: an editable install must not slip in the repository's own code."""


def plant(bug: Bug | None, home: Path, root: Path = ROOT) -> None:
    """Copy package and tests from `root` to a folder, with a bug in them or without.

    Raises:
        ValueError: The old text is not there exactly once.
    """
    for name in ("thaw", "tests"):  # with bytecode: a changed file's is made again
        shutil.copytree(root / name, home / name)
    shutil.copy(root / "pyproject.toml", home)
    (home / "conftest.py").write_text(GUARD)
    if bug is not None:
        file = home / "thaw" / bug.file
        text = file.read_text(encoding="utf-8")
        if text.count(bug.old) != 1:
            raise ValueError(f"'{bug.name}': its old text is {text.count(bug.old)}x in {bug.file}")
        file.write_text(text.replace(bug.old, bug.new), encoding="utf-8")


def run_tests(home: Path, files: str, keyword: str = "") -> subprocess.CompletedProcess[str]:
    """Run some tests of a copy, on that copy's package."""
    arguments = [f"tests/{file}" for file in files.split()] + ["-k", keyword] * bool(keyword)
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *arguments]
    environment = os.environ | {
        "PYTHONPATH": str(home),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, check=False
    )


def verdict(bug: Bug, root: Path = ROOT) -> tuple[bool, str]:
    """Plant a bug in a copy of `root`; return whether it was caught, and one line about it."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        plant(bug, home, root)
        done = run_tests(home, bug.tests, bug.keyword)
    seconds = time.monotonic() - started
    caught = done.returncode == TESTS_FAILED
    if caught:
        failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
        return True, f"caught    {bug.name} ({seconds:.0f} s): {failed[0].split()[1]}"
    last = (done.stdout + done.stderr).strip().splitlines()[-1:]
    return False, f"SURVIVED  {bug.name} ({seconds:.0f} s): exit {done.returncode}, {last}"


def tests_of_all(bugs: tuple[Bug, ...]) -> dict[str, str]:
    """All tests that bugs name: files, and the keyword of which they need the tests, or none."""
    keywords: dict[str, list[str]] = {}
    for bug in bugs:
        keywords.setdefault(bug.tests, []).append(bug.keyword)
    return {
        files: " or ".join(f"({one})" for one in dict.fromkeys(some)) if all(some) else ""
        for files, some in keywords.items()
    }


def main() -> int:
    """Plant every bug; 0 if all are caught."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only bugs whose name holds one of these")
    parser.add_argument("--workers", type=int, default=2, help="copies tested at the same time")
    arguments = parser.parse_args()
    words = arguments.words or [""]
    bugs = tuple(bug for bug in BUGS if any(word in bug.name for word in words))
    started = time.monotonic()
    with ThreadPoolExecutor(arguments.workers) as workers, tempfile.TemporaryDirectory() as folder:
        # Without a bug everything must be green, or red would mean nothing. The other copies are
        # made from this one, so that it does not matter what happens to the repository meanwhile.
        healthy = Path(folder).resolve()
        plant(None, healthy)
        for done in workers.map(
            lambda tests: run_tests(healthy, *tests), tests_of_all(bugs).items()
        ):
            if done.returncode != 0:
                print(done.stdout + done.stderr)
                print("these tests fail without any bug")
                return 1
        survivors = 0
        for caught, line in workers.map(lambda bug: verdict(bug, healthy), bugs):
            survivors += not caught
            print(line, flush=True)
    seconds = time.monotonic() - started
    print(f"{len(bugs) - survivors} of {len(bugs)} planted bugs caught in {seconds:.0f} s")
    return 1 if survivors or not bugs else 0


if __name__ == "__main__":
    sys.exit(main())
