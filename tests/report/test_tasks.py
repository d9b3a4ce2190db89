from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from thaw.report.runs import RunTable
from thaw.report.spec import ReportSpec
from thaw.report.statistics import FloatArray
from thaw.report.tasks import (
    STATISTICS,
    Tasks,
    gather,
    interquartile_mean,
    jackknife,
    median,
    optimality_gap,
    performance_profile,
    profile,
    rliable_interval,
    rliable_intervals,
)

TRANSFERS = (("a", "g@1"), ("a", "g@2"), ("b", "g@3"), ("b", "g@1"))
"""Two sources; two transfers share a target, so they share its runs from scratch."""


def made_to_order(num_seeds: int = 5, **changes: Any) -> RunTable:
    rng = np.random.default_rng(num_seeds)
    rows = [
        (source, target, condition, seed, rng.normal(3, 1))
        for source, target in TRANSFERS
        for condition in ("update_all", "freeze_head")
        for seed in range(num_seeds)
    ]
    rows += [
        ("", target, "scratch", seed, rng.normal(2, 0.3))
        for target in ("g@1", "g@2", "g@3")
        for seed in range(num_seeds)
    ]
    columns = ["source", "target", "condition", "seed", "mean_return"]
    conditions = ("scratch", "update_all", "freeze_head")
    spec = ReportSpec("n", TRANSFERS, conditions, tuple(range(num_seeds)), **changes)
    return RunTable(pd.DataFrame(rows, columns=columns), spec)


def tasks_of(table: RunTable, *, normalize: bool) -> Tasks:
    tasks = gather(table, list(TRANSFERS), "update_all", normalize=normalize)
    assert isinstance(tasks, Tasks)
    return tasks


def slow_jackknife(
    table: RunTable, baseline: str, statistic: Callable[[list[list[float]]], float]
) -> tuple[float, float]:
    """Standard error and degrees by the definition: all values again without one unit each."""

    def value(kind: str = "", flavor: str = "", seed: int = -1) -> float:
        tasks = []
        for source, target in TRANSFERS:
            own = table.runs(source, target, "update_all")
            gone = kind == "pretraining" and flavor == source
            kept = [
                v for s, v in zip(own.seeds, own.values, strict=True) if not (gone and s == seed)
            ]
            unit = 1.0
            if baseline:
                base = table.runs(source, target, baseline)
                lost = gone if baseline != "scratch" else (kind == "scratch" and flavor == target)
                unit = float(
                    np.mean(
                        [
                            v
                            for s, v in zip(base.seeds, base.values, strict=True)
                            if not (lost and s == seed)
                        ]
                    )
                )
            tasks.append([v / unit for v in kept])
        return statistic(tasks)

    groups = [("pretraining", source) for source in ("a", "b")]
    if baseline == "scratch":
        groups += [("scratch", target) for target in ("g@1", "g@2", "g@3")]
    variances, degrees = [], []
    for kind, flavor in groups:
        n = len(table.spec.seeds)
        left = [value(kind, flavor, seed) for seed in table.spec.seeds]
        variances.append((n - 1) / n * sum((v - np.mean(left)) ** 2 for v in left))
        degrees.append(n - 1)
    total = sum(variances)
    below = sum(v**2 / d for v, d in zip(variances, degrees, strict=True))
    return math.sqrt(total), float(total**2 / below)


@pytest.mark.parametrize(
    ("name", "baseline"),
    [
        *[("mean", baseline) for baseline in ("", "scratch", "freeze_head")],
        *[("iqm", baseline) for baseline in ("", "scratch", "freeze_head")],
        ("optimality_gap", "freeze_head"),
    ],
)
def test_the_jackknife_drops_pretrainings_and_scratch_runs(name: str, baseline: str) -> None:
    table = made_to_order(baseline=baseline or "scratch")
    slow: dict[str, Callable[[list[list[float]]], float]] = {
        "mean": lambda tasks: float(np.mean([np.mean(task) for task in tasks])),
        "iqm": lambda tasks: float(stats.trim_mean(np.concatenate(tasks), 0.25)),
        "optimality_gap": lambda tasks: float(np.maximum(1 - np.concatenate(tasks), 0).mean()),
    }
    error, degrees = slow_jackknife(table, baseline, slow[name])
    ours = jackknife(tasks_of(table, normalize=bool(baseline)), STATISTICS[name])
    assert ours.standard_error == pytest.approx(error, rel=1e-10)
    assert ours.degrees == pytest.approx(degrees, rel=1e-10)
    half = stats.t.ppf(0.975, degrees) * error
    assert (ours.low, ours.high) == pytest.approx((ours.value - half, ours.value + half))


def test_one_source_and_equal_counts_give_students_interval_of_the_seeds_means() -> None:
    table = made_to_order()
    own = list(TRANSFERS[:2])
    tasks = gather(table, own, "update_all", normalize=False)
    assert isinstance(tasks, Tasks)
    seeds = np.mean([table.runs(*transfer, "update_all").values for transfer in own], axis=0)
    expected = stats.ttest_1samp(seeds, 0).confidence_interval()
    ours = jackknife(tasks, STATISTICS["mean"])
    assert (ours.low, ours.high) == pytest.approx(tuple(expected), rel=1e-12)


def test_a_seed_that_is_missing_on_one_task_leaves_the_others() -> None:
    rows = [
        ("a", target, "x", seed, 1.0 + seed * len(target))
        for target in ("t", "tt")
        for seed in range(5)
    ]
    frame = pd.DataFrame(rows, columns=["source", "target", "condition", "seed", "mean_return"])
    spec = ReportSpec("n", (("a", "t"), ("a", "tt")), ("x",), tuple(range(5)))
    for missing, has_interval in (([4], True), ([2, 3, 4], False)):
        kept = frame[~((frame["target"] == "t") & frame["seed"].isin(missing))]
        tasks = gather(RunTable(kept, spec), [("a", "t"), ("a", "tt")], "x", normalize=False)
        assert isinstance(tasks, Tasks)
        estimate = jackknife(tasks, STATISTICS["mean"])
        assert estimate.has_interval == has_interval
        assert estimate.num_seeds == 5 - len(missing)
        assert ("2 seeds: no interval" in estimate.note) != has_interval


def test_no_spread_is_no_interval() -> None:
    frame = pd.DataFrame(
        [("a", t, "x", seed, 1.0) for t in ("t", "u") for seed in range(3)],
        columns=["source", "target", "condition", "seed", "mean_return"],
    )
    spec = ReportSpec("n", (("a", "t"), ("a", "u")), ("x",), (0, 1, 2))
    tasks = gather(RunTable(frame, spec), [("a", "t"), ("a", "u")], "x", normalize=False)
    assert isinstance(tasks, Tasks)
    estimate = jackknife(tasks, STATISTICS["iqm"])
    assert (estimate.value, estimate.has_interval) == (1.0, False)
    assert "no spread" in estimate.note


def test_a_condition_without_runs_on_a_task_is_named() -> None:
    missing = gather(made_to_order(), [*TRANSFERS, ("a", "g@9")], "update_all", normalize=False)
    assert missing == "Update all has no finished run on g@9"


def test_definitions_by_hand() -> None:
    assert interquartile_mean([1, 2, 3, 4, 5, 6, 7, 800]) == 4.5
    assert median([1, 10, 3]) == 3
    assert optimality_gap([0.5, 2.0, 1.0, 0.7]) == pytest.approx(0.2)
    assert performance_profile([1, 2, 2, 4], [0, 1, 2, 4]).tolist() == [1, 0.75, 0.25, 0]


def test_rliables_interval_resamples_inside_each_task() -> None:
    # Runs of a task agree, so only a bootstrap that mixes tasks would find any spread.
    frame = pd.DataFrame(
        [("a", t, "x", seed, value) for t, value in (("t", 0.0), ("u", 10.0)) for seed in range(4)],
        columns=["source", "target", "condition", "seed", "mean_return"],
    )
    spec = ReportSpec("n", (("a", "t"), ("a", "u")), ("x",), tuple(range(4)))
    tasks = gather(RunTable(frame, spec), [("a", "t"), ("a", "u")], "x", normalize=False)
    assert isinstance(tasks, Tasks)
    for name in ("mean", "iqm"):
        assert rliable_interval(tasks, STATISTICS[name]) == (5.0, 5.0)


@pytest.mark.parametrize("name", ["mean", "iqm"])
def test_rliables_interval_is_the_percentile_bootstraps(name: str) -> None:
    tasks = tasks_of(made_to_order(8), normalize=False)

    def statistic(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
        together = np.concatenate(samples, axis=-1)
        if name == "iqm":
            return np.asarray(stats.trim_mean(together, 0.25, axis=axis))
        return np.asarray(np.mean([sample.mean(axis=axis) for sample in samples], axis=0))

    edges = np.searchsorted(tasks.task, np.arange(len(TRANSFERS) + 1))
    samples = [tasks.values[start:end] for start, end in pairwise(edges)]
    theirs = stats.bootstrap(
        samples, statistic, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    ours = rliable_interval(tasks, STATISTICS[name], 20_000)
    assert ours == pytest.approx(tuple(theirs), rel=0.01)
    assert ours == rliable_interval(tasks, STATISTICS[name], 20_000)
    assert rliable_intervals(tasks, [STATISTICS["median"], STATISTICS[name]], 20_000)[1] == ours


def test_profiles_have_the_jackknifes_bounds() -> None:
    tasks = tasks_of(made_to_order(), normalize=True)
    thresholds = np.linspace(0, 3, 7)
    share, low, high = profile(tasks, thresholds)
    for i, threshold in enumerate(thresholds):

        def above(
            values: FloatArray, task: object, number: int, at: float = threshold
        ) -> FloatArray:
            return np.asarray((values > at).mean(axis=-1))

        one = jackknife(tasks, above)
        assert share[i] == pytest.approx(one.value)
        if one.has_interval:
            expected = max(one.low, 0.0), min(one.high, 1.0)
            assert (low[i], high[i]) == pytest.approx(expected)
        else:
            assert math.isnan(low[i])
    assert np.isfinite(low).any()
