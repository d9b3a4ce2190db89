"""CSV files that only grow, and can be cut back to what a checkpoint has seen."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from thaw.files.atomic import explained
from thaw.files.checksums import Damaged

TAIL_BYTES = 4096
"""More than a row of any log has."""


class CsvLog:
    """An append-only CSV file that can be cut back to what a checkpoint has seen."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = tuple(columns)
        self._hash: hashlib._Hash | None = None  # of all rows; None until it is asked for

    def append(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Append rows, and the header first if the file is new.

        Raises:
            WriteFailed: Disk full, no permission, and the like.
        """
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        with explained(self.path), self.path.open("ab") as file:
            if file.tell() == 0:
                writer.writeheader()
            writer.writerows(rows)
            data = text.getvalue().encode()
            file.write(data)
        if self._hash is not None:
            self._hash.update(data)

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
        """Drop all rows after the first ``size`` bytes."""
        self._hash = None
        if self.path.exists():
            os.truncate(self.path, min(size, self.size))

    def sha256(self) -> str:
        """Return the SHA-256 of all rows; the file is read once, then the hash follows the rows."""
        if self._hash is None:
            self._hash = hashlib.sha256(self.path.read_bytes() if self.path.exists() else b"")
        return self._hash.hexdigest()

    def sync(self) -> None:
        """Make the rows last through a power loss.

        Raises:
            WriteFailed: The disk failed.
        """
        if self.path.exists():
            with explained(self.path), self.path.open("rb") as file:
                os.fsync(file.fileno())

    def check(self, size: int, sha256: str | None) -> None:
        """Check that the first bytes are those that a checkpoint has seen.

        Args:
            size: How many bytes; later ones do not matter.
            sha256: Of these bytes; None in the checkpoints of an older thaw.

        Raises:
            Damaged: Bytes are missing or changed, or a row was cut in two.
        """
        if self.size < size:
            raise Damaged(
                f"{self.path} is damaged: it has {self.size:,} bytes, its checkpoint was saved "
                f"after {size:,}"
            )
        if size == 0:
            return
        try:
            with self.path.open("rb") as file:
                data = file.read(size)
        except OSError as error:
            raise Damaged(f"{self.path} cannot be read ({error.strerror})") from None
        if not data.endswith(b"\n"):
            raise Damaged(f"{self.path} is damaged: a row is cut in two where its checkpoint ends")
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise Damaged(
                f"{self.path} is damaged: its first {size:,} bytes are not those that were written"
            )
