"""Run the first catch-quick at its commit and with today's program, in turns, seed by seed.

    python benchmarks/suite_against_commit.py c92da16 --seeds 5

Up to commit c92da16 ``catch-quick`` was a large ball and a small paddle, 160,000 + 80,000 steps,
PyTorch's RMSProp. Today's program runs the same flavors and budgets with the agent of today's
``catch-quick``. Each round is one seed at either commit, and the ratio of wall times is taken
within the round. The mean returns show whether anything is learned worse.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import msgspec
import numpy as np
from against_commit import ROOT, checkout_of
from scipy import stats

from thaw.config.flavor import Flavor
from thaw.config.strict import to_plain
from thaw.config.suite import Transfer
from thaw.experiment.suites import load_suite

Scores = dict[tuple[str, str], list[float]]
"""The mean return of each seed, by flavor and condition."""


def first_catch_quick() -> dict[str, object]:
    """Return today's catch-quick with the flavors, budgets and scores of the first one."""
    today = load_suite("catch-quick")
    first = msgspec.structs.replace(
        today,
        name="first-catch-quick",
        transfers=tuple(
            Transfer(source=Flavor("catch"), target=Flavor(f"catch@{variant}"))
            for variant in ("large_ball", "small_paddle")
        ),
        pretrain_steps=160_000,
        transfer_steps=80_000,
        evaluation=msgspec.structs.replace(today.evaluation, episodes=100, score="training"),
    )
    plain: dict[str, object] = to_plain(first)
    return plain


def run(checkout: Path, suite: str, seed: int, out: Path, scores: Scores) -> float:
    """Run a suite with one seed; add its scores, and return the seconds."""
    command = [sys.executable, "-m", "thaw", "run", suite, "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    began = time.perf_counter()
    subprocess.run(
        [*command, "--set", f"seeds=[{seed}]"],
        env=environment,
        cwd=checkout,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    seconds = time.perf_counter() - began
    with (out / "scores.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            scores[row["target"], row["condition"]].append(float(row["mean_return"]))
    return seconds


def interval(values: list[float]) -> str:
    """Return the mean and its 95 % t interval."""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else np.nan
    mean = np.mean(values)
    return f"{mean:.3f} [{mean - half:.3f}, {mean + half:.3f}]"


def main() -> None:
    """Print wall times, and the returns of both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    before: Scores = defaultdict(list)
    after: Scores = defaultdict(list)
    seconds: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder, checkout_of(options.commit) as other:
        today = Path(folder) / "first.yaml"
        today.write_bytes(msgspec.yaml.encode(first_catch_quick()))
        for seed in range(options.seeds):
            sides = [(ROOT, str(today), after), (other, "catch-quick", before)]
            if seed % 2:
                sides.reverse()
            took = {}
            for checkout, suite, scores in sides:
                out = Path(folder) / f"{checkout.name}-{seed}"
                took[checkout] = run(checkout, suite, seed, out, scores)
            seconds.append((took[other], took[ROOT]))
            print(f"seed {seed}: before {took[other]:.1f} s, today {took[ROOT]:.1f} s", flush=True)
    ratios = [then / now for then, now in seconds]
    print(
        f"before / today: {statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]\n"
    )
    print("| flavor | condition | before | today |\n|---|---|---|---|")
    for key in before:
        print(f"| {key[0]} | {key[1]} | {interval(before[key])} | {interval(after[key])} |")


if __name__ == "__main__":
    main()
