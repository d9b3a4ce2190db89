"""docs/reliability.md has a row for every promise that is tried here."""

from __future__ import annotations

import re
from pathlib import Path

from fault_promises import PROMISES

ROOT = Path(__file__).resolve().parents[2]


def test_every_promise_is_a_row_of_the_page() -> None:
    page = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*?) \| (.*?) \| ([\d,]+) (.*?) \| (\d+) \|$", page, re.MULTILINE)
    assert [row[:2] for row in rows] == [(p.promised, p.how) for p in PROMISES.values()]
    assert [row[3] for row in rows] == [promise.unit for promise in PROMISES.values()]


def test_every_promise_has_tests() -> None:
    texts = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    tried = {name for text in texts for name in re.findall(r'mark\.faults\("(\w+)"\)', text)}
    assert tried == set(PROMISES)
