"""Finds the runs of a condition among the scores, and compares two conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from thaw.report import statistics
from thaw.report.scores import ON_TARGET, RUN_IDENTITY, ReturnColumns
from thaw.report.spec import INDEPENDENT_CONDITIONS, ReportSpec
from thaw.report.statistics import CONFIDENCE, Estimate, FloatArray


class Runs(NamedTuple):
    """The finished runs of one condition of one transfer, by planned seed.

    Attributes:
        seeds: [N] int.
        values: [N] float, mean returns.
        standard_errors: [N] float, standard errors of the values over the episodes of each run;
            NaN where unknown.
        paired: Whether the run of each seed starts from the source's pretraining of that seed.
    """

    seeds: tuple[int, ...]
    values: FloatArray
    standard_errors: FloatArray
    paired: bool

    def of(self, seeds: Sequence[int]) -> Runs:
        """Return the runs of some of the seeds."""
        kept = np.isin(np.asarray(self.seeds, dtype=np.int64), list(seeds))
        chosen = tuple(seed for seed, keep in zip(self.seeds, kept, strict=True) if keep)
        return Runs(chosen, self.values[kept], self.standard_errors[kept], self.paired)


NO_RUNS = Runs((), np.empty(0), np.empty(0), False)


class RunTable:
    """The scores of a report, grouped once by source, target and condition."""

    def __init__(self, scores: pd.DataFrame, spec: ReportSpec) -> None:
        """Group scores, which :func:`thaw.report.scores.check_scores` returned."""
        self.spec = spec
        self._order = {seed: place for place, seed in enumerate(sorted(spec.seeds))}
        self._groups: dict[tuple[str, str, str], list[dict[Any, Any]]] = {}
        for row in scores.sort_values("seed", kind="stable").to_dict("records"):
            identity = row["source"], row["target"], row["condition"]
            self._groups.setdefault(identity, []).append(row)

    def rows(self, source: str, target: str, condition: str) -> list[dict[Any, Any]]:
        """Return the rows of one condition of one transfer, of the planned seeds, by seed.

        Runs without a source, such as ``random`` and ``scratch``, serve every transfer to their
        target: where a transfer has no rows with its source, it gets the rows without a source.
        """
        rows = self._groups.get((source, target, condition))
        if rows is None:
            rows = self._groups.get(("", target, condition), [])
        return [row for row in rows if row["seed"] in self._order]

    def seconds_per_seed(self) -> float:
        """Return the time that all runs of one seed took together; NaN where it is unknown."""
        planned = (
            row for rows in self._groups.values() for row in rows if row["seed"] in self._order
        )
        seconds = [row.get("seconds") for row in planned]
        known = [value for value in seconds if value is not None and np.isfinite(value)]
        return sum(known) / len(self._order) if known else float("nan")

    def runs(
        self, source: str, target: str, condition: str, columns: ReturnColumns = ON_TARGET
    ) -> Runs:
        """Return the runs that have a value.

        Args:
            source: Flavor address, empty where it is unknown.
            target: Flavor address.
            condition: Of the transfer.
            columns: The mean return to take.
        """
        nan = float("nan")
        rows = [
            row
            for row in self.rows(source, target, condition)
            if (value := row.get(columns.mean)) is not None and np.isfinite(value)
        ]
        own = [row.get(columns.standard_error, nan) for row in rows]
        has_source = any(row["source"] == source != "" for row in rows)
        return Runs(
            seeds=tuple(int(row["seed"]) for row in rows),
            values=np.array([row[columns.mean] for row in rows], dtype=np.float64),
            standard_errors=np.array([nan if e is None else e for e in own], dtype=np.float64),
            paired=(has_source or self.spec.paired) and condition not in INDEPENDENT_CONDITIONS,
        )


def select_runs(
    scores: pd.DataFrame,
    spec: ReportSpec,
    source: str,
    target: str,
    condition: str,
    columns: ReturnColumns = ON_TARGET,
) -> Runs:
    """Return the planned runs of one condition; for many conditions make one :class:`RunTable`."""
    columns_there = [name for name in (*RUN_IDENTITY, *columns) if name in scores]
    here = scores[(scores["target"] == target) & (scores["condition"] == condition)]
    return RunTable(here[columns_there], spec).runs(source, target, condition, columns)


def are_paired(first: Runs, second: Runs) -> bool:
    """Return whether two conditions are compared seed by seed."""
    shared = set(first.seeds) & set(second.seeds)
    enough = len(shared) >= statistics.MIN_SEEDS or first.seeds == second.seeds
    return first.paired and second.paired and enough


def compare(first: Runs, second: Runs, confidence: float = CONFIDENCE) -> tuple[Estimate, bool]:
    """Estimate the difference of mean returns, paired by seed where pretrainings are shared.

    Returns:
        The estimate, and whether it was paired. Its ``num_seeds`` counts the shared seeds of
        paired runs, else the runs of the condition with fewer.
    """
    if are_paired(first, second):
        shared = sorted(set(first.seeds) & set(second.seeds))
        one, other = first.of(shared), second.of(shared)
        errors = one.standard_errors, other.standard_errors
        paired = statistics.paired_difference(
            one.values, other.values, *errors, confidence=confidence
        )
        return paired, True
    estimate = statistics.difference(
        first.values,
        second.values,
        first.standard_errors,
        second.standard_errors,
        confidence=confidence,
    )
    fewest = min(len(first.values), len(second.values))
    return replace(estimate, num_seeds=fewest), False
