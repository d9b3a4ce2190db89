"""The command line. Everything heavy is imported by the command that needs it.

Exit status: 0 all done; 1 a run failed; 2 the input was wrong (one line says what, what is
allowed and how to fix it); 128 + the signal's number stopped by a signal, what was under way is
saved: 129 SIGHUP, 130 SIGINT (Ctrl-C), 138 SIGUSR1, 140 SIGUSR2, 143 SIGTERM.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from thaw.experiment.signals import leave_at_once, set_handlers

SAVING_COMMANDS = ("run", "train", "transfer")
"""Those that a signal lets save and stop."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words and words[0] in SAVING_COMMANDS:
        set_handlers(leave_at_once)  # first of all: imports take seconds
    try:
        return _run(words)
    except KeyboardInterrupt:
        return 130


def _run(words: list[str]) -> int:
    """Import the commands, run one and return the exit status."""
    from thaw.cli.commands import COMMANDS
    from thaw.cli.output import say
    from thaw.cli.parsing import parse_and_run
    from thaw.config.errors import InputError

    # A user's module:function may lie in the working folder, as with `python -m`.
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        exit_status = parse_and_run(COMMANDS, words)
        sys.stdout.flush()  # a reader that left early (`| head`) is found out here
    except InputError as error:
        say("thaw: " + " ".join(str(error).split()))
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own flush
        return 1
    except OSError as error:
        say(f"thaw: {error}")
        return 1
    return exit_status
