"""Damages files as a broken disk or a hand does, and follows the advice that an error gives."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut_the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zeros(path: Path) -> None:
    """A block that was never written."""
    data = path.read_bytes()
    start = len(data) // 3
    path.write_bytes(data[:start] + bytes(min(64, len(data) - start)) + data[start + 64 :])


DAMAGES: dict[str, Callable[[Path], None]] = {
    "a flipped bit": flip_a_bit,
    "a cut end": cut_the_end,
    "empty": empty,
    "deleted": Path.unlink,
    "zeros": zeros,
}

ADVICE = re.compile(
    r"delete (?:the folder )?(/.+?)"
    r"(?:, and the same command| to do this run| and run the same| and do its run)"
)


def follow_advice(message: str) -> None:
    """Delete what the message says, or fail: it must say it in words that can be followed."""
    found = ADVICE.search(message.replace("delete it and", f"delete {message.split()[0]} and"))
    assert found is not None, message
    for name in found[1].split(" and "):
        path = Path(name)
        assert path.exists(), message
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
