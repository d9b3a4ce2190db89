"""What a planted bug is."""

from __future__ import annotations

from typing import NamedTuple


class Bug(NamedTuple):
    """One replacement, and the tests that must catch it."""

    name: str
    file: str
    """Below ``thaw/``."""
    old: str
    """Occurs exactly once."""
    new: str
    tests: str
    """Files below ``tests/``."""
    keyword: str = ""
    """Selects tests in those files, as pytest's ``-k``."""
