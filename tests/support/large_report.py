"""Writes a report of 1,000 runs with 1,000 points each, in a process of its own that is measured.

python tests/support/large_report.py FOLDER prints what the report took. Making up the scores is not
counted in the seconds. A busy machine takes longer, but it computes for as many seconds.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from thaw.config.runtime import peak_mib
from thaw.report.spec import ReportSpec
from thaw.report.write import write_report

CONDITIONS = ("scratch", "update_all", "freeze_embedding", "freeze_head", "thawed_late")
NUM_TRANSFERS, NUM_SEEDS, NUM_POINTS = 10, 20, 1_000
SPEC = ReportSpec(
    name="large",
    transfers=tuple(("catch", f"catch@variant_{number}") for number in range(NUM_TRANSFERS)),
    conditions=CONDITIONS,
    seeds=tuple(range(NUM_SEEDS)),
)


def make_runs() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return scores and curves of noise around a rising line."""
    rng = np.random.default_rng(3)
    runs = pd.DataFrame(
        [
            ("" if condition == "scratch" else source, target, condition, seed)
            for source, target in SPEC.transfers
            for condition in CONDITIONS
            for seed in SPEC.seeds
        ],
        columns=["source", "target", "condition", "seed"],
    )
    number = len(runs)
    scores = runs.assign(
        mean_return=rng.normal(0.5, 0.2, number), sem=0.02, num_episodes=100, seconds=60.0
    )
    steps = np.arange(1, NUM_POINTS + 1) * 200
    curves = runs.loc[runs.index.repeat(NUM_POINTS)].reset_index(drop=True)
    curves["steps"] = np.tile(steps, number)
    rising = np.tile(1 - np.exp(-4 * steps / steps[-1]), number)
    curves["mean_return"] = rising + rng.normal(0, 0.1, number * NUM_POINTS)
    return scores, curves


def main(folder: Path) -> None:
    """Write the report and print what it took."""
    scores, curves = make_runs()
    started, computed = time.perf_counter(), time.process_time()
    index = write_report(scores, curves, SPEC, folder)
    measured = {
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - computed,
        "peak_bytes": peak_mib() * 2**20,
        "page_bytes": index.stat().st_size,
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
