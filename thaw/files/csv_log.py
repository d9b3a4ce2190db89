"""CSV files to which rows are appended, and which can be cut back to a checkpoint."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from thaw.files.atomic import as_write_failed, write_files
from thaw.files.checksums import Damaged

TAIL_BYTES = 4096
"""The end of a log that is read to find its last row; no row is longer."""


class CsvLog:
    """An append-only CSV file that can be cut back to its size at a checkpoint.

    Args:
        path: The file; created by the first :meth:`append`.
        columns: The names of the columns.
        check: Called before the file is changed; raises if this process may not.
    """

    def __init__(
        self, path: Path, columns: Sequence[str], check: Callable[[], None] = lambda: None
    ) -> None:
        self.path = path
        self.columns = tuple(columns)
        self._check_owner = check
        self._hash: hashlib._Hash | None = None  # of all rows; None until it is asked for

    def append(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Append rows; write the header first if the file is new or empty.

        Raises:
            WriteFailed: Disk full, no permission, and the like.
        """
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        # Opened before the question: the next owner replaces the file, see `cut`. So this process
        # writes into a file without a name if it sleeps between the answer and the write.
        with as_write_failed(self.path), self.path.open("ab") as file:
            if file.tell() == 0:
                writer.writeheader()
            writer.writerows(rows)
            data = text.getvalue().encode()
            self._check_owner()
            file.write(data)
        if self._hash is not None:
            self._hash.update(data)

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
        """Replace the file by its first ``size`` bytes."""
        self._hash = None
        self._check_owner()
        if self.path.exists():
            write_files(self.path.parent, {self.path.name: self.path.read_bytes()[:size]})

    def sha256(self) -> str:
        """Return the SHA-256 of all rows; the file is read once, then the hash follows the rows."""
        if self._hash is None:
            self._hash = hashlib.sha256(self.path.read_bytes() if self.path.exists() else b"")
        return self._hash.hexdigest()

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
