"""Atomic writes, folder checks, JSON."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from thaw.config.errors import InputError


class StoreMismatch(InputError):
    """A folder holds the results of another configuration."""


class WriteFailed(OSError):
    """A file could not be written; the old file, if there was one, is intact."""


@contextmanager
def as_write_failed(path: Path) -> Iterator[None]:
    """Turn an OSError in the block into a WriteFailed that names a path.

    Raises:
        WriteFailed: Disk full, no permission, and the like.
    """
    try:
        yield
    except WriteFailed:
        raise
    except OSError as error:
        advice = "then run the same command to continue"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = f"make room, {advice}"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            advice = f"allow writing there, {advice}"
        elif error.errno == errno.EISDIR:
            advice = f"delete the folder {_shown(path)}, {advice}"
        else:
            advice = f"mend that, {advice}"
        raise WriteFailed(
            f"cannot write {_shown(path)}: {error.strerror or error}; the files written before "
            f"are intact; {advice}"
        ) from error


def _shown(path: Path) -> str:
    """Return a path as an error shows it: a very long one is cut in the middle."""
    text = str(path)
    return text if len(text) <= 300 else f"{text[:100]}...{text[-100:]}"


def check_out(path: Path) -> None:
    """Check that a folder exists or can be created.

    Raises:
        InputError: A file is in the way, or there is no permission to write.
    """
    try:
        existing = next(folder for folder in (path, *path.parents) if folder.exists())
    except OSError as error:  # the name is too long, or links go round in a circle
        raise InputError(f"--out {_shown(path)}: {error.strerror}; choose another") from None
    if not existing.is_dir():
        raise InputError(f"--out {path}: '{existing}' is a file; give a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"--out {path}: no permission to write in '{existing}'; choose another")


def check_not_foreign(path: Path, mark: str) -> None:
    """Check that a folder is absent, is empty, or was made by thaw.

    Args:
        path: The folder.
        mark: The name of the file that thaw writes first into such a folder.

    Raises:
        StoreMismatch: It holds other files, which might be lost.
    """
    if path.is_dir() and not (path / mark).exists():
        # An earlier thaw may have left these if it was killed before it could write the mark.
        ours = (".lock", f".{mark}.*.tmp", "error.txt", "log.txt", "attempts.json", ".lease")
        names = [file.name for file in path.iterdir()]
        if any(not any(fnmatch(name, pattern) for pattern in ours) for name in names):
            raise StoreMismatch(
                f"{path} is not empty and holds no {mark}; choose a new or an empty folder"
            )


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a kill, or a reader at any moment, finds the whole old or new file.

    Raises:
        WriteFailed: Disk full, no permission, and the like.
    """
    write_files(path.parent, {path.name: data})


def write_files(
    folder: Path,
    files: Mapping[str, bytes],
    also: Iterable[Path] = (),
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write files of a folder atomically: each appears whole, in this order, and lasts.

    Args:
        folder: The folder; it exists.
        files: Content by name.
        also: Further files that must last before these appear; missing ones do not matter.
        check: Called before the files appear; if it raises, none does.

    Raises:
        WriteFailed: Disk full, no permission, and the like.
    """
    # Two processes may write the same file at the same time, also with the same process id on two
    # machines or in two containers.
    own = f"{os.getpid()}-{uuid4().hex[:12]}"
    temporary = {name: folder / f".{name}.{own}.tmp" for name in files}
    with as_write_failed(folder / list(files)[-1]):
        try:
            for name, data in files.items():
                temporary[name].write_bytes(data)
            sync([*temporary.values(), *also])
            check()
            for name, path in temporary.items():
                path.replace(folder / name)
            sync([folder])
        except BaseException:
            for path in temporary.values():
                path.unlink(missing_ok=True)
            raise


def sync(paths: Iterable[Path]) -> None:
    """Make files, and the renames in folders, last through a power loss.

    All at the same time: a disk then writes its journal once, which is many times faster than one
    path after the other (docs/decisions.md).

    Args:
        paths: Files and folders; what does not exist is left out.

    Raises:
        OSError: The disk failed.
    """
    there = [path for path in paths if path.exists()]
    if len(there) == 1:
        _sync_one(there[0])
    elif there:
        with ThreadPoolExecutor(len(there)) as threads:
            list(threads.map(_sync_one, there))


def _sync_one(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        # A file system that cannot do it for folders.
        if not path.is_dir() or error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(opened)


def write_json(path: Path, content: object) -> None:
    """Write indented JSON atomically.

    Raises:
        WriteFailed: Disk full, no permission, and the like.
    """
    write_atomic(path, indented_json(content))


def indented_json(content: object) -> bytes:
    """Encode JSON for people."""
    return json.dumps(content, indent=2).encode() + b"\n"


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: The file is missing or broken.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is broken ({error})") from None


def encode_json(content: object) -> bytes:
    """Encode JSON with sorted keys, so that equal contents give equal bytes."""
    return msgspec.json.encode(content, order="deterministic")
