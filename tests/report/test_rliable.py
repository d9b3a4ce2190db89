"""Our numbers over tasks are rliable's: its own functions, on random arrays, to 1e-12.

rliable 1.2.0 needs arch < 8 for its bootstrap, and arch 7.2.0 cannot be imported beside pandas 3.
Its metrics need neither. Its performance profile lies in the module with the bootstrap, so arch is
replaced by an empty module while that is imported; nothing of arch is called.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from thaw.report import statistics, tasks

CLOSE = 1e-12
ARRAYS = 50

Scores = NDArray[np.float64]


def random_scores(seed: int) -> tuple[Scores, Scores]:
    """Return two arrays of runs x tasks; half of them have ties."""
    rng = np.random.default_rng(seed)
    num_tasks = int(rng.integers(1, 7))
    first, second = (
        rng.normal(0.8, 0.6, size=(int(rng.integers(1, 13)), num_tasks)) for _ in range(2)
    )
    return (first.round(1), second.round(1)) if seed % 2 else (first, second)


def of_tasks(scores: Scores) -> Scores:
    return np.asarray(scores.mean(axis=0))


def mean_improvement(first: Scores, second: Scores) -> float:
    """Average the probability of improvement over tasks, as rliable does."""
    pairs = zip(first.T, second.T, strict=True)
    return float(np.mean([statistics.probability_of_improvement(x, y).value for x, y in pairs]))


OURS: dict[str, Callable[[Scores], float]] = {
    "aggregate_mean": lambda scores: float(of_tasks(scores).mean()),
    "aggregate_median": lambda scores: tasks.median(of_tasks(scores)),
    "aggregate_iqm": tasks.interquartile_mean,
    "aggregate_optimality_gap": tasks.optimality_gap,
}


@pytest.fixture(scope="module")
def metrics() -> Any:
    return importlib.import_module("rliable.metrics")


@pytest.mark.parametrize("name", OURS)
def test_a_number_over_tasks_is_rliables(name: str, metrics: Any) -> None:
    for seed in range(ARRAYS):
        scores, _ = random_scores(seed)
        assert OURS[name](scores) == pytest.approx(getattr(metrics, name)(scores), abs=CLOSE)


def test_the_statistics_of_the_report_are_these_functions(metrics: Any) -> None:
    names = {
        "mean": "aggregate_mean", "median": "aggregate_median", "iqm": "aggregate_iqm",
        "optimality_gap": "aggregate_optimality_gap",
    }  # fmt: skip
    assert set(names) == set(tasks.STATISTICS)
    for seed in range(ARRAYS):
        scores, _ = random_scores(seed)
        task = np.repeat(np.arange(scores.shape[1]), len(scores))
        for ours, theirs in names.items():
            found = tasks.STATISTICS[ours](scores.T.ravel(), task, scores.shape[1])
            assert found == pytest.approx(getattr(metrics, theirs)(scores), abs=CLOSE), ours


def test_the_probability_of_improvement_is_rliables(metrics: Any) -> None:
    for seed in range(ARRAYS):
        first, second = random_scores(seed)
        theirs = metrics.probability_of_improvement(first, second)
        assert mean_improvement(first, second) == pytest.approx(theirs, abs=CLOSE)


def test_the_performance_profile_is_rliables(monkeypatch: pytest.MonkeyPatch) -> None:
    arch, bootstrap = ModuleType("arch"), ModuleType("arch.bootstrap")
    vars(bootstrap).update(IIDBootstrap=object, IndependentSamplesBootstrap=object)
    vars(arch).update(bootstrap=bootstrap)
    monkeypatch.setitem(sys.modules, "arch", arch)
    monkeypatch.setitem(sys.modules, "arch.bootstrap", bootstrap)
    monkeypatch.delitem(sys.modules, "rliable.library", raising=False)
    library = importlib.import_module("rliable.library")
    monkeypatch.delitem(sys.modules, "rliable.library")
    thresholds = np.linspace(-0.5, 2.0, 26).round(1)
    for seed in range(ARRAYS):
        scores, _ = random_scores(seed)
        theirs = [library.run_score_deviation(scores, tau) for tau in thresholds]
        ours = tasks.performance_profile(scores, thresholds)
        assert ours.tolist() == pytest.approx(theirs, abs=CLOSE)
