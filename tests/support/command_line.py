"""The installed command as a user calls it, and a suite that takes seconds."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

TINY = """\
name: tiny
transfers:
  - {source: catch, target: catch@large_ball}
seeds: 1
pretrain_steps: 400
transfer_steps: 360
environment: {num_envs: 4, downsample: 16, frames_per_step: 8}
agent: {embedding: impala_shallow, unroll_length: 10, lstm_size: 16, fc_size: 16}
evaluation: {episodes: 4}
report: {num_bins: 4}
"""
"""All six conditions, in seconds."""


class Spoken(NamedTuple):
    """Exit status and output of a command."""

    status: int
    out: str
    err: str


Say = Callable[..., Spoken]
"""The fixture ``say``: a command in this process."""


def thaw_process(*arguments: object, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """Start the installed command in a new process group, with its output piped."""
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("thaw")), *map(str, arguments)],
        cwd=cwd,
        env=_extended(os.environ | {"OMP_NUM_THREADS": "1"}, environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _extended(here: dict[str, str], more: dict[str, str]) -> dict[str, str]:
    """Return both; PYTHONPATH gets longer, so that it still leads to the thaw under test."""
    paths = [env["PYTHONPATH"] for env in (more, here) if "PYTHONPATH" in env]
    return here | more | ({"PYTHONPATH": os.pathsep.join(paths)} if paths else {})


def thaw_command(*arguments: object, cwd: Path, **environment: str) -> Spoken:
    """Run the installed command to its end."""
    with thaw_process(*arguments, cwd=cwd, **environment) as process:
        out, err = process.communicate(timeout=240)
    return Spoken(process.returncode, out, err)


def thaw_here(*arguments: object, cwd: Path) -> Spoken:
    """Run a command in this process, which has imported torch already, and started a fork server.

    Runs that such a server starts see the environment variables of its own start.
    """
    from thaw.cli.main import main
    from thaw.experiment.signals import STOP_SIGNALS

    out, err = io.StringIO(), io.StringIO()
    handlers, path = {s: signal.getsignal(s) for s in STOP_SIGNALS}, list(sys.path)
    try:
        with chdir(cwd), redirect_stdout(out), redirect_stderr(err):
            status = main([str(argument) for argument in arguments])
    finally:
        sys.path[:] = path
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
    return Spoken(status, out.getvalue(), err.getvalue())


def listing(folder: Path) -> dict[str, bytes | None]:
    """Return every file below a folder with its content, to see that nothing was written."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }
