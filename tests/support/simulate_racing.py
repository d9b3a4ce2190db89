"""Simulates races with known truth: false winners, power and runs. Prints Markdown.

    python tests/support/simulate_racing.py [--races 20000]

Four conditions. The score of condition c with seed i is
mean_c + SD_c (sqrt(rho) u_i + sqrt(1 - rho) e_ci): u_i is the pretraining that all conditions
share. Scratch, where it takes part, has its own u_i and is compared by Welch.
A false winner is any winner where two conditions are equally good,
else a winner that is not the best. Runs count transfers only, not pretrainings.

The race is vectorized here; tests/report/test_racing.py holds it against thaw.report.racing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from thaw.config.racing import RacingConfig
from thaw.report import always_valid

Floats = npt.NDArray[np.float64]

RHO = 0.5
SEED = 20_261_127
SIGMA = 0.75
"""Of the logarithm of skewed scores: skewness 3.3."""


@dataclass(frozen=True)
class Truth:
    """What the conditions are like. The first is the best, or one of the best."""

    name: str
    means: tuple[float, ...]
    spreads: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    scratch: int | None = None
    """Which condition shares no pretraining."""
    skewed: bool = False

    @property
    def num_best(self) -> int:
        """How many conditions are equally good."""
        return sum(mean == max(self.means) for mean in self.means)


TIES = (
    Truth("two equal, two 3 SD below", (0, 0, -3, -3)),
    Truth("two equal (one is scratch), two 3 SD below", (0, 0, -3, -3), scratch=1),
    Truth("four equal", (0, 0, 0, 0)),
    Truth("two equal with SD 0.2 and 3, two 0.3 below", (0, 0, -0.3, -0.3), (0.2, 3, 0.2, 0.2)),
    Truth("two equal, two 3 SD below, skewed", (0, 0, -3, -3), skewed=True),
    Truth("four equal, skewed", (0, 0, 0, 0), skewed=True),
)
LEADS = tuple(Truth(f"best by {d:g} SD", (d, 0, 0, 0)) for d in (0.0, 0.5, 1.0, 2.0))


def draw(truth: Truth, num_races: int, num_seeds: int, rng: np.random.Generator) -> Floats:
    """Return scores [race, condition, seed]."""
    num_conditions = len(truth.means)
    shared = np.repeat(rng.normal(size=(num_races, 1, num_seeds)), num_conditions, axis=1)
    if truth.scratch is not None:
        shared[:, truth.scratch] = rng.normal(size=(num_races, num_seeds))
    own = rng.normal(size=(num_races, num_conditions, num_seeds))
    scores = np.sqrt(RHO) * shared + np.sqrt(1 - RHO) * own
    if truth.skewed:
        mean = np.exp(SIGMA**2 / 2)
        spread = mean * np.sqrt(np.exp(SIGMA**2) - 1)
        scores = (np.exp(SIGMA * scores) - mean) / spread
    scores = scores * np.array(truth.spreads)[:, None] + np.array(truth.means)[:, None]
    return np.asarray(scores, dtype=np.float64)


@dataclass(frozen=True)
class Outcome:
    """How races ended."""

    winner: npt.NDArray[np.int64]
    """[race], -1 where it is not decided."""
    runs: npt.NDArray[np.int64]
    """[race], of all conditions."""
    covered: Floats | None = None
    """[race] whether the interval that is printed holds the true lead, for a race."""
    covered_plain: Floats | None = None
    """The same for a 95 % interval of the same runs."""


def race(
    scores: Floats,
    looks: Sequence[int],
    levels: Sequence[float],
    scratch: int | None = None,
    give_up: Sequence[float] = (),
    means: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
) -> Outcome:
    """Race on scores [race, condition, seed].

    Args:
        scores: At least looks[-1] seeds.
        looks: Seeds at each look.
        levels: Two-sided error of each look.
        scratch: The condition that is compared by Welch.
        give_up: At each look but the last, a race ends undecided where the leader's t over the
            runner-up is smaller.
        means: The true ones.
    """
    num_races, num_conditions, _ = scores.shape
    every = np.arange(num_races)
    live = np.ones((num_races, num_conditions), dtype=bool)
    is_open = np.ones(num_races, dtype=bool)
    winner = np.full(num_races, -1)
    runs = np.zeros(num_races, dtype=np.int64)
    covered = np.full((2, num_races), np.nan)
    before = 0
    for look, (num_seeds, level) in enumerate(zip(looks, levels, strict=True)):
        runs += is_open * live.sum(axis=1) * (num_seeds - before)
        before = num_seeds
        seen = scores[:, :, :num_seeds]
        seen_means = np.where(live, seen.mean(axis=2), -np.inf)
        leader = seen_means.argmax(axis=1)
        t, critical = _leads(seen, leader, level, scratch)
        t[every, leader] = np.nan
        racing = live.copy()
        racing[every, leader] = False
        live &= ~((t > critical) & is_open[:, None])
        won = is_open & (live.sum(axis=1) == 1)
        winner[won] = leader[won]
        ends = won | is_open if look == len(looks) - 1 else won
        for row, limit in ((0, critical), (1, _leads(seen, leader, 0.05, scratch)[1])):
            # Printed is the lead over the condition that is least certainly behind.
            rival = np.where(racing, t - critical, np.inf).argmin(axis=1)
            gaps = seen[every, leader].mean(axis=1) - seen[every, rival].mean(axis=1)
            true = np.asarray(means)[leader] - np.asarray(means)[rival]
            half = gaps / t[every, rival] * limit[every, rival]
            covered[row, ends] = (np.abs(gaps - true) <= half)[ends]
        is_open &= ~won
        if look < len(give_up):
            seen_means[every, leader] = -np.inf
            runner_up = np.where(live, seen_means, -np.inf).argmax(axis=1)
            is_open &= ~(t[every, runner_up] < give_up[look])
    return Outcome(winner, runs, covered[0], covered[1])


def _leads(
    seen: Floats, leader: npt.NDArray[np.int64], level: float, scratch: int | None
) -> tuple[Floats, Floats]:
    """Return t of the leader over each condition, and its critical value: [race, condition]."""
    num_races, num_conditions, num_seeds = seen.shape
    every = np.arange(num_races)
    gaps = seen[every, leader][:, None] - seen
    with np.errstate(invalid="ignore", divide="ignore"):
        t = gaps.mean(axis=2) / (gaps.std(axis=2, ddof=1) / np.sqrt(num_seeds))
    critical = np.full((num_races, num_conditions), stats.t.ppf(1 - level / 2, num_seeds - 1))
    if scratch is None:
        return t, critical
    variances = seen.var(axis=2, ddof=1) / num_seeds
    both = variances[every, leader][:, None] + variances
    squares = variances[every, leader][:, None] ** 2 + variances**2
    degrees = both**2 * (num_seeds - 1) / squares
    unpaired = np.zeros((num_races, num_conditions), dtype=bool)
    unpaired[:, scratch] = True
    unpaired[leader == scratch] = True
    t = np.where(unpaired, gaps.mean(axis=2) / np.sqrt(both), t)
    return t, np.where(unpaired, stats.t.ppf(1 - level / 2, degrees), critical)


def old_rule(scores: Floats, looks: Sequence[int], rng: np.random.Generator) -> Outcome:
    """Look with thaw's rule of before: the best over the runner-up, percentile bootstrap."""
    num_races = len(scores)
    every = np.arange(num_races)
    winner = np.full(num_races, -1)
    runs = np.zeros(num_races, dtype=np.int64)
    for num_seeds in looks:
        seen = scores[:, :, :num_seeds]
        order = seen.mean(axis=2).argsort(axis=1)
        gaps = seen[every, order[:, -1]] - seen[every, order[:, -2]]
        weights = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), 1000) / num_seeds
        ahead = np.quantile(gaps @ weights.T, 0.025, axis=1) > 0
        is_open = winner < 0
        runs[is_open] = scores.shape[1] * num_seeds
        winner[is_open & ahead] = order[is_open & ahead, -1]
    return Outcome(winner, runs)


def e_values(scores: Floats, looks: Sequence[int]) -> Outcome:
    """Look with always-valid intervals: the leader must be ahead of every other condition."""
    num_races, num_conditions, _ = scores.shape
    winner = np.full(num_races, -1)
    runs = np.zeros(num_races, dtype=np.int64)
    for num_seeds in looks:
        seen = scores[:, :, :num_seeds]
        leader = seen.mean(axis=2).argmax(axis=1)
        t, _ = _leads(seen, leader, 0.05, None)
        t[np.arange(num_races), leader] = np.inf
        ahead = t.min(axis=1) > always_valid.critical_t(num_seeds)
        is_open = winner < 0
        runs[is_open] = num_conditions * num_seeds
        winner[is_open & ahead] = leader[is_open & ahead]
    return Outcome(winner, runs)


Design = Callable[[Floats, Truth], Outcome]


def designs(rng: np.random.Generator) -> dict[str, tuple[int, Design]]:
    """Return the most seeds of each design, and the design."""

    def raced(plan: RacingConfig, give_up: Sequence[float] = ()) -> tuple[int, Design]:
        return plan.looks[-1], lambda scores, truth: race(
            scores, plan.looks, plan.levels, truth.scratch, give_up, truth.means
        )

    def naive(scores: Floats, truth: Truth) -> Outcome:
        # Drops as a race does; each look has the whole error.
        return race(scores, range(3, 13), [0.05] * 10, truth.scratch)

    spent = (0.01, 0.015, 0.025)
    return {
        "fixed, 12 seeds": raced(RacingConfig(looks=(12,))),
        "**race 3, 5, 8, 12**": raced(RacingConfig(looks=(3, 5, 8, 12))),
        "race 3, 5, 8, 12, gives up at t < 0.5, 0.5, 1": raced(
            RacingConfig(looks=(3, 5, 8, 12)), (0.5, 0.5, 1.0)
        ),
        "fixed, 20 seeds": raced(RacingConfig(looks=(20,))),
        "race 5, 10, 20": raced(RacingConfig(looks=(5, 10, 20))),
        "race 5, 10, 20 (1, 1.5, 2.5 %), gives up at t < 0.5, 1": raced(
            RacingConfig(looks=(5, 10, 20), levels=spent), (0.5, 1.0)
        ),
        "e-value after each seed, 3 to 20": (20, lambda s, _: e_values(s, range(3, 21))),
        "naive: t at 5 % after each seed, 3 to 12": (12, naive),
        "naive: the old rule after each seed, 2 to 10": (
            10, lambda s, _: old_rule(s[:4000], range(2, 11), rng)
        ),
    }  # fmt: skip


def tables(num_races: int) -> list[list[list[str]]]:
    """Return two tables: false winners for ties, and power and runs for leads."""
    rng = np.random.default_rng(SEED)
    false = [["design", *(truth.name for truth in TIES)]]
    power = [["design", *(truth.name for truth in LEADS)]]
    drawn = {truth.name: draw(truth, num_races, 20, rng) for truth in (*TIES, *LEADS)}
    for name, (most, design) in designs(rng).items():
        row = [name]
        for truth in TIES:
            outcome = design(drawn[truth.name][:, :, :most], truth)
            row.append(f"{100 * np.mean(outcome.winner >= 0):.1f}")
        false.append(row)
        row = [name]
        for truth in LEADS:
            outcome = design(drawn[truth.name][:, :, :most], truth)
            found = np.mean(outcome.winner == 0) if truth.num_best == 1 else 0.0
            wrong = np.mean((outcome.winner >= 0) & ((truth.num_best > 1) | (outcome.winner != 0)))
            row.append(f"{100 * found:.0f} ({100 * wrong:.1f}) / {outcome.runs.mean():.0f}")
        power.append(row)
    return [false, power]


def coverage(num_races: int, looks: Sequence[int]) -> list[list[str]]:
    """Return how often the printed interval of the lead holds the true one, in % of races."""
    rng = np.random.default_rng(SEED)
    plan = RacingConfig(looks=tuple(looks))
    table = [["true lead", "decided races", "decided, plain 95 %", "all races", "all, plain 95 %"]]
    for truth in LEADS:
        scores = draw(truth, num_races, looks[-1], rng)
        outcome = race(scores, plan.looks, plan.levels, means=truth.means)
        decided = outcome.winner >= 0
        assert outcome.covered is not None
        assert outcome.covered_plain is not None
        both = outcome.covered, outcome.covered_plain
        of_decided = [f"{100 * np.mean(held[decided]):.0f}" for held in both]
        of_all = [f"{100 * np.mean(held):.0f}" for held in both]
        table.append([truth.name, *of_decided, *of_all])
    return table


def always_valid_error(num_races: int, most: int = 20) -> float:
    """Return how often an e-value of equal conditions reaches 20 at any of 3 to `most` seeds."""
    rng = np.random.default_rng(SEED)
    gaps = rng.normal(size=(num_races, most))
    reached = np.zeros(num_races, dtype=bool)
    for num_seeds in range(3, most + 1):
        seen = gaps[:, :num_seeds]
        t = seen.mean(axis=1) / (seen.std(axis=1, ddof=1) / np.sqrt(num_seeds))
        reached |= np.array([always_valid.e_value(x, num_seeds) >= 20 for x in t])
    return float(reached.mean())


def markdown(table: list[list[str]]) -> str:
    """Write a table."""
    lines = [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]])


def main(arguments: Any = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--races", type=int, default=20_000)
    num_races = parser.parse_args(arguments).races
    false, power = tables(num_races)
    print(f"{num_races:,} races each, rho {RHO}, seed {SEED}\n")
    print(f"False winners, % of races:\n\n{markdown(false)}\n")
    print(f"Right winner % (false winner %) / runs:\n\n{markdown(power)}\n")
    print(f"Printed interval holds the true lead, % of races with looks at 3, 5, 8, 12:\n\n"
          f"{markdown(coverage(num_races, (3, 5, 8, 12)))}\n")  # fmt: skip
    print(f"e-value of two equal conditions >= 20 at any of 3 to 20 seeds: "
          f"{100 * always_valid_error(num_races):.2f} %")  # fmt: skip


if __name__ == "__main__":
    main()
