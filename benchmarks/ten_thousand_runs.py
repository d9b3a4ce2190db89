"""What `thaw plan`, `run`, `status` and `report` take where a suite has ten thousand runs.

``python benchmarks/ten_thousand_runs.py FOLDER`` makes a suite's folder with 10,500 finished runs:
one run of each condition is executed, and its files stand for those of all others, with
descriptions of their own. Then each command is timed as a user calls it: CPU seconds of its
processes, and seconds on the clock. "first run" is the time until the first run of a fresh folder
is done.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from thaw.experiment.execute import run
from thaw.experiment.plan import PlannedRun
from thaw.experiment.suite_folder import SuiteFolder

SUITE = """\
name: ten-thousand
transfers:
  - {source: catch, target: catch@large_ball}
  - {source: catch, target: catch@small_ball}
  - {source: catch, target: catch@small_paddle}
seeds: SEEDS
pretrain_steps: 400
transfer_steps: 360
environment: {num_envs: 4, downsample: 16, frames_per_step: 39}
agent: {embedding: mlp, unroll_length: 10, lstm_size: 8, fc_size: 8, precision: float32}
evaluation: {episodes: 4}
report: {num_bins: 10}
"""


def make(folder: Path, num_seeds: int) -> SuiteFolder:
    """Make the folder of a suite with all runs done."""
    one, all_ = folder / "one.yaml", folder / "all.yaml"
    one.write_text(SUITE.replace("SEEDS", "1"))
    all_.write_text(SUITE.replace("SEEDS", str(num_seeds)))
    run(str(one), folder / "one")
    template, done = SuiteFolder(folder / "one"), SuiteFolder(folder / "all")
    done.path.mkdir()
    done.begin(msgspec.structs.replace(template.suite(), seeds=num_seeds))
    of = {(str(r.spec.flavor), r.spec.condition): r for r in template.plan().runs}
    for planned in done.plan().runs:
        _copy(template, of[str(planned.spec.flavor), planned.spec.condition], done, planned)
    return done


def _copy(template: SuiteFolder, old: PlannedRun, done: SuiteFolder, new: PlannedRun) -> None:
    here, there = template.run_folder(old).path, done.run_folder(new)
    there.begin(new.spec)
    left_out = shutil.ignore_patterns("checkpoint*", "run.json")
    shutil.copytree(here, there.path, ignore=left_out, dirs_exist_ok=True)


def timed(words: Sequence[object], *, until: Path | None = None) -> tuple[float, float]:
    """Return the CPU seconds and the seconds of a command.

    Args:
        words: Of the command.
        until: If given, the command is stopped when this path has a file result.json below it.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "thaw", *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    seconds = None
    while until is not None and seconds is None:
        if any(until.rglob("result.json")):
            seconds = time.perf_counter() - began
            process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, seconds if seconds is not None else time.perf_counter() - began


def main() -> None:
    """Make the folder and time the commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=525, help="20 runs for each")
    options = parser.parse_args()
    folder: Path = options.folder
    folder.mkdir(parents=True)
    done = make(folder, options.seeds)
    print(f"{len(done.plan().runs):,} runs\n\n| command | CPU, s | clock, s |\n|---|---:|---:|")
    for name, words, until in (
        ("plan", ["plan", folder / "all.yaml"], None),
        ("first run", ["run", folder / "all.yaml", "--out", folder / "new"], folder / "new"),
        ("run, all done", ["run", folder / "all.yaml", "--out", done.path], None),
        ("status", ["status", done.path], None),
        ("report", ["report", done.path], None),
    ):
        cpu, seconds = timed(words, until=until)
        print(f"| {name} | {cpu:.1f} | {seconds:.1f} |", flush=True)
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"\nmost memory of any process: {most:,.0f} MiB")


if __name__ == "__main__":
    main()
