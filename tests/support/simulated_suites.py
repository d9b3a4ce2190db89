"""Suites of runs whose true numbers are known, to see how often the report's intervals hold them.

A run's return comes from a latent normal score z, of which pretraining seed i gives a share to all
transfers and conditions, and another share to the conditions of one transfer::

    z = sqrt(0.3) u_i + sqrt(0.2) v_ti + sqrt(0.5) e          scratch: z = e

Kinds of data, each with a mean proportional to ``level`` (N is the number of seeds):
    normal: level (3 + z).
    lognormal: level exp(0.755 z), skewness 3.3.
    catch: 100 throws of +-1; the chance of a catch is Beta(10 m, 10 (1 - m)) with m = 0.9 at level
        1, so that one run in twelve catches all.
    bimodal: 30 % of the runs fail, with 0 instead of 3 level; in both cases SD 0.3 level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import pandas as pd
from scipy import special

from thaw.report.runs import Runs
from thaw.report.statistics import FloatArray
from thaw.report.tasks import interquartile_mean

Kind = Literal["normal", "lognormal", "catch", "bimodal"]
KINDS: tuple[Kind, ...] = ("normal", "lognormal", "catch", "bimodal")

SHARED, SHARED_ON_TARGET = 0.3, 0.2
SIGMA = 0.755
THROWS = 100
FAILURES = 0.3
BETA_SUM = 10
MANY = 300_000
"""Runs from which true numbers are found that have no formula."""

SOURCE = "g"
TARGETS = ("g@0", "g@1", "g@2", "g@3")
TARGET_LEVELS = (1.0, 0.9, 0.8, 0.7)
LEVELS = {"update_all": 1.0, "freeze_head": 0.8, "scratch": 0.5}
"""Mean return of each condition relative to that of update_all."""
RANDOM: dict[Kind, tuple[float, float]] = {
    "normal": (0.5, 0.1),
    "lognormal": (0.2, 0.05),
    "catch": (-0.6, 0.05),
    "bimodal": (0.0, 0.1),
}
"""Mean and standard deviation of the random policy's runs."""


def returns(
    kind: Kind, latent: FloatArray, level: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return the runs' returns and the standard errors over their episodes, NaN where unknown."""
    unknown = np.full(latent.shape, np.nan)
    if kind == "normal":
        return level * (3 + latent), unknown
    if kind == "lognormal":
        return level * np.exp(SIGMA * latent), unknown
    if kind == "bimodal":
        worked = special.ndtr(latent) >= FAILURES
        return level * (3 * worked + 0.3 * rng.normal(size=latent.shape)), unknown
    caught = (1 + 0.8 * level) / 2
    chance = special.betaincinv(BETA_SUM * caught, BETA_SUM * (1 - caught), special.ndtr(latent))
    values = 2 * rng.binomial(THROWS, np.clip(chance, 0, 1)) / THROWS - 1
    return values, np.sqrt((1 - values**2) / (THROWS - 1))


def true_mean(kind: Kind, level: float) -> float:
    """Return the mean return of all runs that could be."""
    at_one = {"normal": 3.0, "lognormal": np.exp(SIGMA**2 / 2), "catch": 0.8, "bimodal": 2.1}
    return float(level * at_one[kind])


@cache
def true_improvement(kind: Kind, level: float, other: float) -> float:
    """Return the chance that a run beats one of another level, from many pairs."""
    rng = np.random.default_rng(1)
    first, second = (returns(kind, rng.normal(size=MANY), one, rng)[0] for one in (level, other))
    return float(np.mean(first > second) + np.mean(first == second) / 2)


@cache
def true_iqm(kind: Kind, *, normalized: bool) -> float:
    """Return the interquartile mean of update_all's runs on all targets, from many runs."""
    rng = np.random.default_rng(2)
    pooled = []
    for level in TARGET_LEVELS:
        values, _ = returns(kind, rng.normal(size=MANY), level, rng)
        unit = true_mean(kind, level * LEVELS["scratch"]) if normalized else 1.0
        pooled.append(values / unit)
    return interquartile_mean(np.concatenate(pooled))


def suite_scores(
    kind: Kind, num_seeds: int, rng: np.random.Generator, shared: float = SHARED
) -> pd.DataFrame:
    """Return the scores of one suite: four transfers from one source, three conditions, random."""
    pretraining = rng.normal(size=num_seeds)
    parts = []
    for target, target_level in zip(TARGETS, TARGET_LEVELS, strict=True):
        own = rng.normal(size=num_seeds)
        for condition, level in LEVELS.items():
            noise = rng.normal(size=num_seeds)
            if condition != "scratch":
                rest = np.sqrt(1 - shared - SHARED_ON_TARGET) * noise
                noise = np.sqrt(shared) * pretraining + np.sqrt(SHARED_ON_TARGET) * own + rest
            parts.append((target, condition, *returns(kind, noise, target_level * level, rng)))
        mean, spread = RANDOM[kind]
        draws = rng.normal(mean, spread, num_seeds)
        parts.append((target, "random", draws, np.full(num_seeds, np.nan)))
    return _frame(parts, num_seeds)


def _frame(
    parts: Sequence[tuple[str, str, FloatArray, FloatArray]], num_seeds: int
) -> pd.DataFrame:
    independent = ("scratch", "random")
    columns: Mapping[str, object] = {
        "source": np.repeat(["" if p[1] in independent else SOURCE for p in parts], num_seeds),
        "target": np.repeat([part[0] for part in parts], num_seeds),
        "condition": np.repeat([part[1] for part in parts], num_seeds),
        "seed": np.tile(np.arange(num_seeds), len(parts)),
        "mean_return": np.concatenate([part[2] for part in parts]),
        "sem": np.concatenate([part[3] for part in parts]),
    }
    return pd.DataFrame(columns)


@dataclass(frozen=True)
class Contest:
    """Conditions of one transfer with known means.

    Attributes:
        name: For a table.
        means: In standard deviations of a run, where ``spreads`` are 1.
        spreads: Standard deviation of each condition's runs over seeds.
        correlation: Of two conditions' runs of one seed.
    """

    name: str
    means: tuple[float, ...]
    spreads: tuple[float, ...] = ()
    correlation: float = 0.5

    @property
    def winner(self) -> int | None:
        """The condition with the highest mean; None where several share it."""
        best = max(self.means)
        return self.means.index(best) if self.means.count(best) == 1 else None

    def runs(self, kind: Kind, num_seeds: int, rng: np.random.Generator) -> dict[str, Runs]:
        """Return the runs of each condition, named by its place; all share their pretrainings."""
        seeds = tuple(range(num_seeds))
        pretraining = rng.normal(size=num_seeds)
        found = {}
        for place, mean in enumerate(self.means):
            noise = np.sqrt(1 - self.correlation) * rng.normal(size=num_seeds)
            latent = np.sqrt(self.correlation) * pretraining + noise
            spread = self.spreads[place] if self.spreads else 1.0
            if kind == "normal":
                values, errors = mean + spread * latent, np.full(num_seeds, np.nan)
            else:
                values, errors = returns(kind, latent, 1.0, rng)
                values = mean + values
            found[str(place)] = Runs(seeds, values, errors, paired=True)
        return found


EQUALS = (
    Contest("two equal", (0, 0)),
    Contest("two equal, two far below", (0, 0, -10, -10)),
    Contest("four equal", (0, 0, 0, 0)),
    Contest("two equal and wild, two steady below", (0, 0, -3, -3), (3, 3, 0.2, 0.2)),
    Contest("trap: steady and wild tie, a steady one just below", (0, 0, -0.3), (0.2, 3, 0.2)),
)
"""Nobody is the best, so that each winner is a false one."""

LEADS = tuple(Contest(f"best leads three equal by {d} SD", (d, 0, 0, 0)) for d in (0.5, 1.0, 2.0))
