"""The file of a policy: where it lies, its hash, and what it says, without its numbers.

Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thaw.config.errors import InputError, nearest
from thaw.files.checksums import Damaged, check_files
from thaw.files.run_folder import RunFolder

POLICY_FILE = "policy.safetensors"

MAX_HEADER_BYTES = 100_000_000
"""As the safetensors library allows."""


def find_policy(path: str | Path, name: str = "checkpoint", words: Sequence[str] = ()) -> Path:
    """Return the policy file of a run's folder or of a checkpoint folder.

    Args:
        path: The folder.
        name: What the user calls it, for the errors.
        words: What the caller takes in place of a folder, for the errors.

    Raises:
        InputError: There is none, or it is damaged. An older checkpoint is not taken for it: its
            policy is another one.
    """
    root = Path(path)
    if not root.exists():
        folders = "a run's folder or its checkpoint folder"
        allowed = ", or ".join([folders, *(f"the word {word}" for word in words)])
        raise InputError(
            f"{name} '{path}' does not exist{nearest(str(path), words)} Allowed: {allowed}"
        )
    for folder in (root, *RunFolder(root).checkpoints):
        if (folder / POLICY_FILE).is_file():
            _check_policy(folder)
            return folder / POLICY_FILE
    raise InputError(
        f"{name} '{path}' has no {POLICY_FILE}; give a run's folder or its checkpoint folder"
    )


def hash_of(file: Path) -> str:
    """Return sixteen hex digits of the SHA-256 of a policy file, which name the policy."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def described(file: Path) -> dict[str, Any]:
    """Return what a policy file says about its policy, as it is written there.

    It is compared with nothing: :func:`thaw.files.checkpoint.read_description` does that.

    Raises:
        InputError: The file is broken, or was not written by thaw.
    """
    try:
        with file.open("rb") as opened:
            size = int.from_bytes(opened.read(8), "little")
            if size > MAX_HEADER_BYTES:
                raise ValueError(size)
            header = json.loads(opened.read(size))
        plain = json.loads(header["__metadata__"]["thaw"])
        if not isinstance(plain, dict):
            raise TypeError(plain)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{file} was not written by thaw: its description is missing") from None
    return plain


def _check_policy(folder: Path) -> None:
    """Check the files of the checkpoint that a policy lies in.

    Raises:
        Damaged: One is; the message says how to have the policy made again.
    """
    try:
        check_files(folder)
    except Damaged as error:
        run = RunFolder(folder.parent)
        newest, old = run.checkpoints
        if folder != newest or not run.is_done:
            raise
        advice = f"delete the folder {run.path} and do its run again"
        if old.is_dir():
            result = run.path / "result.json"
            advice = f"delete {result} and do its run again; it goes on from {old}"
        raise Damaged(f"{error}; {advice}") from None
