"""CSV files to which rows are appended, and which can be cut back to a checkpoint."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from thaw.files.atomic import as_write_failed

TAIL_BYTES = 4096
"""The end of a log that is read to find its last row; no row is longer."""


class CsvLog:
    """An append-only CSV file that can be cut back to its size at a checkpoint.

    Args:
        path: The file; created by the first :meth:`append`.
        columns: The names of the columns.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = tuple(columns)

    def append(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Append rows; write the header first if the file is new or empty.

        Raises:
            WriteFailed: Disk full, no permission, and the like.
        """
        with as_write_failed(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerows(rows)

    def last(self) -> dict[str, str]:
        """Return the last complete row, or an empty dict if there is none."""
        if not self.path.exists():
            return {}
        with self.path.open("rb") as file:
            header = file.readline()
            file.seek(max(len(header), self.size - TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]  # after the last: part of a row
        if not lines:
            return {}
        text = [header.decode(), lines[-1].decode()]
        return next(csv.DictReader(text), {})

    @property
    def size(self) -> int:
        """The size of the file in bytes; 0 if it does not exist."""
        return self.path.stat().st_size if self.path.exists() else 0

    def cut(self, size: int) -> None:
        """Remove everything after the first ``size`` bytes."""
        if self.path.exists():
            os.truncate(self.path, min(size, self.size))
