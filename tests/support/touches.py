"""An object that does something when it is unpickled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


class Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)
