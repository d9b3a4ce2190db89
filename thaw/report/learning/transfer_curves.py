"""The runs of one transfer for the metrics of learning curves: scores and curves side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from thaw.report.curves import Curve, CurveTable
from thaw.report.learning.curve_measures import Window, common_window, finite
from thaw.report.runs import Runs, RunTable, compare
from thaw.report.spec import UNTRAINED_CONDITIONS, condition_name
from thaw.report.statistics import CONFIDENCE, Estimate
from thaw.report.words import count


class TransferCurves:
    """The curves of one transfer, in the window that they have in common."""

    def __init__(
        self,
        table: RunTable,
        curves: CurveTable,
        source: str,
        target: str,
        confidence: float = CONFIDENCE,
    ) -> None:
        """Find the common window.

        Args:
            table: The scores.
            curves: The curves.
            source: Flavor address, empty where it is unknown.
            target: Flavor address.
            confidence: Of the intervals.
        """
        self.table = table
        self.source = source
        self.target = target
        self.confidence = confidence
        self.spec = table.spec
        self.baseline = table.spec.baseline
        self.learning = [c for c in self.spec.conditions if c not in UNTRAINED_CONDITIONS]
        self._all = {c: curves.curves(source, target, c) for c in self.learning}
        self.window = common_window({c: found.curves for c, found in self._all.items()})

    def curves(self, condition: str) -> tuple[Curve, ...]:
        """Return the curves of a condition that reach over the whole window."""
        found = self._all.get(condition)
        if found is None or self.window is None:
            return ()
        return tuple(curve for curve in found.curves if self.window.covered_by(curve))

    def measured(self, condition: str, measure: Callable[[Curve, Window], float]) -> Runs:
        """Return the runs of a condition by a number of their curves."""
        window = self.window
        pairs = [
            (curve.seed, measure(curve, window) if window is not None else math.nan)
            for curve in self.curves(condition)
        ]
        seeds, values = finite(pairs)
        return Runs(seeds, values, np.full(len(values), np.nan), self.is_paired(condition))

    def is_paired(self, condition: str) -> bool:
        """Whether the curves of a condition start from shared pretrainings."""
        found = self._all.get(condition)
        return found is not None and found.paired

    def scores(self, condition: str) -> Runs:
        """Return the runs of a condition by their score on the target."""
        return self.table.runs(self.source, self.target, condition)

    def no_curve(self, condition: str) -> str:
        """Say why a condition has no number from its curves."""
        found = self._all.get(condition)
        name = condition_name(condition)
        if found is None:
            return f"{name} is not in the suite"
        if not found.curves:
            return f"{name} has no learning curve"
        if self.window is None:
            return "the learning curves have no common range of steps"
        return f"no curve of {name} has the points that this number needs"

    def left_out(self, condition: str) -> str:
        """Say how many curves were too short to count; an empty text if none was."""
        found = self._all.get(condition)
        missing = len(found.curves) - len(self.curves(condition)) if found is not None else 0
        return f"{count(missing, 'curve')} too short to count" if missing else ""

    def difference(self, first: Runs, second: Runs) -> Estimate:
        """Estimate a difference, paired by seed where pretrainings are shared."""
        return compare(first, second, self.confidence)[0]


def nothing(note: str, num_seeds: int = 0) -> Estimate:
    """Return an estimate without a number, and why there is none."""
    return Estimate(math.nan, math.nan, math.nan, num_seeds, note=note)


def noted(estimate: Estimate, *notes: str) -> Estimate:
    """Add notes to an estimate; empty ones are left out."""
    return replace(estimate, note="; ".join(note for note in (estimate.note, *notes) if note))
