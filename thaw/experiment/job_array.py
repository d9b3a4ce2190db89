"""Writes a suite as the job arrays of SLURM, or as plain commands for any other scheduler.

Nothing here submits a job. Each task of an array is ``thaw run-one DIR --index N``, which may be
started twice: so a task that was requeued, or an array that was submitted twice, does no harm.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from thaw.experiment.plan import Plan
from thaw.experiment.suite_folder import SuiteFolder
from thaw.files.atomic import write_files

NOT_YET = 75
"""The exit status of ``thaw run-one`` for "start me again": sysexits' EX_TEMPFAIL."""

LARGEST_ARRAY = 1000
"""Tasks of one array: SLURM's MaxArraySize is 1001 unless a site changes it."""

WARNING_SECONDS = 120
"""SLURM signals a task this long before its time is over, so that it saves."""


def commands(planned: Plan, folder: SuiteFolder, program: Sequence[str]) -> Iterator[str]:
    """Yield the shell command of each run; those of pretrainings come first.

    Args:
        planned: The suite's runs.
        folder: The suite's folder.
        program: How thaw is called, as in ``["thaw"]``.
    """
    for run in planned.runs:
        yield shlex.join([*program, "run-one", str(folder.path.resolve()), run.key])


def write_slurm(
    planned: Plan,
    folder: SuiteFolder,
    program: Sequence[str],
    options: Sequence[str] = (),
    largest_array: int = LARGEST_ARRAY,
) -> Path:
    """Write the arrays and the script that submits them.

    Args:
        planned: The suite's runs.
        folder: The suite's folder.
        program: How thaw is called on the nodes.
        options: More ``#SBATCH`` options, as in ``time=04:00:00``.
        largest_array: Tasks of one array at most.

    Returns:
        ``DIR/slurm/submit.sh``: pretrainings, then the others after all of them.

    Raises:
        WriteFailed: Disk full and the like.
    """
    place = folder.path / "slurm"
    (place / "logs").mkdir(parents=True, exist_ok=True)
    num_first = sum(run.spec.condition == "pretrain" for run in planned.runs)
    files: dict[str, bytes] = {}
    submit = ["#!/bin/sh", "# Submits the suite. Submitting it again does no harm.", "set -eu"]
    depends = ""
    for name, start, end in (
        ("pretrain", 0, num_first),
        ("transfer", num_first, len(planned.runs)),
    ):
        jobs = []
        for part, first in enumerate(range(start, end, largest_array)):
            last = min(first + largest_array, end) - 1
            file, variable = f"{name}-{part}.sbatch", f"{name}_{part}"
            body = _task(planned.suite.name, place, program, options, first, last)
            files[file] = body.encode()
            path = shlex.quote(str((place / file).resolve()))
            submit.append(f"{variable}=$(sbatch --parsable{depends} {path})")
            submit.append(f'echo "{name}, runs {first} to {last}: job ${variable}"')
            jobs.append(f"${{{variable}%%;*}}")
        if jobs:
            depends = f" --dependency=afterok:{':'.join(jobs)}"
    files["submit.sh"] = ("\n".join(submit) + "\n").encode()
    write_files(place, files)
    return place / "submit.sh"


def _task(
    name: str, place: Path, program: Sequence[str], options: Sequence[str], first: int, last: int
) -> str:
    """Return the script of one array."""
    logs = place.resolve() / "logs"
    command = shlex.join([*program, "run-one", str(place.resolve().parent)])
    head = [
        f"--job-name={name}",
        f"--array=0-{last - first}",
        f"--output={logs}/%A_%a.log",
        "--open-mode=append",
        "--requeue",
        f"--signal=B:USR1@{WARNING_SECONDS}",
        "--cpus-per-task=1",
        *(f"--{option.lstrip('-')}" for option in options),
    ]
    lines = "\n".join(f"#SBATCH {option}" for option in head)
    return f"""#!/bin/sh
{lines}
# Before its time is over, SLURM sends SIGUSR1 to this shell, which passes it on. The run saves and
# ends with {NOT_YET}; a run that has only begun to load ends with 138. Then this task, and no other
# of the array, is queued again. After SIGTERM it is not: `scancel` sends that. A preempted task is
# queued again by SLURM itself.
child=
told=
trap 'told=USR1; kill -USR1 "$child" 2>/dev/null' USR1
trap 'told=TERM; kill -TERM "$child" 2>/dev/null' TERM
{command} --index $((SLURM_ARRAY_TASK_ID + {first})) &
child=$!
[ -z "$told" ] || kill "-$told" "$child" 2>/dev/null  # it came before the line above
code=0
wait "$child" || code=$?
while kill -0 "$child" 2>/dev/null; do  # a signal has ended the first wait
    code=0
    wait "$child" || code=$?
done
case "$code" in
{NOT_YET} | 138)
    [ "$told" = TERM ] || scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
    ;;
esac
exit "$code"
"""
