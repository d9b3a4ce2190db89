"""Small pictures of a suite's flavors, for its report. They decide nothing, and may be missing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from thaw.config.flavor import Flavor
from thaw.config.suite import Suite

MOST_BYTES = 100_000
"""A larger picture is not shown: the page must stay small."""
_PNG = b"\x89PNG\r\n\x1a\n"


def picture_path(folder: Path, flavor: Flavor) -> Path:
    """Return where the picture of a flavor lies in a suite's folder."""
    address = str(flavor)
    readable = re.sub(r"[^\w.-]+", "-", address)[:60]
    number = hashlib.sha256(address.encode()).hexdigest()[:8]  # two flavors may read the same
    return folder / "pictures" / f"{readable}-{number}.png"


def flavors_of(suite: Suite) -> Iterable[Flavor]:
    """Return every source and target of a suite once."""
    return dict.fromkeys(f for t in suite.transfers for f in (t.source, t.target))


def read_pictures(folder: Path, suite: Suite) -> dict[str, bytes]:
    """Return the pictures that are there, by the flavor's address."""
    found = {}
    for flavor in flavors_of(suite):
        path = picture_path(folder, flavor)
        try:
            data = path.read_bytes()
        except OSError:  # none was drawn, or it cannot be read
            continue
        if data.startswith(_PNG) and len(data) <= MOST_BYTES:
            found[str(flavor)] = data
    return found
