"""The process of one run of a suite: it executes the run and sends messages to `thaw run`.

What it prints, and what its environment prints, goes to the run's log.txt.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, NamedTuple

from thaw.config.errors import InputError, one_line
from thaw.config.runtime import Runtime
from thaw.experiment.executors.executor import Death, Task
from thaw.experiment.signals import STOP_SIGNALS, StopRequest, set_handlers
from thaw.files.attempts import read_attempts
from thaw.files.ownership import LEASE_SECONDS
from thaw.files.run_folder import LOG, RunFolder
from thaw.training.attempt import cause_of, record_failure
from thaw.training.progress import Progress, Stopped
from thaw.training.run import execute_run

MESSAGE_SECONDS = 0.25
"""A run sends its progress at most this often."""

ALIVE_SECONDS = 1.0
"""Between two updates and during an evaluation, a run says at most this often that it continues."""


class Message(NamedTuple):
    """What a run's process sends."""

    kind: Literal["progress", "alive", "done", "stopped", "failed", "died"]
    content: Any


def run_in_process(connection: Connection, task: Task, runtime: Runtime, where: str) -> None:
    """Execute one run and send its messages; a failure's traceback goes to the run's folder."""
    stop = StopRequest()
    set_handlers(stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # see local_executor
    threading.Thread(target=_die_with_parent, daemon=True).start()
    folder = RunFolder(task.folder)
    before = _num_attempts(folder.path)
    _write_output_to(folder.path / LOG, before + 1)
    progress_sent, anything_sent = 0.0, 0.0

    def watch(progress: Progress) -> None:
        nonlocal progress_sent, anything_sent
        now = time.monotonic()
        if now - progress_sent >= MESSAGE_SECONDS:
            progress_sent = anything_sent = now
            _send(connection, Message("progress", progress))

    def should_stop() -> bool:
        nonlocal anything_sent
        now = time.monotonic()
        if now - anything_sent >= ALIVE_SECONDS:
            anything_sent = now
            _send(connection, Message("alive", None))
        return stop.signum is not None

    try:
        if stop.signum is not None:
            raise Stopped
        result = execute_run(
            task.spec,
            folder,
            runtime,
            source=task.source,
            watch=watch,
            should_stop=should_stop,
            wait_seconds=1.5 * LEASE_SECONDS,  # for one that a node took along, or a zombie
            where=where,
        )
        _send(connection, Message("done", result))
    except Stopped:
        _send(connection, Message("stopped", None))
    except Exception as error:  # noqa: BLE001 - the other runs continue after any error
        folder.fail(traceback.format_exc())
        record_failure(folder, where, error, before)
        if cause_of(error) == "memory":
            _send(connection, Message("died", Death("memory", one_line(error))))
        else:
            _send(connection, Message("failed", one_line(error)))


def _num_attempts(folder: Path) -> int:
    with suppress(InputError):  # a damaged file, which the run itself tells
        return len(read_attempts(folder))
    return 0


def _write_output_to(path: Path, attempt: int) -> None:
    """Let standard output and error go to a run's log, after a line that names the attempt."""
    with suppress(OSError):  # the disk is full; the run itself tells it
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as log:
            now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            host = f"{socket.gethostname()}, process {os.getpid()}"
            log.write(f"--- attempt {attempt}, {now}, {host}\n".encode())
            log.flush()
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)


def _send(connection: Connection, message: Message) -> None:
    try:
        connection.send(message)
    except OSError:
        os._exit(1)  # the parent is gone; the checkpoint is on disk


def _die_with_parent() -> None:
    """End this process when its parent dies.

    An orphan would write to the same folder as the run that replaces it. A run may be killed at
    any moment without harm.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
