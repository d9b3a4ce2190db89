"""CSV files that only grow, and can be cut back to what a checkpoint has seen."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from thaw.files.atomic import explained

TAIL_BYTES = 4096
"""More than a row of any log has."""


class CsvLog:
    """An append-only CSV file that can be cut back to what a checkpoint has seen."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = tuple(columns)

    def append(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Append rows, and the header first if the file is new.

        Raises:
            WriteFailed: Disk full, no permission, and the like.
        """
        with explained(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerows(rows)

    def last(self) -> dict[str, str]:
        """Return the newest row that is whole; empty without one."""
        if not self.path.exists():
            return {}
        with self.path.open("rb") as file:
            header = file.readline()
            file.seek(max(len(header), self.size - TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]  # behind the last line end: half a row, or none
        if not lines:
            return {}
        text = [header.decode(), lines[-1].decode()]
        return next(csv.DictReader(text), {})

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def cut(self, size: int) -> None:
        """Forget all rows behind the first ``size`` bytes."""
        if self.path.exists():
            os.truncate(self.path, min(size, self.size))
