"""What the user did wrong: the error for it, and hints at the nearest right word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """The user's input was wrong: one line that says what, what is allowed and how to fix it."""


class NotFinite(FloatingPointError):
    """A reward, observation, loss, gradient norm or weight was nan or infinite; one line."""


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
