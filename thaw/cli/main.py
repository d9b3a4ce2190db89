"""The command line. Everything heavy is imported by the command that needs it.

Exit status: 0 all done; 1 a run failed; 2 the input was wrong (one line says what, what is
allowed and how to fix it); 130 or 143 interrupted and saved.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

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
    """Run one command and return the exit status."""
    # A user's module:function may lie in the working folder, as with `python -m`.
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        exit_status = parse_and_run(
            COMMANDS, sys.argv[1:] if arguments is None else list(arguments)
        )
        sys.stdout.flush()  # a reader that left early (`| head`) is found out here
    except InputError as error:
        say("thaw: " + " ".join(str(error).split()))
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own flush
        return 1
    except (OSError, NotFinite) as error:
        say(f"thaw: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return exit_status
