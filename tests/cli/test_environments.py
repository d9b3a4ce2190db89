"""The commands for environments: flavors, gallery."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Say
from refusals import check_refused_and_unwritten


def test_flavors_lists_what_make_env_makes(say: Say) -> None:
    found = json.loads(say("flavors", "catch*", "--json").out)
    assert found == say("flavors", "catch*").out.splitlines()
    assert {"catch", "catch@large_ball", "catch@red_background"} <= set(found)
    large = ["catch@large_ball", "androidenv/catch@large_ball"]
    assert json.loads(say("flavors", "large", "--json").out) == large
    nothing = say("flavors", "zebra")
    assert (nothing.status, nothing.out) == (2, "")
    assert "no flavor matches 'zebra'" in nothing.err
    assert json.loads(say("flavors", "zebra", "--json").out) == []


WRONG: list[tuple[str, list[str]]] = [
    ("gallery catch-quick --out x.jpg", ["x.jpg is not a .png file"]),
    ("gallery catch-quick --out a_file/x.png", ["'a_file' is a file"]),
    ("gallery catch-quick --out x.png --steps -1", ["--steps is -1; it must be at least 0"]),
    ("gallery catch-quik --out x.png", ["did you mean 'catch-quick'?"]),
]  # fmt: skip


@pytest.mark.parametrize(("line", "said"), WRONG, ids=[line or "nothing" for line, _ in WRONG])
def test_wrong_input_is_one_line_and_nothing_is_written(
    line: str, said: list[str], say: Say, littered: Path, finished: Path
) -> None:
    check_refused_and_unwritten(line, said, say, littered, finished)
