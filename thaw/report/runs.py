"""Finds the runs of a condition among the scores, and compares two conditions."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from thaw.report import always_valid, statistics
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
        confidence: With which they are compared; racing takes more than 95 %.
        always_valid: Whether they are compared so that seeds may have been added at will.
    """

    seeds: tuple[int, ...]
    values: FloatArray
    standard_errors: FloatArray
    paired: bool
    confidence: float = CONFIDENCE
    always_valid: bool = False

    def of(self, seeds: Sequence[int]) -> Runs:
        """Return the runs of some of the seeds."""
        kept = np.isin(np.asarray(self.seeds, dtype=np.int64), list(seeds))
        chosen = tuple(seed for seed, keep in zip(self.seeds, kept, strict=True) if keep)
        return self._replace(
            seeds=chosen, values=self.values[kept], standard_errors=self.standard_errors[kept]
        )


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
        self._counted: Mapping[str, Sequence[int]] = {}
        self._confidence: Mapping[str, float] = {}
        self._always_valid = False

    def counting(
        self, seeds: Mapping[str, Sequence[int]], confidence: Mapping[str, float]
    ) -> RunTable:
        """Return the same table with fewer seeds, as a race counts them.

        Args:
            seeds: Of some conditions; of all others every planned seed counts.
            confidence: With which a condition is compared; of two conditions the higher one.
        """
        table = copy.copy(self)
        table._counted, table._confidence = seeds, confidence
        return table

    def for_any_number_of_seeds(self) -> RunTable:
        """Return the same table, whose runs are compared as :mod:`.always_valid` does."""
        table = copy.copy(self)
        table._always_valid = True
        return table

    def rows(self, source: str, target: str, condition: str) -> list[dict[Any, Any]]:
        """Return the rows of one condition of one transfer, of the planned seeds, by seed.

        Runs without a source, such as ``random`` and ``scratch``, serve every transfer to their
        target: where a transfer has no rows with its source, it gets the rows without a source.
        """
        rows = self._groups.get((source, target, condition))
        if rows is None:
            rows = self._groups.get(("", target, condition), [])
        counted = self._counted.get(condition, self._order)
        return [row for row in rows if row["seed"] in self._order and row["seed"] in counted]

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
        # Of scores without sources, the plan may say that they are paired, the baseline excepted.
        said = self.spec.paired and condition != self.spec.baseline
        return Runs(
            seeds=tuple(int(row["seed"]) for row in rows),
            values=np.array([row[columns.mean] for row in rows], dtype=np.float64),
            standard_errors=np.array([nan if e is None else e for e in own], dtype=np.float64),
            paired=(has_source or said) and condition not in INDEPENDENT_CONDITIONS,
            confidence=self._confidence.get(condition, CONFIDENCE),
            always_valid=self._always_valid,
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


def compare(first: Runs, second: Runs, confidence: float | None = None) -> tuple[Estimate, bool]:
    """Estimate the difference of mean returns, paired by seed where pretrainings are shared.

    Args:
        first: Runs whose return counts positive.
        second: Runs whose return is subtracted.
        confidence: By default the higher one of the two conditions.

    Returns:
        The estimate, and whether it was paired. Its ``num_seeds`` counts the shared seeds of
        paired runs, else the runs of the condition with fewer.
    """
    if confidence is None:
        confidence = max(first.confidence, second.confidence)
    paired = are_paired(first, second)
    by_seed = paired or first.always_valid or second.always_valid
    if by_seed:
        shared = sorted(set(first.seeds) & set(second.seeds))
        first, second = first.of(shared), second.of(shared)
    if first.always_valid or second.always_valid:
        estimator = always_valid.difference
    else:
        estimator = statistics.paired_difference if paired else statistics.difference
    estimate = estimator(
        first.values,
        second.values,
        first.standard_errors,
        second.standard_errors,
        confidence=confidence,
    )
    fewest = min(len(first.values), len(second.values))
    return replace(estimate, num_seeds=fewest, confidence=confidence), paired
