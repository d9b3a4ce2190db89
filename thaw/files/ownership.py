"""Who may write in a folder, also where several machines mount it.

``flock`` does not lock on every network file system. A lease does: its owner touches a file at
intervals, and another process may take a lease that was not touched for :data:`LEASE_SECONDS`. A
lease alone does not stop an owner that slept for longer, as a suspended process. So the owner reads
its token again before everything that it writes, and stops if the token is no longer its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import SoftFileLease, Timeout

from thaw.config.errors import InputError
from thaw.files.atomic import as_write_failed

LEASE = ".lease"

LEASE_SECONDS = 60.0
"""How long an owner may be silent. All processes must agree, so it is no option."""


class Lost(RuntimeError):
    """Another process has taken the folder; this one must not write there any more."""


class Ownership:
    """The right of this process to write in a folder.

    Args:
        folder: The folder, which exists.
        lease: The lease that this process holds.
    """

    def __init__(self, folder: Path, lease: SoftFileLease) -> None:
        self.folder = folder
        self._lease = lease
        self._token = (lease.token or "").encode()

    @property
    def name(self) -> str:
        """A short word that no other owner has."""
        return self._token[:12].decode()

    def check(self) -> None:
        """Read the token again.

        Raises:
            Lost: It is another process's, or is gone.
        """
        there = b""
        with suppress(OSError):
            there = (self.folder / LEASE).read_bytes()
        if not self._token or self._token not in there:
            raise Lost(
                f"another process has taken over {self.folder}, because this one was silent for "
                f"{LEASE_SECONDS:.0f} s; nothing was written since"
            )


@contextmanager
def owned(folder: Path, *, wait_seconds: float = 0.0) -> Iterator[Ownership]:
    """Own a folder; create it if needed.

    The lease of a process that died on this machine is taken at once, that of another machine when
    it has not been touched for :data:`LEASE_SECONDS`.

    Args:
        folder: The folder.
        wait_seconds: How long to wait for another owner to end or to fall silent.

    Raises:
        InputError: Another process owns it.
        WriteFailed: It cannot be created.
    """
    with as_write_failed(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lease = SoftFileLease(folder / LEASE, lease_duration=LEASE_SECONDS, timeout=wait_seconds)
    try:
        lease.acquire()
    except Timeout:
        raise InputError(
            f"another thaw works in {folder} already{_owner(folder)}; wait for it or choose "
            "another --out"
        ) from None
    except OSError as error:
        with as_write_failed(folder / LEASE):
            raise error from None
    try:
        yield Ownership(folder, lease)
    finally:
        with suppress(OSError):
            lease.release()


def _owner(folder: Path) -> str:
    """Name the process that owns a folder, as far as its lease tells."""
    try:
        age = time.time() - (folder / LEASE).stat().st_mtime
        text = (folder / LEASE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    where = f"process {lines.get('pid', '?')} on {lines.get('host', 'another machine')}"
    return f" ({where}, last sign of life {max(age, 0):.0f} s ago)"
