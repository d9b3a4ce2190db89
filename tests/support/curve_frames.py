"""Scores and curves of one transfer, made to order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

SOURCE, TARGET = "catch", "catch@large_ball"
WITHOUT_SOURCE = ("random", "scratch", "pretrain")

Bins = Mapping[int, float]
"""Return by right edge of the bin."""


def curves_frame(
    values: Mapping[str, Mapping[int, Bins] | Iterable[Bins]],
    source: str = SOURCE,
    target: str = TARGET,
) -> pd.DataFrame:
    """Return curves from condition -> seed -> steps -> return; a list has seeds 0, 1, ..."""
    rows = [
        ("" if condition in WITHOUT_SOURCE else source, target, condition, seed, steps, value)
        for condition, runs in values.items()
        for seed, bins in (runs.items() if isinstance(runs, Mapping) else enumerate(runs))
        for steps, value in bins.items()
    ]
    columns = ["source", "target", "condition", "seed", "steps", "mean_return"]
    return pd.DataFrame(rows, columns=columns)


def scores_frame(
    returns: Mapping[str, Sequence[float]], source: str = SOURCE, target: str = TARGET
) -> pd.DataFrame:
    """Return scores from condition -> return by seed; ``pretrain`` is scored on the source."""
    rows = [
        (
            "" if condition in WITHOUT_SOURCE else source,
            source if condition == "pretrain" else target,
            condition,
            seed,
            value,
        )
        for condition, values in returns.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["source", "target", "condition", "seed", "mean_return"])


def even(values: Iterable[float], width: int = 10) -> dict[int, float]:
    """Return bins of one width with these returns."""
    return {width * (i + 1): float(value) for i, value in enumerate(values)}


def line(start: float, end: float, bins: int = 100, width: int = 10) -> dict[int, float]:
    """Return bins of a curve that rises evenly from one return to another."""
    return even([start + (end - start) * i / (bins - 1) for i in range(bins)], width)
