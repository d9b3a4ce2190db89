"""A report of 1,000 runs with 1,000 points each, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from make_golden import CATCH, build

ROOT = Path(__file__).resolve().parents[2]


def test_an_ordinary_page_is_small(tmp_path: Path) -> None:
    assert build("catch", CATCH, tmp_path).stat().st_size < 3_500_000


@pytest.mark.slow
def test_a_report_of_a_million_points_is_fast_and_its_page_small(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tests/support/large_report.py", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(done.stdout)
    assert measured["processor_seconds"] < 30
    assert measured["peak_bytes"] < 2**30
    assert measured["page_bytes"] < 5_000_000
