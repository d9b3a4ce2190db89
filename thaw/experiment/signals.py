"""Signals that stop thaw: the first one saves and stops, a second one ends it at once.

Only Python's standard library is imported here, so that the program listens from its beginning.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from thaw.experiment.process_tree import descendants, kill

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Ctrl-C, `kill`, a closed terminal, and the two by which a cluster warns of its time limit."""

REPEAT_SECONDS = 0.5
"""A signal that follows sooner is part of the same request: `timeout` sends one to the process and
one to its group."""

SHOW_CURSOR = "\x1b[?25h"

Handler = Callable[[int, FrameType | None], Any]


class StopRequest:
    """What the signals that have arrived ask for. Call it as a signal's handler."""

    def __init__(self) -> None:
        self.signum: int | None = None
        """The first signal; None: go on."""
        self.is_urgent = False
        """Whether a second one has arrived: do not wait for anything."""
        self.since = 0.0

    def __call__(self, signum: int, frame: FrameType | None = None) -> None:
        """Take one signal in."""
        del frame
        if signum == signal.SIGHUP:
            drop_dead_terminal()
        now = time.monotonic()
        if self.signum is None:
            self.signum, self.since = signum, now
        elif now - self.since >= REPEAT_SECONDS:
            self.is_urgent = True


def set_handlers(handler: Handler) -> dict[signal.Signals, Any]:
    """Let a function handle the signals that stop thaw, and return the handlers before it.

    Under `nohup`, SIGHUP stays ignored. Only the main thread can set handlers; another one keeps
    those that are there.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    before = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
    if before[signal.SIGHUP] == signal.SIG_IGN:
        del before[signal.SIGHUP]
    for signum in before:
        signal.signal(signum, handler)
    return before


@contextmanager
def handled(handler: Handler) -> Iterator[None]:
    """Let a function handle the signals that stop thaw, for a while."""
    before = set_handlers(handler)
    try:
        yield
    finally:
        for signum, earlier in before.items():
            signal.signal(signum, earlier)


@contextmanager
def handled_even_if_hung(request: StopRequest) -> Iterator[None]:
    """Give signals to a request; a second one ends the process, whatever it is busy with.

    Python's handlers wait until the main thread is back from C code, and an environment may never
    come back. So a thread of its own reads the signals too.
    """
    seen = StopRequest()
    receiving, sending = os.pipe()
    os.set_blocking(sending, False)

    def listen() -> None:
        while number := os.read(receiving, 1):
            if number[0] in STOP_SIGNALS:
                seen(number[0])
            if seen.is_urgent and seen.signum is not None:
                end_unsaved(seen.signum)
        os.close(receiving)

    def handle(signum: int, frame: FrameType | None) -> None:
        request(signum, frame)
        if request.is_urgent and request.signum is not None:
            time.sleep(REPEAT_SECONDS)  # the thread ends the process meanwhile, unless a library
            end_unsaved(request.signum)  # has taken its pipe away

    threading.Thread(target=listen, name="signals", daemon=True).start()
    earlier = signal.set_wakeup_fd(sending, warn_on_full_buffer=False)
    try:
        with handled(handle):
            yield
    finally:
        signal.set_wakeup_fd(earlier)
        os.close(sending)


def leave_at_once(signum: int, frame: FrameType | None = None) -> NoReturn:
    """Handle a signal while nothing is under way that could be saved.

    Without an exception: one that is raised in the middle of an import may be lost.
    """
    del frame
    name = signal.Signals(signum).name
    end(f"thaw: stopped by {name}; the same command continues", 128 + signum)


def end_unsaved(signum: int) -> NoReturn:
    """End this process and all that it has started."""
    end(
        "thaw: stopped by a second signal; what came after the last checkpoint is not saved; the "
        "same command continues",
        128 + signum,
    )


def end(line: str, exit_status: int) -> NoReturn:
    """Write a line to standard error; end this process and everything that it has started."""
    started = descendants(os.getpid())
    try:
        cursor = SHOW_CURSOR if os.isatty(2) else ""  # a bar has hidden it
        with suppress(OSError):
            os.write(2, f"{cursor}{line}\n".encode())
    finally:
        # At the very end: an environment that waits for its program would print a traceback.
        kill(started)
        os._exit(exit_status)


def drop_dead_terminal() -> None:
    """Let output go nowhere if its terminal is gone: every write to it would raise."""
    for number in (1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(number).st_mode) and not os.isatty(number):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)


@contextmanager
def blocked() -> Iterator[None]:
    """Start processes for which the signals that stop thaw wait until they unblock them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
