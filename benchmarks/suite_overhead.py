"""What a run costs a suite in addition to its own steps and episodes.

``python benchmarks/suite_overhead.py``: executes a suite of 2 and one of 62 trivial runs in turns,
each as a user would, and prints the milliseconds of wall time that one more run costs, its share of
the report included. Then it executes such runs in processes of the same kind and times their own
ten steps and two episodes within; the rest of the cost is overhead. It also prints the memory
of the longer `thaw run` when a tenth and nine tenths of its runs were done: it must not grow.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from thaw.acting import evaluation
from thaw.config.runtime import Runtime
from thaw.config.strict import from_plain, parse_yaml
from thaw.config.suite import Suite
from thaw.experiment.plan import plan
from thaw.files.run_folder import RunFolder
from thaw.training import clocks
from thaw.training.run import execute_run

SUITE = """\
name: trivial
transfers: [{source: catch, target: catch@large_ball}]
conditions: [scratch]
pretrain_steps: 10
transfer_steps: 10
environment: {num_envs: 2, downsample: 16, frames_per_step: 78}
agent: {embedding: mlp, unroll_length: 5, lstm_size: 8, fc_size: 8, precision: float32}
evaluation: {episodes: 2, source: false}
report: {num_bins: 2}
"""


def execute(folder: Path, num_runs: int, workers: int) -> tuple[float, list[int]]:
    """Execute a suite, report included.

    Returns:
        The seconds that it took, and the driver's MiB at a tenth and at nine tenths of its runs.
    """
    thaw = Path(sys.executable).with_name("thaw")
    suite = folder / "trivial.yaml"
    suite.write_text(SUITE)
    out = folder / f"out{num_runs}-{time.monotonic_ns()}"
    command = [str(thaw), "run", str(suite), "--out", str(out), "--workers", str(workers)]
    command += ["--set", f"seeds={num_runs}"]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    memory: list[int] = []
    marks = [num_runs // 10, num_runs * 9 // 10]
    while process.poll() is None:
        time.sleep(0.05)
        if len(memory) < 2 and len(list(out.glob("runs/*/*/*/result.json"))) >= marks[len(memory)]:
            memory.append(resident_mib(process.pid))
    took = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return took, memory


def resident_mib(process_id: int) -> int:
    """Return the memory of a process; 0 if this machine does not say."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1024
    return 0


def own_seconds(folder: str) -> float:
    """Execute a trivial run and return the seconds of its own steps and episodes.

    Each call has a process of its own, so what it replaces is replaced once.
    """
    seconds = 0.0

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal seconds
            began = time.perf_counter()
            result = function(*args, **options)
            seconds += time.perf_counter() - began
            return result

        return call

    clocks.Lockstep.update = timed(clocks.Lockstep.update)  # type: ignore[method-assign]
    evaluation.evaluate = timed(evaluation.evaluate)
    suite = from_plain(parse_yaml(SUITE), Suite, "trivial")
    execute_run(plan(suite).runs[0].spec, RunFolder(folder), Runtime(device="cpu", num_threads=1))
    return seconds


def main() -> None:
    """Measure in rounds and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=60, help="additional runs")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    costs, own = [], []
    alike = multiprocessing.get_context("forkserver")
    alike.set_forkserver_preload(["thaw.experiment.executors.preload"])
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.rounds):
            few, _ = execute(Path(folder), 2, arguments.workers)
            many, memory = execute(Path(folder), 2 + arguments.runs, arguments.workers)
            costs.append(1000 * (many - few) / arguments.runs)
            folders = [f"{folder}/own{time.monotonic_ns() + run}" for run in range(arguments.runs)]
            processes = ProcessPoolExecutor(
                arguments.workers, mp_context=alike, max_tasks_per_child=1
            )
            with processes:
                own.append(1000 * statistics.mean(processes.map(own_seconds, folders)))
            own[-1] /= arguments.workers
            print(
                f"{few:.2f} s, {many:.2f} s: {costs[-1]:.0f} ms for each further run, "
                f"of which {own[-1]:.0f} ms are its own steps and episodes; "
                f"driver's memory {' then '.join(map(str, memory))} MiB",
                flush=True,
            )
    print(
        f"median {statistics.median(costs):.0f} ms [{min(costs):.0f}, {max(costs):.0f}] for each "
        f"run, of which {statistics.median(own):.0f} ms are its own steps and episodes; "
        f"{arguments.workers} workers"
    )


if __name__ == "__main__":
    main()
