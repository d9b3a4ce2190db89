"""The error for wrong input, hints at the nearest allowed word, errors in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """The user's input was wrong: one line says what, what is allowed and how to fix it."""


def one_line(error: BaseException) -> str:
    """Return an error's type and message in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest allowed word, or a full stop."""
    close = difflib.get_close_matches(word, list(allowed), n=1)
    return f"; did you mean '{close[0]}'?" if close else "."


def check_no_repeats(what: str, items: Iterable[object]) -> None:
    """Check that no item is there twice.

    Raises:
        InputError: One is; the message names it.
    """
    seen: set[object] = set()
    for item in items:
        if item in seen:
            raise InputError(f"{what}: '{item}' is there twice; name each once")
        seen.add(item)
