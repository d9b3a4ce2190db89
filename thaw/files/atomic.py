"""Files that are whole or not there, locked folders, JSON."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from thaw.config.errors import InputError

LOCK = ".lock"


class StoreMismatch(InputError):
    """A folder holds the results of another configuration."""


class WriteFailed(OSError):
    """A file could not be written; what was there before is intact."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an operating system's error while writing into one that says what is safe."""
    try:
        yield
    except WriteFailed:
        raise
    except OSError as error:
        raise WriteFailed(
            f"cannot write {path}: {error.strerror or error}; the files written before are "
            "intact; make room and run the same command to go on"
        ) from error


def check_out(path: Path) -> None:
    """Check that a folder is there or can be made.

    Raises:
        InputError: A file is in the way, or there is no permission to write.
    """
    place = next(place for place in (path, *path.parents) if place.exists())
    if not place.is_dir():
        raise InputError(f"--out {path}: '{place}' is a file; give a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"--out {path}: no permission to write in '{place}'; choose another")


def check_not_foreign(path: Path, mark: str) -> None:
    """Check that a folder is absent, empty or marked as ours.

    Raises:
        StoreMismatch: It holds other files, which might be lost.
    """
    if path.is_dir() and not (path / mark).exists():
        # What may be there if an earlier thaw was killed before it could write the mark.
        others = {file.name for file in path.iterdir()} - {LOCK, mark + ".tmp", "error.txt"}
        if others:
            raise StoreMismatch(
                f"{path} is not empty and holds no {mark}; choose a new or an empty folder"
            )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process, making it if need be.

    Raises:
        InputError: Another process works in it.
        WriteFailed: It cannot be made.
    """
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"another thaw works in {folder} already; wait for it or choose another --out"
            ) from None
        yield


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a kill leaves either the old one or the new one.

    Raises:
        WriteFailed: Disk full, no permission, and the like.
    """
    temporary = path.with_name(path.name + ".tmp")
    with explained(path):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def sync_folder(folder: Path) -> None:
    """Make the renames in a folder last through a power loss.

    Raises:
        OSError: The disk failed.
    """
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot do it
            raise
    finally:
        os.close(opened)


def write_json(path: Path, content: object) -> None:
    """Write indented JSON, atomically."""
    write_atomic(path, indented_json(content))


def indented_json(content: object) -> bytes:
    """Encode JSON for people."""
    return json.dumps(content, indent=2).encode() + b"\n"


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        InputError: Missing or broken file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is broken ({error})") from None


def encode_json(content: object) -> bytes:
    """Encode JSON with sorted keys, for files that are compared."""
    return msgspec.json.encode(content, order="deterministic")
