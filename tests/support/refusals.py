"""How a command refuses wrong input: one line, exit status 2, nothing written."""

from __future__ import annotations

from pathlib import Path

from command_line import Say, Spoken, listing


def words_of(line: str, finished: Path) -> list[str]:
    """Split a line; & stands for a blank within a word."""
    places = {"FINISHED": finished, "PRETRAINED": finished / "runs/catch/pretrain/seed0"}
    return [str(places.get(word, word.replace("&", " "))) for word in line.split()]


def check_refusal(spoken: Spoken, said: list[str]) -> None:
    assert spoken.status == 2, spoken
    assert spoken.out == ""
    assert spoken.err.count("\n") == 1, spoken.err
    assert spoken.err.startswith("thaw: ")
    assert "Traceback" not in spoken.err
    for words in said:
        assert words in spoken.err


def check_refused_and_unwritten(
    line: str, said: list[str], say: Say, littered: Path, finished: Path
) -> None:
    """Say a line and check that it is refused with these words, and that no file changes."""
    before, suite_before = listing(littered), listing(finished)
    check_refusal(say(*words_of(line, finished)), said)
    assert listing(littered) == before
    assert listing(finished) == suite_before
