"""Simulate how often the intervals of learning-curve metrics cover the truth.

    python benchmarks/curve_coverage.py --suites 400

The curves are exponential rises with noise in every bin. Seeds of the conditions that start from
the source share their pretraining; scratch is independent. The truth is the mean over large suites.
It prints the coverage in percent, at each number of seeds, of intervals that should cover in 95 %.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from thaw.report.learning.curve_metrics import curve_metrics_frame
from thaw.report.spec import ReportSpec

TARGET = "catch@large_ball"
CONDITIONS = ("random", "scratch", "update_all", "freeze_embedding", "freeze_head", "freeze_all")
LEVELS = {  # return at the start and at the end, and the speed of the rise
    "scratch": (-0.5, 0.6, 3.0),
    "update_all": (0.1, 0.75, 6.0),
    "freeze_embedding": (0.2, 0.6, 5.0),
    "freeze_head": (0.2, 0.7, 8.0),
}
BINS = 100
SEEDS = (3, 5, 10)


def suite(num_seeds: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the scores and curves of one made-up suite."""
    shared = rng.normal(size=num_seeds)

    def noise(size: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return size * rng.normal(size=num_seeds)

    before = 0.85 + 0.05 * shared
    scores = [
        ("", "catch", "pretrain", before, None),
        ("", "catch", "random", -0.5 + noise(0.04), None),
        ("", TARGET, "random", -0.5 + noise(0.04), None),
        ("catch", TARGET, "freeze_all", 0.3 + 0.1 * shared + noise(0.05), before),
    ]
    curves = []
    time = np.arange(1, BINS + 1) / BINS
    for condition, (start, level, speed) in LEVELS.items():
        is_scratch = condition == "scratch"
        source = "" if is_scratch else "catch"
        common = 0.0 * shared if is_scratch else shared
        ends = level + 0.06 * common + noise(0.06)
        speeds = speed * np.exp(0.12 * common + noise(0.25))
        after = None if is_scratch else before - 0.2 + noise(0.05)
        scores.append((source, TARGET, condition, ends, after))
        for seed in range(num_seeds):
            rise = 1 - np.exp(-speeds[seed] * time)
            values = start + (ends[seed] - start) * rise + 0.08 * rng.normal(size=BINS)
            curves.append(
                pd.DataFrame(
                    {"source": source, "target": TARGET, "condition": condition, "seed": seed,
                     "steps": 200 * np.arange(1, BINS + 1), "mean_return": values}
                )
            )  # fmt: skip
    frames = [
        pd.DataFrame(
            {
                "source": source,
                "target": target,
                "condition": condition,
                "seed": range(num_seeds),
                "mean_return": values,
                "source_mean_return": np.nan if back is None else back,
            }
        )
        for source, target, condition, values, back in scores
    ]
    return pd.concat(frames, ignore_index=True), pd.concat(curves, ignore_index=True)


def metrics(num_seeds: int, seed: int) -> pd.DataFrame:
    """Return the metrics of one suite by condition and metric."""
    scores, curves = suite(num_seeds, np.random.default_rng([num_seeds, seed]))
    spec = ReportSpec(
        name="coverage",
        transfers=(("catch", TARGET),),
        conditions=CONDITIONS,
        seeds=tuple(range(num_seeds)),
        bounds=(-1.0, 1.0),
        threshold=0.3,
    )
    frame = curve_metrics_frame(scores, curves, spec)
    return frame.set_index(["condition", "metric"])[["mean", "ci_low", "ci_high"]]


def main() -> None:
    """Print one line per metric: the truth, and coverage and share of intervals by seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--suites", type=int, default=400, help="at each number of seeds")
    options = parser.parse_args()
    truth = pd.concat([metrics(400, seed)["mean"] for seed in range(5)], axis=1).mean(axis=1)
    kept = truth.index[[not str(metric).startswith("lead_") for _, metric in truth.index]]
    expected = truth[kept].to_numpy()
    print("coverage in % (share of suites with an interval in %)", *SEEDS, sep=" | ")
    lines = [f"{condition} {metric} | {truth[condition, metric]:.4g}" for condition, metric in kept]
    for number in SEEDS:
        found = [metrics(number, seed).reindex(kept) for seed in range(options.suites)]
        low, high = (np.stack([frame[name] for frame in found]) for name in ("ci_low", "ci_high"))
        there = np.isfinite(low)
        inside = (low <= expected) & (expected <= high)
        for place in range(len(lines)):
            some, good = there[:, place].mean(), inside[:, place][there[:, place]]
            covered = f"{100 * good.mean():.1f}" if len(good) else "-"
            lines[place] += f" | {covered} ({100 * some:.0f})"
    print(*lines, sep="\n")


if __name__ == "__main__":
    main()
