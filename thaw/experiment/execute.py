"""Execute a suite on this machine. Start reading here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import torch

from thaw.config.errors import InputError
from thaw.config.runtime import Runtime, num_cores
from thaw.config.strict import from_plain, to_plain
from thaw.config.suite import Suite
from thaw.experiment.check import check_suite
from thaw.experiment.processes import Executor, Summary
from thaw.experiment.results import derive_results
from thaw.experiment.suite_folder import SuiteFolder
from thaw.experiment.suites import load_suite_to_execute
from thaw.files.atomic import locked
from thaw.policy.precision import settle_precision
from thaw.training.build import check_policy
from thaw.training.machine import resolve_device


def run(
    suite: Suite | str,
    out: str | Path,
    *,
    overrides: Iterable[str] = (),
    num_workers: int | None = None,
    runtime: Runtime | None = None,
    trust_code: bool = False,
) -> Summary:
    """Execute a suite on this machine, or go on with it, and derive its tables.

    Runs are processes: in a script, call it below ``if __name__ == "__main__":``.

    Args:
        suite: A Suite, a built-in name, a YAML file or ``module:function``.
        out: The suite's folder.
        overrides: ``dotted.key=value`` items that win over the suite.
        num_workers: Runs at once; by default one for each core, or a few on a GPU.
        runtime: Device and cadence; decides no result.
        trust_code: Import, call and start what a YAML file names (SECURITY.md). A Suite object
            and a ``module:function`` are the caller's own code and need no permission.

    Raises:
        InputError: Anything wrong with the suite or the folder, or a file that names code without
            permission; nothing is written then.
    """
    if isinstance(suite, Suite):
        suite = from_plain(to_plain(suite), Suite, suite.name)  # validate what code has built
    else:
        suite = load_suite_to_execute(
            suite, overrides, trust_code=trust_code, how="pass trust_code=True"
        )
    return execute(suite, out, num_workers=num_workers, runtime=runtime or Runtime())


def execute(suite: Suite, out: str | Path, *, num_workers: int | None, runtime: Runtime) -> Summary:
    """Do all runs of a suite that are not done yet, then derive its tables.

    A pretraining is done before what starts from it; a run that fails keeps its traceback in
    its folder while the others go on; a signal saves and stops (:mod:`thaw.experiment.signals`),
    and then the tables are left to the next call.

    Raises:
        InputError: Anything wrong with suite or folder; nothing is written then.
    """
    spaces = check_suite(suite)
    device = str(resolve_device(runtime.device))
    observation_shape = spaces[suite.transfers[0].source].observation_shape
    check_policies(suite, observation_shape)
    if num_workers is not None and num_workers < 1:
        raise InputError(f"--workers is {num_workers}; it must be at least 1")
    if num_workers is None:
        num_workers = default_num_workers(device)
    folder = SuiteFolder(out)
    suite = settle_suite(suite, folder, observation_shape, device)
    folder.check(suite)
    # Threads belong to runs, not to cores: packed runs with one thread each beat one with all.
    settings = msgspec.structs.replace(runtime, device=device, num_threads=1)
    with locked(folder.path):
        folder.begin(suite)
        summary = Executor(suite, folder, num_workers, settings).execute()
        if summary.stopped_by is None:  # else leave at once; the next call derives them
            derive_results(folder)
    return summary


def check_policies(suite: Suite, observation_shape: tuple[int, ...]) -> None:
    """Build the suite's network once and name every part of its rules.

    Raises:
        InputError: The network does not fit the observations, or a rule names no part of it.
    """
    rules = [suite.rule(condition) for condition in suite.conditions]
    check_policy(observation_shape, suite.agent, [rule for rule in rules if rule is not None])


def settle_suite(
    suite: Suite, folder: SuiteFolder, observation_shape: tuple[int, ...], device: str
) -> Suite:
    """Settle ``precision: auto``: as in the folder's earlier runs, else by measurement."""
    agent = suite.agent
    if agent.precision == "auto" and folder.suite_yaml.is_file():
        earlier = folder.suite().agent.precision
        agent = msgspec.structs.replace(agent, precision=earlier)
    agent = settle_precision(agent, observation_shape, torch.device(device))
    return msgspec.structs.replace(suite, agent=agent)


def default_num_workers(device: str) -> int:
    """One run for each core; on a GPU, runs share it four at a time."""
    return min(4, num_cores()) if device.startswith("cuda") else num_cores()
