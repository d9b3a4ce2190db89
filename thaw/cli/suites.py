"""``thaw run``, ``plan``, ``status``, ``watch`` and ``report``: whole suites."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from thaw.cli.output import (
    check_above_zero,
    check_at_least,
    environments_on_stderr,
    print_json,
    say,
)
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
from thaw.config.errors import InputError
from thaw.config.runtime import STALL_SECONDS, Runtime
from thaw.config.strict import to_yaml
from thaw.experiment.reporting import as_input_error, report_suite
from thaw.experiment.suites import load_suite_to_execute


def run(
    suite: Positional[SuiteName],
    *,
    out: Folder,
    overrides: Set = (),
    trust_code: TrustCode = False,
    seeds: Number = None,
    executor: Literal["local"] = "local",
    workers: Number = None,
    device: Device = "auto",
    stall_seconds: StallSeconds = STALL_SECONDS,
) -> int:
    """Execute a suite, or go on with it, and write its report.

    Args:
        suite: Built-in name (catch-quick, catch-paper), .yaml file, or module:function.
        out: The suite's folder; the same command goes on where it stopped.
        overrides: Change one value of the suite, as in --set agent.discount=0.9; repeatable.
        trust_code: Import, call and start what a suite's file names: an embedding's
            module:function, environments' modules and programs. Only for files that you trust.
        seeds: Short for --set seeds=N.
        executor: Where runs execute: processes on this machine.
        workers: Runs at once; by default one for each core.
        device: Where the networks compute.
        stall_seconds: End a run that makes no progress for this long, as its environment hangs,
            and start it once more.
    """
    from thaw.experiment.execute import execute

    del executor  # there is one so far; the flag keeps its place
    check_above_zero("--stall-seconds", stall_seconds)
    runtime = Runtime(device=device, stall_seconds=stall_seconds)
    chosen = load_suite_to_execute(
        suite, _with_seeds(overrides, seeds), trust_code=trust_code, how=WITH_TRUST
    )
    with environments_on_stderr():
        summary = execute(chosen, out, num_workers=workers, runtime=runtime)
    for key, reason in summary.failed.items():
        say(f"FAILED {key}: {reason} (see {out / 'runs' / key / 'error.txt'})")
    if summary.failed and summary.stopped_by is None:
        for key in summary.not_run:
            say(f"not run {key}")
        say(f"{len(summary.failed)} failed; the same command tries again")
    if summary.stopped_by is not None:
        for key in summary.not_saved:
            say(f"not saved since its last checkpoint {key}")
        how = "stopped" if summary.not_saved else "saved"
        say(f"{how}; {len(summary.not_run)} runs are left; the same command goes on")
        return 128 + summary.stopped_by
    report_suite(out)
    return 1 if summary.failed else 0


def plan(
    suite: Positional[SuiteName],
    *,
    overrides: Set = (),
    trust_code: TrustCode = False,
    seeds: Number = None,
    workers: Number = None,
    as_json: Json = False,
    as_yaml: Annotated[bool, tyro.conf.arg(name="yaml"), tyro.conf.FlagCreatePairsOff] = False,
) -> int:
    """Show the runs of a suite, their steps, and an estimate of time and disk.

    Args:
        suite: Built-in name, .yaml file, or module:function.
        overrides: As for run.
        trust_code: Import, call and start what a suite's file names: an embedding's
            module:function, environments' modules and programs. Only for files that you trust.
        seeds: Short for --set seeds=N.
        workers: Runs at once, for the estimate; by default one for each core.
        as_json: Print one JSON document.
        as_yaml: Print the suite as a file that `thaw run` takes.
    """
    from thaw.experiment.check import check_suite
    from thaw.experiment.estimate import estimate
    from thaw.experiment.plan import plan as make_plan

    check_at_least("--workers", workers, 1)
    chosen = load_suite_to_execute(
        suite, _with_seeds(overrides, seeds), trust_code=trust_code, how=WITH_TRUST
    )
    if as_yaml:
        print(to_yaml(chosen), end="")
        return 0
    planned = make_plan(chosen)
    with environments_on_stderr():
        spaces = check_suite(chosen)[chosen.transfers[0].source]
    cost = estimate(planned, spaces.observation_shape, workers)
    runs = [
        {"key": r.key, "condition": r.spec.condition, "steps": r.spec.steps, "source": r.source_key}
        for r in planned.runs
    ]
    shared = sum(run["condition"] == "pretrain" for run in runs)
    document = {
        "suite": chosen.name,
        "num_runs": len(runs),
        "num_pretrainings": shared,
        "total_steps": planned.total_steps,
        "total_frames": planned.total_steps * spaces.frames_per_step,
        **cost._asdict(),
        "runs": runs,
    }
    if as_json:
        print_json(document)
        return 0
    width = max(len(run.key) for run in planned.runs)
    for run_ in planned.runs:
        steps = f"{run_.spec.steps:>12,} steps" if run_.spec.steps else f"{'only scored':>18}"
        after = f"  after {run_.source_key}" if run_.source_key else ""
        print(f"{run_.key:{width}} {steps}{after}")
    print(
        f"\n{chosen.name}: {len(runs)} runs, {shared} of them pretrainings that transfers share; "
        f"{planned.total_steps:,} steps in all\n"
        f"about {_duration(cost.hours)} with {cost.num_workers} runs at once on cores like the "
        f"measured ones, {cost.disk_mib:,.0f} MiB on disk"
    )
    return 0


def status(
    folder: Positional[Folder],
    *,
    as_json: Json = False,
) -> int:
    """Show which runs of a suite's folder are done, failed, started or waiting.

    Args:
        folder: What --out was.
        as_json: Print one JSON document.
    """
    from thaw.experiment.suite_folder import SuiteFolder

    suite_folder = SuiteFolder(folder)
    rows = [suite_folder.describe(run) for run in suite_folder.plan().runs]
    counts = {
        word: sum(row["status"] == word for row in rows)
        for word in ("done", "failed", "started", "waiting")
    }
    if as_json:
        print_json({"folder": str(folder), **counts, "runs": rows})
        return 0
    width = max(len(row["key"]) for row in rows)
    for row in rows:
        mean, total = row["mean_return"], row["total_steps"]
        steps = f"{row['steps']:,} of {total:,} steps" if total else "only scored"
        shown = f"return {mean:8.2f}" if mean is not None else row["error"] or ""
        print(f"{row['status']:8} {row['key']:{width}} {steps:>28}  {shown}".rstrip())
    print(", ".join(f"{count} {word}" for word, count in counts.items()))
    return 0


def watch(folder: Positional[Folder]) -> int:
    """Look on while a suite runs, from another terminal, until no run is left.

    Args:
        folder: What --out was.
    """
    from thaw.experiment.watch import watch as look_on

    return 1 if look_on(folder) else 0


def report(
    folder: Positional[Annotated[Path | None, tyro.conf.arg(metavar="DIR")]] = None,
    *,
    scores: Annotated[Path | None, tyro.conf.arg(metavar="FILE.csv")] = None,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
) -> int:
    """Write tables, figures and a page from a suite's folder, or from anybody's scores.

    Args:
        folder: What --out of `thaw run` was; runs still missing are shown as missing.
        scores: Instead: a CSV file with at least target, condition, seed, mean_return.
        out: Where to; by default DIR/report.
    """
    if (folder is None) == (scores is None):
        raise InputError("give either a suite's folder or --scores FILE.csv --out DIR")
    from thaw.files.atomic import check_out

    if out is not None:
        check_out(out)
    if folder is not None:
        report_suite(folder, out)
        return 0
    from thaw.report.scores import infer_spec, read_scores
    from thaw.report.write import write_report

    if out is None or scores is None:
        raise InputError("--scores needs --out DIR, the folder to write the report into")
    with as_input_error():
        table = read_scores(scores)
        index = write_report(table, None, infer_spec(table, name=scores.stem), out)
    print((out / "table.md").read_text(encoding="utf-8"))
    print(f"report: {index}")
    return 0


def _duration(hours: float) -> str:
    """Say a duration in the unit that a person would choose."""
    for unit, length_hours in (("days", 24.0), ("hours", 1.0)):
        if hours >= 2 * length_hours:
            return f"{hours / length_hours:.0f} {unit}"
    return f"{max(1, round(60 * hours))} min"


def _with_seeds(overrides: Sequence[str], seeds: int | None) -> list[str]:
    return [*overrides, *([f"seeds={seeds}"] if seeds is not None else [])]
