"""``thaw run``, ``plan``, ``status`` and ``watch``: whole suites."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import tyro
from tyro.conf import Positional

from thaw.cli.output import print_json, prints_on_stderr, say
from thaw.cli.parsing import (
    WITH_TRUST,
    Device,
    Folder,
    Json,
    Number,
    Set,
    StallSeconds,
    SuiteName,
    TrustCode,
)
from thaw.cli.reports import print_report
from thaw.config.errors import InputError, check_above_zero, check_at_least
from thaw.config.racing import RacingConfig
from thaw.config.runtime import STALL_SECONDS, Runtime
from thaw.config.strict import to_yaml
from thaw.config.suite import Suite
from thaw.experiment.job_array import LARGEST_ARRAY
from thaw.experiment.reporting import report_suite
from thaw.experiment.suites import load_suite_to_execute
from thaw.files.run_folder import LOG

ALWAYS = ("done", "failed", "running", "waiting")
SOMETIMES = ("stopped", "blocked", "damaged")
"""The words of `thaw status`; the second ones are left out of its last line if there is none."""

Race = Annotated[bool, tyro.conf.FlagCreatePairsOff]


def run(
    suite: Positional[SuiteName],
    *,
    out: Folder,
    overrides: Set = (),
    trust_code: TrustCode = False,
    seeds: Number = None,
    race: Race = False,
    executor: Literal["local", "ray"] = "local",
    ray_address: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT|auto")] = None,
    runs_per_gpu: Number = None,
    workers: Number = None,
    device: Device = "auto",
    stall_seconds: StallSeconds = STALL_SECONDS,
    only: Annotated[str | None, tyro.conf.arg(metavar="PATTERN")] = None,
    retry_failed: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
) -> int:
    """Execute a suite, or continue it, and write its report.

    Args:
        suite: A built-in suite, as catch-quick, or a .yaml file, or module:function.
        out: The suite's folder. The same command continues a stopped suite.
        overrides: Change one value of the suite, as in --set agent.discount=0.9.
        trust_code: Execute the code that the file names. Only for files that you trust.
        seeds: Short for --set seeds=N.
        race: Add seeds in blocks, and only where the verdict is open: looks at 3, 5, 8, 12 seeds.
        executor: Where runs execute: in processes on this machine, or as tasks on a Ray cluster.
        ray_address: The cluster of --executor ray. By default RAY_ADDRESS, else a Ray of its own.
        runs_per_gpu: With --executor ray --device cuda: how many runs share a GPU. By default 1.
        workers: How many runs execute at once. By default one for each core, at most 4 on a GPU.
        device: Where the networks compute.
        stall_seconds: Kill a run that makes no progress for this long, and start it once more.
        only: Do the runs whose keys match, as in --only '*/scratch/*', and their pretrainings.
        retry_failed: Try runs again that have failed. Without it they are listed.
    """
    from thaw.experiment.execute import execute

    check_above_zero("--stall-seconds", stall_seconds)
    check_at_least("--runs-per-gpu", runs_per_gpu, 1)
    if executor != "ray":
        for option, value in (("--ray-address", ray_address), ("--runs-per-gpu", runs_per_gpu)):
            if value is not None:
                raise InputError(f"{option} needs --executor ray")
    elif runs_per_gpu is not None and device != "cuda":
        raise InputError("--runs-per-gpu needs --device cuda: without it, runs compute on CPUs")
    runtime = Runtime(
        device=device,
        stall_seconds=stall_seconds,
        ray_address=ray_address,
        runs_per_gpu=runs_per_gpu or 1,
    )
    chosen = _with_race(
        load_suite_to_execute(
            suite, _with_seeds(overrides, seeds), trust_code=trust_code, how=WITH_TRUST
        ),
        race,
        seeds,
    )
    with prints_on_stderr():
        summary = execute(
            chosen,
            out,
            num_workers=workers,
            runtime=runtime,
            executor=executor,
            only=only,
            retry_failed=retry_failed,
        )
    for key, reason in summary.failed.items():
        run_folder = out / "runs" / key
        there = [str(run_folder / n) for n in ("error.txt", LOG) if (run_folder / n).exists()]
        say(f"FAILED {key}: {reason}" + (f" (see {' and '.join(there)})" if there else ""))
    if summary.stopped_by is None:
        for line in summary.stopped_races:
            say(line)
    if summary.failed and summary.stopped_by is None:
        for key in summary.not_run:
            say(f"not run {key}")
        say(f"{len(summary.failed)} failed; the same command with --retry-failed tries them again")
    if summary.stopped_by is not None:
        for key in summary.not_saved:
            say(f"not saved since its last checkpoint: {key}")
        how = "stopped" if summary.not_saved else "saved"
        say(f"{how}; {len(summary.not_run)} runs are left; the same command continues")
        return 128 + summary.stopped_by
    reported = report_suite(out, results=summary.results)
    print_report(reported.page, reported.verdicts, reported.left_out)
    return 1 if summary.failed or reported.left_out else 0


def plan(
    suite: Positional[SuiteName],
    *,
    overrides: Set = (),
    trust_code: TrustCode = False,
    seeds: Number = None,
    race: Race = False,
    workers: Number = None,
    as_json: Json = False,
    as_yaml: Annotated[bool, tyro.conf.arg(name="yaml"), tyro.conf.FlagCreatePairsOff] = False,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    as_list: Annotated[bool, tyro.conf.arg(name="list"), tyro.conf.FlagCreatePairsOff] = False,
    slurm: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    sbatch: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="OPTION")
    ] = (),
    array_limit: int = LARGEST_ARRAY,
) -> int:
    """Show the runs of a suite, their steps, and an estimate of time and disk.

    Args:
        suite: A built-in suite, a .yaml file, or module:function.
        overrides: As for `thaw run`.
        trust_code: Execute the code that the file names. Only for files that you trust.
        seeds: Short for --set seeds=N.
        race: As for `thaw run`.
        workers: How many runs execute at once, for the estimate. By default one for each core.
        as_json: Print one JSON document.
        as_yaml: Print the suite as a file that `thaw run` takes.
        out: Make the suite's folder, for --list and --slurm.
        as_list: Print the command of each run, for any scheduler; pretrainings come first.
        slurm: Write SLURM's job arrays, and DIR/slurm/submit.sh that submits them.
        sbatch: An option of each array, as in --sbatch time=04:00:00. (repeatable)
        array_limit: Tasks of one array at most; SLURM's MaxArraySize less one.
    """
    from thaw.experiment.check import canonical_suite, check_suite
    from thaw.experiment.estimate import estimate
    from thaw.experiment.plan import plan as make_plan

    check_at_least("--workers", workers, 1)
    chosen = _with_race(
        load_suite_to_execute(
            suite, _with_seeds(overrides, seeds), trust_code=trust_code, how=WITH_TRUST
        ),
        race,
        seeds,
    )
    if as_yaml:
        print(to_yaml(chosen), end="")
        return 0
    if as_list or slurm or out is not None:
        from thaw.cli.job_array import write_jobs

        return write_jobs(chosen, out, slurm=slurm, sbatch=sbatch, array_limit=array_limit)
    with prints_on_stderr():
        chosen = canonical_suite(chosen)
        planned = make_plan(chosen)
        spaces = check_suite(chosen)[chosen.transfers[0].source]
    cost = estimate(planned, spaces.observation_shape, workers)
    least = estimate(planned.at_least, spaces.observation_shape, workers)
    num_pretrainings = sum(run.spec.condition == "pretrain" for run in planned.runs)
    if as_json:
        print_json(
            {
                "suite": chosen.name,
                "num_runs": len(planned.runs),
                "num_pretrainings": num_pretrainings,
                "total_steps": planned.total_steps,
                "at_least": {
                    "num_runs": len(planned.at_least.runs),
                    "total_steps": planned.at_least.total_steps,
                    "hours": least.hours,
                },
                "total_frames": planned.total_steps * spaces.frames_per_step,
                **cost._asdict(),
                "runs": [
                    {
                        "key": run.key,
                        "condition": run.spec.condition,
                        "steps": run.spec.steps,
                        "source": run.source_key,
                    }
                    for run in planned.runs
                ],
            }
        )
        return 0
    width = max(len(run.key) for run in planned.runs)
    for run in planned.runs:
        steps = f"{run.spec.steps:>12,} steps" if run.spec.steps else f"{'only scored':>18}"
        after = f"  after {run.source_key}" if run.source_key else ""
        print(f"{run.key:{width}} {steps}{after}")
    print(
        f"\n{chosen.name}: {len(planned.runs)} runs, {num_pretrainings} of them pretrainings that "
        f"transfers share; {planned.total_steps:,} steps in all\n"
        f"about {_duration(cost.hours)} with {cost.num_workers} runs at once on cores like the "
        f"measured ones, {cost.disk_mib:,.0f} MiB on disk"
    )
    if chosen.racing is not None and chosen.is_raced:
        print(
            f"a race with looks at {', '.join(map(str, chosen.racing.looks))} seeds: these runs at "
            f"most, and {len(planned.at_least.runs)} of them at least, in about "
            f"{_duration(least.hours)}"
        )
    return 0


def status(
    folder: Positional[Folder],
    *,
    as_json: Json = False,
) -> int:
    """Show how the runs of a suite's folder stand, from any machine that mounts it.

    done; running, with its machine, rate, time left and attempt; waiting; failed; blocked: its
    pretraining failed; stopped: begun, but nobody works on it now; damaged.

    Args:
        folder: The suite's folder, the --out of `thaw run`.
        as_json: Print one JSON document.
    """
    from thaw.experiment.running import mark_blocked, running_text
    from thaw.experiment.suite_folder import SuiteFolder

    suite_folder = SuiteFolder(folder)
    planned = suite_folder.plan()
    rows = [suite_folder.describe(run) for run in planned.runs]
    mark_blocked(rows, planned.runs)
    races = []
    if planned.suite.is_raced:
        from thaw.experiment.raced_runs import RacedRuns

        raced = RacedRuns(planned, suite_folder, [r["key"] for r in rows if r["status"] == "done"])
        asked = {run.key for run in raced.asked()}
        rows = [r for r in rows if r["key"] in asked or r["status"] not in ("waiting", "blocked")]
        races = raced.describe()
    counts = {word: sum(row["status"] == word for row in rows) for word in ALWAYS + SOMETIMES}
    if as_json:
        document = {"folder": str(folder), **counts, "runs": rows}
        print_json({**document, "races": races} if planned.suite.racing else document)
        return 0
    width = max(len(row["key"]) for row in rows)
    for row in rows:
        mean, total = row["mean_return"], row["total_steps"]
        steps = f"{row['steps']:,} of {total:,} steps" if total else "only scored"
        shown = f"return {mean:8.2f}" if mean is not None else row["error"] or ""
        if row["status"] == "running":
            shown = running_text(row)
        print(f"{row['status']:8} {row['key']:{width}} {steps:>28}  {shown}".rstrip())
    for race in races:
        print(f"{race['source']} -> {race['target']}: {race['sentence']}")
    shown = [word for word in counts if counts[word] or word in ALWAYS]
    print(", ".join(f"{counts[word]} {word}" for word in shown))
    return 0


def watch(folder: Positional[Folder]) -> int:
    """Follow a suite from another terminal until all runs are done or `thaw run` has ended.

    Args:
        folder: The suite's folder, the --out of `thaw run`.
    """
    from thaw.experiment.watch import watch as watch_folder

    return 1 if watch_folder(folder) else 0


def _duration(hours: float) -> str:
    """Round a duration to the largest unit of which it has at least two, or to minutes."""
    for unit, length_hours in (("days", 24.0), ("hours", 1.0)):
        if hours >= 2 * length_hours:
            return f"{hours / length_hours:.0f} {unit}"
    return f"{max(1, round(60 * hours))} min"


def _with_seeds(overrides: Sequence[str], seeds: int | None) -> list[str]:
    """Return the overrides with ``--seeds N`` as one of them."""
    return [*overrides, *([f"seeds={seeds}"] if seeds is not None else [])]


def _with_race(suite: Suite, race: bool, seeds: int | None) -> Suite:
    """Return the suite with the default plan of a race, if one is wanted and it has none.

    Raises:
        InputError: The race's last look contradicts ``--seeds``.
    """
    if race and suite.racing is None:
        suite = msgspec.structs.replace(suite, racing=RacingConfig())
    if suite.is_raced and seeds is not None and len(suite.seed_list) != seeds:
        raise InputError(
            f"--seeds is {seeds}, but the race ends at {len(suite.seed_list)} seeds; leave out "
            "--seeds, or change the looks, as in --set 'racing={looks: [3, 5, 10]}'"
        )
    return suite
