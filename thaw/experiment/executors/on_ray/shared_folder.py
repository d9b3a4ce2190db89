"""Proof that a machine sees the suite's folder as the driver does, and the driver's word to it.

While a driver executes a suite on other machines, the suite's folder has one folder more, with
files of both sides. Its name is new each time, so no cache of a network file system knows it yet. A
machine that cannot find it has another folder under the same path, or none. If it vanishes, the
driver is gone, and runs that still execute for it save and stop.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from thaw.config.errors import InputError
from thaw.files.atomic import WriteFailed, sync, write_atomic
from thaw.files.ownership import owned

PREFIX = ".driver-"

STOP = "stop"

PLACE = "run"

HELLO = "hello"
"""The driver's file; it is there before any machine looks."""

SEEN_SECONDS = 10.0
"""How long a machine may need to see what another one has written."""

MIN_FREE_MIB = 200
"""In the suite's folder for checkpoints, and in the folder of temporary files for Ray's logs."""


class SharedFolder:
    """The driver's side.

    Args:
        suite_folder: The suite's folder, which this process has locked.
    """

    def __init__(self, suite_folder: Path) -> None:
        self.suite_folder = suite_folder.absolute()
        self.path = self.suite_folder / f"{PREFIX}{secrets.token_hex(6)}"

    def open(self) -> None:
        """Make it, and delete those that killed drivers have left.

        Raises:
            WriteFailed: It cannot be written.
        """
        for left in self.suite_folder.glob(f"{PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
        self.path.mkdir()
        write_atomic(self.path / HELLO, b"")

    def unseen(self, names: Iterable[str]) -> list[str]:
        """Return the names whose proof does not arrive here."""
        left = set(names)

        def all_there() -> bool:
            left.difference_update(path.name for path in self.path.iterdir())
            return not left

        wait_until(all_there, SEEN_SECONDS)
        return sorted(left)

    def ask_to_stop(self) -> None:
        """Ask all runs that execute for this driver to save and stop."""
        with suppress(OSError):  # the disk may be full; deleting the folder says the same
            (self.path / STOP).touch()

    def give_up(self, number: int) -> None:
        """Ask one run to save and stop: its machine counts as lost, but may live."""
        with suppress(OSError):
            (self.path / f"{STOP}-{number}").touch()

    def places(self) -> dict[int, str]:
        """Return on which machines runs execute, by their numbers; see :func:`executing`."""
        found = {}
        with suppress(OSError):
            for path in self.path.glob(f"{PLACE}-*"):
                _, number, machine = path.name.split("-")
                found[int(number)] = machine
        return found

    def close(self) -> None:
        """Delete it."""
        shutil.rmtree(self.path, ignore_errors=True)


def trouble_with(folder: Path, name: str) -> str | None:
    """Return what this machine cannot do in a driver's folder; None if all is well.

    It reads what the driver has written, and takes a lease, writes, renames, syncs and lists.

    Args:
        folder: :attr:`SharedFolder.path`.
        name: Of this machine, for its proof.
    """
    suite_folder = folder.parent
    try:
        if not wait_until(lambda: (folder / HELLO).exists(), SEEN_SECONDS):
            if not suite_folder.is_dir():
                return f"has no folder {suite_folder}; all machines must mount it at this path"
            return f"has another folder at {suite_folder}; all machines must mount the same one"
        with owned(folder / f"{name}.lease") as owner:
            owner.check()
            write_atomic(folder / name, b"")
            sync([folder])
        if not is_listed(folder / name):
            return f"does not see its own file in {folder}"
        for place in (suite_folder, Path(tempfile.gettempdir())):
            free_mib = shutil.disk_usage(place).free / 2**20
            if free_mib < MIN_FREE_MIB:
                return f"has {free_mib:.0f} MiB left in {place}; at least {MIN_FREE_MIB} are needed"
    except (OSError, WriteFailed, InputError) as error:
        return f"cannot write, rename, sync and list in {suite_folder} ({error})"
    return None


@contextmanager
def executing(folder: Path, number: int, machine: str) -> Iterator[None]:
    """Let the driver know that a machine executes a run."""
    mark = folder / f"{PLACE}-{number}-{machine}"
    with suppress(OSError):
        mark.touch()
    try:
        yield
    finally:
        with suppress(OSError):
            mark.unlink(missing_ok=True)


def is_over(folder: Path, number: int) -> bool:
    """Return whether a driver asks all its runs or this one to stop, or has gone."""
    try:
        return bool({STOP, f"{STOP}-{number}"} & {path.name for path in folder.iterdir()})
    except FileNotFoundError:
        return True
    except OSError:  # the file server restarts, for example; ask again later
        return False


def is_listed(path: Path) -> bool:
    """Return whether a file is there that another machine may have just written.

    Listing its folder renews what a network file system remembers of it.
    """
    try:
        return path.name in {there.name for there in path.parent.iterdir()}
    except OSError:
        return False


def wait_until(is_so: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is so, as a file is seen; return whether it is."""
    deadline, pause = time.monotonic() + seconds, 0.05
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 1.0)
    return True
