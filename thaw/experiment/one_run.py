"""One run of a suite at a time, for the job arrays of any scheduler."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Literal, NamedTuple

from thaw.config.errors import InputError, nearest, one_line
from thaw.config.runtime import Runtime
from thaw.config.trust import check_code, code_named_in
from thaw.experiment.plan import Plan, PlannedRun
from thaw.experiment.single import run_alone
from thaw.experiment.suite_folder import SuiteFolder
from thaw.files.attempts import read_attempts
from thaw.files.ownership import LEASE_SECONDS
from thaw.training.attempt import record_failure

OneStatus = Literal["done", "not ready", "stopped", "failed"]


class OneRun(NamedTuple):
    """How one run stands after a call of :func:`run_one`."""

    key: str
    status: OneStatus
    message: str
    """What happened, in one line."""


def run_one(
    folder: str | Path, *, key: str | None, index: int | None, runtime: Runtime, trust_code: bool
) -> OneRun:
    """Execute one run of a suite's folder in this process, or continue it.

    It can be started twice, at the same time and on two machines: a run that is done is left alone,
    and a run that another process owns is waited for as long as a silent owner keeps its lease.

    Args:
        folder: The suite's folder, with suite.yaml.
        key: The run's key, as ``thaw plan`` prints it.
        index: Its place in the plan from 0, in place of the key.
        runtime: Device, threads, cadence.
        trust_code: Import, call and start what suite.yaml names (SECURITY.md).

    Raises:
        InputError: The folder, the key or the index is wrong, suite.yaml names code without
            permission, or another process owns the run.
    """
    suite_folder = SuiteFolder(folder)
    planned = suite_folder.plan()
    run = find_run(planned, key, index)
    if not trust_code:
        named = code_named_in(planned.suite)
        check_code(str(suite_folder.suite_yaml), named, (), "add --trust-code")
    run_folder = suite_folder.run_folder(run)
    if run_folder.is_done:
        return OneRun(run.key, "done", "was done already")
    if run.source_key is not None and not suite_folder.run_folder(run.source_key).is_done:
        return OneRun(run.key, "not ready", f"waits for {run.source_key}")
    before = len(read_attempts(run_folder.path))
    try:
        outcome = run_alone(
            run.spec,
            run_folder,
            runtime=runtime,
            source=suite_folder.source_of(run),
            wait_seconds=1.5 * LEASE_SECONDS,
            where="run-one",
        )
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - its traceback is kept, as `thaw run` does
        run_folder.fail(traceback.format_exc())
        record_failure(run_folder, "run-one", error, before)
        return OneRun(run.key, "failed", one_line(error))
    if outcome.stopped_by is not None:
        return OneRun(run.key, "stopped", "saved; the same command continues")
    return OneRun(run.key, "done", "done")


def find_run(planned: Plan, key: str | None, index: int | None) -> PlannedRun:
    """Return the run with a key, or at a place of the plan.

    Raises:
        InputError: There is none, or not exactly one of the two was given.
    """
    if (key is None) == (index is None):
        raise InputError("name one run: give either KEY or --index N, as `thaw plan` lists them")
    if index is not None:
        if not 0 <= index < len(planned.runs):
            raise InputError(f"--index {index}: the plan's runs are 0 to {len(planned.runs) - 1}")
        return planned.runs[index]
    assert key is not None
    found = {run.key: run for run in planned.runs}
    if key not in found:
        raise InputError(f"unknown run '{key}'{nearest(key, found)} `thaw status` lists the keys")
    return found[key]
