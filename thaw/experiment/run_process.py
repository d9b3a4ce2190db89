"""The process of one run of a suite: it executes the run and sends messages to `thaw run`."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, NamedTuple

from thaw.config.errors import one_line
from thaw.config.run_spec import RunSpec
from thaw.config.runtime import Runtime
from thaw.experiment.signals import STOP_SIGNALS, StopRequest, set_handlers
from thaw.files.run_folder import RunFolder
from thaw.training.progress import Progress, Stopped
from thaw.training.run import execute_run

MESSAGE_SECONDS = 0.25
"""A run sends its progress at most this often."""

ALIVE_SECONDS = 1.0
"""Between two updates and during an evaluation, a run says at most this often that it continues."""


class Message(NamedTuple):
    """What a run's process sends."""

    kind: Literal["progress", "alive", "done", "stopped", "failed"]
    content: Any


def run_in_process(
    connection: Connection, spec: RunSpec, path: Path, source: Path | None, runtime: Runtime
) -> None:
    """Execute one run and send its messages; a failure's traceback goes to the run's folder."""
    stop = StopRequest()
    set_handlers(stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # see local_executor
    with suppress(OSError):
        os.dup2(2, 1)  # standard output is for results, and an environment may print
    threading.Thread(target=_die_with_parent, daemon=True).start()
    folder = RunFolder(path)
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
            spec, folder, runtime, source=source, watch=watch, should_stop=should_stop
        )
        _send(connection, Message("done", result))
    except Stopped:
        _send(connection, Message("stopped", None))
    except Exception as error:  # noqa: BLE001 - the other runs continue after any error
        folder.fail(traceback.format_exc())
        _send(connection, Message("failed", one_line(error)))


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
