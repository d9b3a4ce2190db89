"""Who may write in a folder, also where several machines mount it.

``flock`` does not lock on every network file system. A lease does: its owner touches a file at
intervals, and another process may take a lease that was not touched for :data:`LEASE_SECONDS`. A
lease alone does not stop an owner that slept for longer, as a suspended process. So the owner reads
its token again before everything that it writes, and stops if the token is no longer its own.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from filelock import SoftFileLease, Timeout

from thaw.config.errors import InputError
from thaw.files.atomic import as_write_failed

LEASE = ".lease"

LEASE_SECONDS = 60.0
"""How long an owner may be silent. All processes must agree, so it is no option."""

NAMESPACE_MARK = "?pidns-"
"""Comes before the namespace of process ids, in the name of a host in a lease of filelock."""

INITIAL_NAMESPACE = 0xEFFFFFFC
"""The number that Linux reserves for a machine's own namespace."""


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
def owned(
    folder: Path, *, wait_seconds: float = 0.0, should_stop: Callable[[], bool] | None = None
) -> Iterator[Ownership]:
    """Own a folder; create it if needed.

    The lease of a process that died on this machine is taken at once, that of another machine when
    it has not been touched for :data:`LEASE_SECONDS`.

    Args:
        folder: The folder.
        wait_seconds: How long to wait for another owner to end or to fall silent.
        should_stop: Asked meanwhile; the wait ends if it returns true.

    Raises:
        InputError: Another process owns it.
        WriteFailed: It cannot be created.
    """
    with as_write_failed(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lease = SoftFileLease(folder / LEASE, lease_duration=LEASE_SECONDS, timeout=wait_seconds)
    try:
        lease.acquire(cancel_check=should_stop)
    except Timeout:
        raise InputError(
            f"another thaw works in {folder} already{_described(_last_owner(folder))}; wait for "
            "it or choose another --out"
        ) from None
    except OSError as error:
        with as_write_failed(folder / LEASE):
            raise error from None
    try:
        yield Ownership(folder, lease)
    finally:
        with suppress(OSError):
            lease.release()


class Owner(NamedTuple):
    """Who owns a folder, as its lease says."""

    host: str
    pid: int
    silent_seconds: float
    """Since the last sign of life, by the clocks of the owner's file system and this machine."""


def owner_of(folder: Path) -> Owner | None:
    """Return who works in a folder, also on another machine; None if nobody does.

    It only reads. A lease whose process has died on this machine, or that was not touched for
    :data:`LEASE_SECONDS`, is nobody's.
    """
    owner = _last_owner(folder)
    if owner is None or owner.silent_seconds > LEASE_SECONDS:
        return None
    name, _, namespace = owner.host.partition(NAMESPACE_MARK)
    is_here = name == socket.gethostname() and namespace == _namespace()
    if is_here and not _lives(owner.pid):
        return None
    return owner._replace(host=name)


def _last_owner(folder: Path) -> Owner | None:
    try:
        age = time.time() - (folder / LEASE).stat().st_mtime
        text = (folder / LEASE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    pid = lines.get("pid", "")
    return Owner(
        lines.get("host", "another machine"), int(pid) if pid.isdigit() else 0, max(age, 0)
    )


def _namespace() -> str:
    """Return this process's namespace of process ids as a lease has it; a machine's own is empty.

    Containers may share a host's name, but not its process ids.
    """
    with suppress(OSError):
        number = Path("/proc/self/ns/pid").stat().st_ino
        return "" if number == INITIAL_NAMESPACE else f"{number:x}"
    return ""


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # One that died stays in the table until its parent has asked how.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:  # another user's, or no /proc
        return True


def _described(owner: Owner | None) -> str:
    if owner is None:
        return ""
    where = f"process {owner.pid} on {owner.host}"
    return f" ({where}, last sign of life {owner.silent_seconds:.0f} s ago)"
