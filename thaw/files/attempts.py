"""The attempts of one run: who tried it, from which step, and how each try ended.

``attempts.json`` decides no result. The counters of retries live here, so that they outlast the
process that decides about them. An attempt begins when a process owns the run's folder.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

import msgspec

from thaw.files.atomic import write_atomic
from thaw.files.checksums import Damaged

ATTEMPTS = "attempts.json"

Cause = Literal["done", "stopped", "exception", "outside", "memory", "crash", "stall", "lost"]
"""How an attempt ended. exception: an error of the run itself. outside: the disk, or wrong files or
input, which somebody mends. crash: a signal, or an exit without a word. lost: its machine or the
process that watched it is gone."""

CAUSES = get_args(Cause)

Attempts = tuple["Attempt", ...]


class Attempt(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One try of a run."""

    number: int
    """From 1."""
    started: str
    """UTC."""
    host: str
    """Empty if its process died before it owned the folder."""
    pid: int
    """Its process, or 0."""
    where: str
    """What executed it: local, run-one, alone, or another executor's name."""
    steps: int
    """Where it started: 0, or those of the checkpoint from which it resumed."""
    ended: str | None = None
    """UTC; None while it runs, and if nobody has noticed its end."""
    cause: Cause | None = None
    message: str = ""
    gave_up: bool = False
    """Whether it was the last that was tried by itself; retries count from here."""


def read_attempts(folder: Path) -> Attempts:
    """Read a run's attempts; there are none without the file.

    Raises:
        Damaged: A broken file.
    """
    path = folder / ATTEMPTS
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Attempt, ...])
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.DecodeError) as error:
        raise Damaged(
            f"{path} is damaged ({error}); delete {path}, and the same command goes on"
        ) from None


def write_attempts(folder: Path, attempts: Attempts) -> None:
    """Write a run's attempts.

    Raises:
        WriteFailed: Disk full and the like.
    """
    write_atomic(folder / ATTEMPTS, encoded(attempts))


def encoded(attempts: Attempts) -> bytes:
    """Return the file's text: one attempt on each line."""
    lines = [msgspec.json.encode(attempt).decode() for attempt in attempts]
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()


def with_begun(attempts: Attempts, where: str, steps: int) -> Attempts:
    """Add the attempt of this process; one before it whose end nobody has noticed was lost."""
    attempts = with_ended(attempts, "lost", "its end was not noticed")
    begun = Attempt(
        number=len(attempts) + 1,
        started=_now(),
        host=socket.gethostname(),
        pid=os.getpid(),
        where=where,
        steps=steps,
    )
    return (*attempts, begun)


def with_ended(attempts: Attempts, cause: Cause, message: str = "") -> Attempts:
    """Let the last attempt end, if it has not ended yet."""
    if not attempts or attempts[-1].cause is not None:
        return attempts
    ended = msgspec.structs.replace(attempts[-1], ended=_now(), cause=cause, message=message)
    return (*attempts[:-1], ended)


def with_end_of(
    before: int, attempts: Attempts, where: str, steps: int, cause: Cause, message: str
) -> Attempts:
    """Let an attempt end whose process may have died before it owned the folder.

    Args:
        before: How many attempts there were when its process started.
        attempts: Those that there are now.
        where: What executed it.
        steps: Where it started.
        cause: How it ended; one that the process has recorded itself stays.
        message: The same in words.
    """
    if len(attempts) <= before:
        *earlier, begun = with_begun(attempts, where, steps)
        attempts = (*earlier, msgspec.structs.replace(begun, host="", pid=0))
    return with_ended(attempts, cause, message)


def given_up(attempts: Attempts) -> Attempts:
    """Note that the last attempt was the last that is tried by itself."""
    return (*attempts[:-1], msgspec.structs.replace(attempts[-1], gave_up=True))


def summarized(attempts: Attempts) -> list[tuple[int, str]]:
    """Return where each attempt started, in steps, and how it ended; no names of machines."""
    return [(attempt.steps, attempt.cause or "") for attempt in attempts]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
