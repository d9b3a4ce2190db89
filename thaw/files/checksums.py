"""Checksums: a folder says what its files held, so that damage is noticed and named."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from thaw.config.errors import InputError
from thaw.files.atomic import encode_json

CHECKSUMS = "checksums.json"


class Damaged(InputError):
    """A file is not as thaw wrote it; the message names the file."""


def checksums(files: Mapping[str, bytes]) -> bytes:
    """Return the content of a checksums.json: size and SHA-256 of each file, and of this list.

    Args:
        files: Content by name.
    """
    sums = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    }
    return encode_json({"files": sums, "sha256": _sha256_of(sums)}) + b"\n"


def check_files(folder: Path, names: Iterable[str] | None = None) -> None:
    """Compare the files of a folder with its checksums.json.

    A folder without one, written by an older thaw, passes. The folder is opened once: if a new
    checkpoint takes its place meanwhile, all files are still of the same one.

    Args:
        folder: The folder.
        names: The files to compare, of those that checksums.json lists; None for all.

    Raises:
        Damaged: A file is missing, or its size or content is another one.
    """
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Damaged(f"{folder} cannot be read ({error.strerror})") from None
    try:
        sums = _read_checksums(folder, opened)
        for name in sums if names is None else [name for name in names if name in sums]:
            _check_file(folder, name, opened, sums[name])
    finally:
        os.close(opened)


def _check_file(folder: Path, name: str, opened: int, expected: Mapping[str, Any]) -> None:
    path = folder / name
    try:
        with open(
            name, "rb", opener=lambda file, flags: os.open(file, flags, dir_fd=opened)
        ) as file:
            size = os.fstat(file.fileno()).st_size
            if size != expected["bytes"]:
                raise Damaged(
                    f"{path} is damaged: it has {size:,} bytes, {expected['bytes']:,} were written"
                )
            if hashlib.file_digest(file, "sha256").hexdigest() != expected["sha256"]:
                raise Damaged(f"{path} is damaged: its SHA-256 is not that of what was written")
    except FileNotFoundError:
        raise Damaged(f"{path} is missing") from None
    except OSError as error:
        raise Damaged(f"{path} cannot be read ({error.strerror})") from None


def _read_checksums(folder: Path, opened: int) -> dict[str, dict[str, Any]]:
    """Read checksums.json of an open folder; empty if there is none."""
    path = folder / CHECKSUMS
    try:
        with open(
            CHECKSUMS, "rb", opener=lambda f, flags: os.open(f, flags, dir_fd=opened)
        ) as file:
            content = json.loads(file.read())
        sums: dict[str, dict[str, Any]] = content["files"]
        if content["sha256"] != _sha256_of(sums):
            raise Damaged(f"{path} is damaged: its SHA-256 is not that of what was written")
        for name, expected in sums.items():
            # A stranger's file must not make us read elsewhere.
            if Path(name).name != name or set(expected) != {"bytes", "sha256"}:
                raise Damaged(f"{path} is damaged: '{name}' is not the entry of a file")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, Damaged):
            raise
        raise Damaged(f"{path} is damaged: it is not a list of checksums") from None
    return sums


def _sha256_of(sums: object) -> str:
    return hashlib.sha256(encode_json(sums)).hexdigest()
