"""The command line: the table of commands, and what an error becomes.

Each command imports what is heavy when it runs, so that help comes at once. Exit status: 0 all
done; 1 a run failed, or a file could not be read or written; 2 the input was wrong (one line says
what, what is allowed and how to fix it); 130 or 143 interrupted and saved.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import thaw
from thaw.cli.benchmark import bench
from thaw.cli.environments import flavors, gallery
from thaw.cli.output import say
from thaw.cli.parsing import Commands, parse_and_run
from thaw.cli.runs import evaluate, record, train, transfer
from thaw.cli.suites import plan, report, run, status, watch
from thaw.config.errors import InputError, NotFinite

COMMANDS: Commands = {
    "run": run,
    "plan": plan,
    "status": status,
    "watch": watch,
    "report": report,
    "train": train,
    "transfer": transfer,
    "evaluate": evaluate,
    "record": record,
    "flavors": flavors,
    "gallery": gallery,
    "bench": bench,
}


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
    except KeyboardInterrupt:
        return 130
    return exit_status
