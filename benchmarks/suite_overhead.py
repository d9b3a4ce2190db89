"""What a run costs a suite in addition to its own steps and episodes.

``python benchmarks/suite_overhead.py``: executes a suite of 2 and one of 62 trivial runs in turns,
each as a user would, and prints the milliseconds of wall time that one more run costs. Its own ten
steps and two episodes, and its share of the report, are in that.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


def seconds(folder: Path, num_seeds: int, workers: int) -> float:
    """Execute a suite, report included; return the seconds that it took."""
    thaw = Path(sys.executable).with_name("thaw")
    suite = folder / "trivial.yaml"
    suite.write_text(SUITE)
    out = folder / f"out{num_seeds}-{time.monotonic_ns()}"
    command = [str(thaw), "run", str(suite), "--out", str(out), "--workers", str(workers)]
    command += ["--set", f"seeds={num_seeds}"]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure in rounds and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=60, help="an even number of additional runs")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.rounds):
            # A seed is two runs: its pretraining and its training from scratch.
            few = seconds(Path(folder), 1, arguments.workers)
            many = seconds(Path(folder), 1 + arguments.runs // 2, arguments.workers)
            costs.append(1000 * (many - few) / arguments.runs)
            print(f"{few:.2f} s, {many:.2f} s: {costs[-1]:.0f} ms for each further run", flush=True)
    print(
        f"median {statistics.median(costs):.0f} ms [{min(costs):.0f}, {max(costs):.0f}] for each "
        f"run, {arguments.workers} workers"
    )


if __name__ == "__main__":
    main()
