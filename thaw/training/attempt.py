"""Records how one attempt at a run went, in the run's attempts.json."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

from thaw.config.errors import InputError, one_line
from thaw.files.atomic import WriteFailed
from thaw.files.attempts import (
    ATTEMPTS,
    Cause,
    encoded,
    read_attempts,
    with_begun,
    with_end_of,
    with_ended,
    write_attempts,
)
from thaw.files.ownership import Lost
from thaw.files.run_folder import RunFolder
from thaw.training.progress import Stopped


@contextmanager
def attempted(folder: RunFolder, where: str) -> Iterator[None]:
    """Record an attempt of this process, which owns the folder, and how it ends.

    That it is done is recorded by :func:`done_files`, and a sudden death by who notices it.
    """
    attempts = with_begun(read_attempts(folder.path), where, folder.saved_steps())
    write_attempts(folder.path, attempts)
    try:
        yield
    except Exception as error:
        with suppress(OSError, Lost):  # the error itself is told in any case
            folder.check_owner()
            message = "" if isinstance(error, Stopped) else one_line(error)
            write_attempts(folder.path, with_ended(attempts, cause_of(error), message))
        raise


def record_failure(folder: RunFolder, where: str, error: Exception, before: int) -> None:
    """Record an error that came before the process owned the folder, if that is possible.

    Args:
        folder: The run's folder.
        where: As for :func:`attempted`.
        error: What the process raised.
        before: How many attempts there were when the process started.
    """
    cause = cause_of(error)
    if cause == "outside" or folder.is_lost:
        return
    with suppress(InputError, OSError, Lost), folder.owned():
        attempts = read_attempts(folder.path)
        if len(attempts) <= before:
            ended = with_end_of(
                before, attempts, where, folder.saved_steps(), cause, one_line(error)
            )
            write_attempts(folder.path, ended)


def done_files(folder: RunFolder) -> dict[str, bytes]:
    """Return attempts.json as it is when the run is done, to be written with the result."""
    return {ATTEMPTS: encoded(with_ended(read_attempts(folder.path), "done"))}


def cause_of(error: Exception) -> Cause:
    """Return how an attempt ended that raised an error."""
    if isinstance(error, Stopped):
        return "stopped"
    is_cpu = isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or is_cpu:
        return "memory"
    return "outside" if isinstance(error, InputError | WriteFailed) else "exception"
