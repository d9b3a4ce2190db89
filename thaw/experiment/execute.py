"""Execute a suite on this machine. Start reading here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
import torch

from thaw.acting.remote.ray_session import resolve_address
from thaw.config.errors import InputError
from thaw.config.runtime import Runtime, num_cores
from thaw.config.strict import from_plain, to_plain
from thaw.config.suite import Suite
from thaw.experiment.check import canonical_suite, check_suite
from thaw.experiment.driver import Driver, Summary
from thaw.experiment.executors.executor import Executor
from thaw.experiment.executors.local_executor import LocalExecutor
from thaw.experiment.executors.on_ray.executor import RayExecutor, RoomHere
from thaw.experiment.plan import Plan, describe_selection, plan, select
from thaw.experiment.results import derive_results, write_results
from thaw.experiment.screens import draw_pictures
from thaw.experiment.sources import find_source, with_sources
from thaw.experiment.suite_folder import SuiteFolder
from thaw.experiment.suites import load_suite_to_execute
from thaw.files.checkpoint import read_description
from thaw.files.ownership import Lost, Ownership, owned
from thaw.policy.precision import resolve_precision
from thaw.policy.timm_embedding import with_checksum
from thaw.training.build import check_policy, check_same_spaces
from thaw.training.machine import resolve_device

ExecutorName = Literal["local", "ray"]


def run(
    suite: Suite | str,
    out: str | Path,
    *,
    overrides: Iterable[str] = (),
    num_workers: int | None = None,
    runtime: Runtime | None = None,
    trust_code: bool = False,
    executor: ExecutorName = "local",
    only: str | None = None,
    retry_failed: bool = False,
) -> Summary:
    """Execute a suite, or continue it, and derive its tables.

    Runs are processes: in a script, call this below ``if __name__ == "__main__":``.

    Args:
        suite: A Suite, a built-in name, a YAML file or ``module:function``.
        out: The suite's folder.
        overrides: ``dotted.key=value`` items that replace the suite's own values.
        num_workers: How many runs execute at once; by default one for each core, a few on a GPU.
        runtime: Device and how often to save, the address of a Ray cluster; decides no result.
        trust_code: Import, call and start what a YAML file names (SECURITY.md). A Suite object
            and a ``module:function`` are the caller's own code and need no permission.
        executor: Where runs execute: ``local`` is processes of this machine, ``ray`` is Ray.
        only: A glob pattern of the keys of runs that are to be done, as ``*/scratch/*``; their
            pretrainings are done too.
        retry_failed: Try runs again that failed for good in an earlier call.

    Raises:
        InputError: The suite or the folder is wrong, or a file names code without permission;
            nothing is written then.
    """
    if isinstance(suite, Suite):
        suite = from_plain(to_plain(suite), Suite, suite.name)  # validate what code has built
    else:
        suite = load_suite_to_execute(
            suite, overrides, trust_code=trust_code, how="pass trust_code=True"
        )
    return execute(
        suite,
        out,
        num_workers=num_workers,
        runtime=runtime or Runtime(),
        executor=executor,
        only=only,
        retry_failed=retry_failed,
    )


def execute(
    suite: Suite,
    out: str | Path,
    *,
    num_workers: int | None,
    runtime: Runtime,
    executor: ExecutorName = "local",
    only: str | None = None,
    retry_failed: bool = False,
) -> Summary:
    """Execute all runs of a suite that are not done yet, then derive its tables.

    A pretraining is done before the runs that start from it. If a run fails, its traceback goes to
    its folder and the others continue. A signal saves and stops all runs
    (:mod:`thaw.experiment.signals`); then the tables are left to the next call.

    Args:
        suite: What is to be executed.
        out: The suite's folder.
        num_workers: How many runs execute at once; None: one for each core, a few on a GPU.
        runtime: Device, threads, cadence of each run.
        executor: Where runs execute.
        only: A glob pattern of the keys that are to be done; None: all.
        retry_failed: Try runs again that failed for good in an earlier call.

    Raises:
        InputError: The suite or the folder is wrong; nothing is written then.
    """
    if num_workers is not None and num_workers < 1:
        raise InputError(f"--workers is {num_workers}; it must be at least 1")
    device = device_of(executor, runtime)
    folder = SuiteFolder(out)
    planned = _planned(suite, folder, device)
    chosen = planned if only is None else select(planned, only)
    notice = "" if only is None else describe_selection(planned, chosen, only)
    # Several runs with one thread each are faster than one run after the other with all threads.
    settings = msgspec.structs.replace(runtime, device=device, num_threads=1)
    place = make_executor(executor, planned, folder, num_workers, settings)
    with _owned(folder.path) as owner:
        folder.begin(planned.suite)
        driver = Driver(
            chosen, folder, place, retry_failed=retry_failed, notice=notice, check=owner.check
        )
        done_before = len(driver.done)
        summary = driver.run_all()
        if summary.stopped_by is None:  # else return at once; the next call derives them
            results = derive_results(folder, planned)
            write_results(folder, results)
            summary = summary._replace(results=results)
            if len(summary.done) > done_before and not summary.failed:
                draw_pictures(planned.suite, folder.path)
    return summary


@contextmanager
def _owned(path: Path) -> Iterator[Ownership]:
    """Own a suite's folder; while this lasts no other `thaw run` works there, on any machine.

    Raises:
        InputError: Another one does, or has taken the folder while this one was silent.
    """
    try:
        with owned(path) as owner:
            yield owner
    except Lost as error:
        raise InputError(str(error)) from None


def device_of(executor: ExecutorName, runtime: Runtime) -> str:
    """Return the device on which runs compute.

    On a cluster, that is a device of other machines, so this one is not asked: ``auto`` is the CPU.

    Raises:
        InputError: There is no such device.
    """
    name = runtime.device
    if executor == "ray" and name not in ("auto", "cpu", "cuda"):
        raise InputError(
            f"--device {name}: with --executor ray, say cpu or cuda; Ray chooses which one"
        )
    if executor == "ray" and resolve_address(runtime.ray_address) != "local":
        return "cuda" if name == "cuda" else "cpu"
    return str(resolve_device(name))


def make_executor(
    name: ExecutorName,
    planned: Plan,
    folder: SuiteFolder,
    num_workers: int | None,
    runtime: Runtime,
) -> Executor:
    """Return where the runs of a plan execute.

    Args:
        name: As in ``thaw run --executor NAME``; ``local`` is in processes on this machine.
        planned: The runs.
        folder: The suite's folder.
        num_workers: How many execute at once; None: as many as there is room for.
        runtime: Device, threads, cadence of each run.

    Raises:
        InputError: Ray is not installed, there is no cluster, or the runs need Ray themselves.
    """
    match name:
        case "local":
            room = num_workers or default_num_workers(runtime.device)
            return LocalExecutor(planned.suite.agent, room, runtime)
        case "ray":
            if planned.suite.agent.clock == "asynchronous":
                raise InputError(
                    "--executor ray gives each run one CPU, and agent.clock asynchronous has "
                    "actors on more; use --executor local, or the clock lockstep or overlapped"
                )
            return RayExecutor(
                planned.suite,
                folder.path,
                num_workers=num_workers,
                here=room_here(num_workers, runtime),
                runtime=runtime,
            )


def room_here(num_workers: int | None, runtime: Runtime) -> RoomHere:
    """Return what a Ray has that is started on this machine."""
    if runtime.device != "cuda":
        return RoomHere(num_workers or num_cores(), 0)
    num_gpus = torch.cuda.device_count()
    return RoomHere(num_workers or num_gpus * runtime.runs_per_gpu, num_gpus)


def prepare(suite: Suite, out: str | Path, device: str) -> Plan:
    """Make a suite's folder without executing a run, and return its plan.

    Args:
        suite: What is to be executed.
        out: The suite's folder; one of the same suite stays valid.
        device: Where the networks will compute; decides what ``precision: auto`` means.

    Raises:
        InputError: The suite or the folder is wrong; nothing is written then.
    """
    if suite.racing is not None:
        raise InputError(
            "a race decides while it runs which runs come next, so it cannot be listed beforehand; "
            "use `thaw run`, or leave racing out"
        )
    folder = SuiteFolder(out)
    planned = _planned(suite, folder, str(resolve_device(device)))
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.begin(planned.suite)
    return planned


def _planned(suite: Suite, folder: SuiteFolder, device: str) -> Plan:
    """Check a suite and its folder, and return its runs with all values resolved."""
    suite = with_sources(canonical_suite(suite))
    spaces = check_suite(suite)
    for transfer in suite.transfers:
        for seed in suite.seed_list:
            if checkpoint := suite.checkpoint_of(transfer.source, seed):
                described = read_description(find_source(checkpoint))
                there = spaces[transfer.source]
                check_same_spaces(described, there, checkpoint, transfer.source)
    observation_shape = spaces[suite.transfers[0].source].observation_shape
    check_policies(suite, observation_shape)
    planned = plan(resolve_suite(suite, folder, observation_shape, device))
    folder.check(planned)
    folder.check_race(planned.suite)
    return planned


def check_policies(suite: Suite, observation_shape: tuple[int, ...]) -> None:
    """Build the suite's network once and apply each of its rules.

    Raises:
        InputError: The network does not fit the observations, or a rule names a part that the
            network does not have.
    """
    rules = [suite.rule(condition) for condition in suite.conditions]
    there = [rule for rule in rules if rule is not None]
    check_policy(observation_shape, suite.agent, there, suite.transfer_steps)


def resolve_suite(
    suite: Suite, folder: SuiteFolder, observation_shape: tuple[int, ...], device: str
) -> Suite:
    """Resolve ``precision: auto``: as in the folder's earlier runs, else by the rule.

    Raises:
        InputError: The rule asks a GPU, and this machine has none: only others have.
    """
    agent = suite.agent
    if agent.precision == "auto" and folder.suite_yaml.is_file():
        earlier = folder.suite().agent.precision
        agent = msgspec.structs.replace(agent, precision=earlier)
    if agent.precision == "auto" and device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "agent.precision is auto, which asks the GPU, and this machine has none; add --set "
            "agent.precision=bfloat16, or float32 for GPUs before compute capability 8.0"
        )
    agent = resolve_precision(with_checksum(agent), observation_shape, torch.device(device))
    return msgspec.structs.replace(suite, agent=agent)


def default_num_workers(device: str) -> int:
    """Return how many runs execute at once: one for each core, on a GPU at most four."""
    return min(4, num_cores()) if device.startswith("cuda") else num_cores()
