"""The program: what a signal and an error become. :mod:`thaw.cli.commands` has the commands.

Each command imports what is heavy when it runs, so that help comes at once. Exit status: 0 all
done; 1 a run failed, or a file could not be read or written; 2 the input was wrong (one line says
what, what is allowed and how to fix it); 128 + its number after a signal, with the active runs
saved: 130 SIGINT (Ctrl-C), 143 SIGTERM, 129 SIGHUP, and on Linux 138 SIGUSR1, 140 SIGUSR2.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import thaw
from thaw.experiment.signals import leave_at_once, set_handlers

SAVING_COMMANDS = ("run", "train", "transfer")
"""A signal lets them save and stop."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The command and its arguments; None takes those of the process.

    Returns:
        The exit status.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments == ["--version"]:
        print(f"thaw {thaw.__version__}")
        return 0
    if arguments and arguments[0] in SAVING_COMMANDS:
        set_handlers(leave_at_once)  # before the imports, which take seconds
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return 130


def _run(arguments: list[str]) -> int:
    """Import the commands, run one, and return the exit status."""
    from thaw.cli.commands import COMMANDS
    from thaw.cli.output import say
    from thaw.cli.parsing import parse_and_run
    from thaw.config.errors import InputError, NotFinite

    # A module:function of the user may be in the working folder, as with `python -m`.
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        exit_status = parse_and_run(COMMANDS, arguments)
        sys.stdout.flush()  # raises here if the reader has left (`thaw plan SUITE | head`)
    except InputError as error:
        say("thaw: " + " ".join(str(error).split()))
        return 2
    except BrokenPipeError:
        # Python flushes once more at exit; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, NotFinite) as error:
        say(f"thaw: {error}")
        return 1
    return exit_status
