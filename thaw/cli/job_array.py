"""``thaw run-one`` and the job arrays of ``thaw plan``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from thaw.cli.output import prints_on_stderr, say
from thaw.cli.parsing import Device, Folder, StallSeconds, TrustCode
from thaw.config.errors import InputError, check_above_zero, check_at_least
from thaw.config.runtime import STALL_SECONDS, Runtime
from thaw.config.suite import Suite
from thaw.experiment.job_array import NOT_YET, commands, write_slurm
from thaw.experiment.suite_folder import SuiteFolder


def run_one(
    folder: Positional[Folder],
    key: Positional[Annotated[str | None, tyro.conf.arg(metavar="KEY")]] = None,
    *,
    index: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    trust_code: TrustCode = False,
    device: Device = "auto",
    threads: int = 1,
    stall_seconds: StallSeconds = STALL_SECONDS,
) -> int:
    """Execute one run of a suite's folder, or continue it. It does no harm to start it twice.

    The exit status is 0 if the run is done, 75 if it is to be started again (it was stopped by a
    signal and saved, or its pretraining is not done), and 1 if it failed.

    Args:
        folder: The suite's folder; `thaw plan SUITE --out DIR` and `thaw run` make one.
        key: Which run, as `thaw status` names it.
        index: Its place in the plan from 0, in place of KEY.
        trust_code: Execute the code that the suite names. Only for folders that you trust.
        device: Where the network computes.
        threads: Threads of the network on a CPU.
        stall_seconds: End the run if it makes no progress for this long.
    """
    from thaw.experiment.one_run import run_one as execute_one

    check_above_zero("--stall-seconds", stall_seconds)
    runtime = Runtime(device=device, num_threads=threads, stall_seconds=stall_seconds)
    with prints_on_stderr():
        outcome = execute_one(folder, key=key, index=index, runtime=runtime, trust_code=trust_code)
    say(f"{outcome.key}: {outcome.message}")
    return {"done": 0, "failed": 1}.get(outcome.status, NOT_YET)


def write_jobs(
    suite: Suite, out: Path | None, *, slurm: bool, sbatch: Sequence[str], array_limit: int
) -> int:
    """Make a suite's folder, then print its commands or write SLURM's scripts.

    Raises:
        InputError: No folder, or one of another suite.
    """
    from thaw.experiment.execute import prepare

    if out is None:
        raise InputError("--list and --slurm need --out DIR: the folder that all machines mount")
    check_at_least("--array-limit", array_limit, 1)
    with prints_on_stderr():
        planned = prepare(suite, out, "cpu")
    folder = SuiteFolder(out)
    if not slurm:
        for line in commands(planned, folder, ["thaw"]):
            print(line)
        return 0
    script = write_slurm(planned, folder, ["thaw"], sbatch, array_limit)
    say(f"{len(planned.runs)} runs; submit them with: sh {script}")
    return 0
