"""Measures how often the report's intervals hold the truth and its verdicts are right.

    python tests/support/simulate_intervals.py --suites 1000 --seed 0
    python tests/support/simulate_intervals.py --scores SUITE/scores.csv

prints the tables of docs/statistics.md. With ``--scores``, it asks how often intervals of 5 random
seeds hold the mean of all seeds of a real suite.
"""

from __future__ import annotations

import argparse
import datetime
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import special, stats
from simulated_suites import (
    EQUALS,
    KINDS,
    LEADS,
    LEVELS,
    SOURCE,
    TARGETS,
    Contest,
    Kind,
    returns,
    suite_scores,
    true_improvement,
    true_iqm,
    true_mean,
)
from simulated_suites import RANDOM as RANDOM_RUNS

from thaw.report import statistics
from thaw.report.aggregates import normalizable
from thaw.report.gates import trained_runs
from thaw.report.leads import leads_of
from thaw.report.metrics import Transfer
from thaw.report.power import seeds_for_lead
from thaw.report.runs import RunTable, compare
from thaw.report.scores import read_scores
from thaw.report.spec import ReportSpec
from thaw.report.statistics import CONFIDENCE, Estimate, FloatArray
from thaw.report.tasks import STATISTICS, Tasks, gather, jackknife
from thaw.report.verdict import MOST_SEEDS

SEEDS = (3, 5, 10)
NUMBERS = (
    "return (one mean)",
    "paired difference",
    "difference to scratch",
    "ratio to scratch",
    "ratio above random",
    "probability of improvement, close",
    "probability of improvement, far",
    "mean over 4 transfers, raw",
    "IQM over 4 transfers, raw",
    "mean over 4 transfers, normalized",
    "IQM over 4 transfers, normalized",
    "lead of the best of three",
)


class Tally:
    """How many intervals held the truth, of how many that were printed, of how many suites."""

    def __init__(self) -> None:
        """Start with none."""
        self.held = self.printed = self.suites = 0

    def add(self, estimate: Estimate, truth: float) -> None:
        """Count one interval, or that there was none."""
        self.suites += 1
        self.printed += estimate.has_interval
        self.held += estimate.has_interval and estimate.low <= truth <= estimate.high

    @property
    def coverage(self) -> float:
        """Share of the printed intervals that held the truth."""
        return self.held / self.printed if self.printed else math.nan

    @property
    def share_printed(self) -> float:
        """Share of the suites with an interval."""
        return self.printed / self.suites if self.suites else math.nan

    def text(self) -> str:
        """Write the coverage in percent, and the share that was printed where it is not all."""
        if not self.printed:
            return "-"
        some = f" ({100 * self.share_printed:.0f})" if self.share_printed < 0.995 else ""
        return f"{100 * self.coverage:.1f}{some}"


def plan(num_seeds: int) -> ReportSpec:
    """Return the plan of a simulated suite."""
    return ReportSpec(
        "simulated",
        tuple((SOURCE, target) for target in TARGETS),
        (*LEVELS, "random"),
        tuple(range(num_seeds)),
        normalize="scratch",
    )


def estimates(table: RunTable, kind: Kind) -> Iterator[tuple[str, Estimate, float]]:
    """Yield each printed number of a suite with its true value."""
    transfer = Transfer(table, SOURCE, TARGETS[0], CONFIDENCE)
    means = {condition: true_mean(kind, level) for condition, level in LEVELS.items()}
    moved, scratch, random = means["update_all"], means["scratch"], RANDOM_RUNS[kind][0]

    def measured(condition: str, metric: str) -> Estimate:
        found = transfer.measure(condition, metric)
        assert found is not None
        return found

    yield NUMBERS[0], measured("update_all", "return"), moved
    pair = transfer.runs("update_all"), transfer.runs("freeze_head")
    yield NUMBERS[1], compare(*pair)[0], moved - means["freeze_head"]
    yield NUMBERS[2], measured("update_all", "difference_to_scratch"), moved - scratch
    yield NUMBERS[3], measured("update_all", "normalized_by_scratch"), moved / scratch
    above = (moved - random) / (scratch - random)
    yield NUMBERS[4], measured("update_all", "normalized_above_random"), above
    for name, other in ((NUMBERS[5], "freeze_head"), (NUMBERS[6], "scratch")):
        truth = true_improvement(kind, LEVELS[other], LEVELS["update_all"])
        yield name, measured(other, "probability_of_improvement"), truth
    target_mean = float(np.mean([true_mean(kind, level) for level in (1.0, 0.9, 0.8, 0.7)]))
    every = list(table.spec.transfers)
    kept, _, certain = normalizable(table)
    for normalize, transfers, mean in ((False, every, target_mean), (True, kept, moved / scratch)):
        tasks = gather(table, transfers, "update_all", normalize=normalize)
        enough = len(transfers) > 1 and (certain or not normalize)
        truths = {"mean": mean, "iqm": true_iqm(kind, normalized=normalize)}
        for statistic, place in (("mean", 7), ("iqm", 8)):
            found = statistics.NO_ESTIMATE
            if enough and isinstance(tasks, Tasks):
                found = jackknife(tasks, STATISTICS[statistic])
            yield NUMBERS[place + 2 * normalize], found, truths[statistic]
    best, leads = leads_of(trained_runs(table, SOURCE, TARGETS[0]))
    other = least_certain(leads)
    yield NUMBERS[-1], leads[other][0], means[best] - means[other]


def coverages(
    suites: int, seed: int, kinds: Sequence[Kind] = KINDS, seeds: Sequence[int] = SEEDS
) -> dict[tuple[str, Kind, int], Tally]:
    """Return a tally for each number, kind of data and number of seeds."""
    found: dict[tuple[str, Kind, int], Tally] = {}
    for kind in kinds:
        for num_seeds in seeds:
            rng = np.random.default_rng([seed, KINDS.index(kind), num_seeds])
            spec = plan(num_seeds)
            for _ in range(suites):
                table = RunTable(suite_scores(kind, num_seeds, rng), spec)
                for name, estimate, truth in estimates(table, kind):
                    found.setdefault((name, kind, num_seeds), Tally()).add(estimate, truth)
    return found


def least_certain(leads: Mapping[str, tuple[Estimate, bool]]) -> str:
    """Return over which condition the verdict prints the lead."""
    return min(leads, key=lambda name: leads[name][0].low)


class Outcomes:
    """What the verdicts of one contest said."""

    def __init__(self) -> None:
        """Start with none."""
        self.right = self.false = self.suites = 0
        self.lead = Tally()


def outcomes(contest: Contest, kind: Kind, num_seeds: int, suites: int, seed: int) -> Outcomes:
    """Judge many suites by the rule of the verdict: ahead of every other condition."""
    found = Outcomes()
    rng = np.random.default_rng([seed, 7, num_seeds, KINDS.index(kind)])
    for _ in range(suites):
        best, leads = leads_of(contest.runs(kind, num_seeds, rng))
        decided = all(lead.low > 0 for lead, _ in leads.values())
        right = contest.winner is not None and int(best) == contest.winner
        found.suites += 1
        found.right += decided and right
        found.false += decided and not right
        other = least_certain(leads)
        found.lead.add(leads[other][0], contest.means[int(best)] - contest.means[int(other)])
    return found


def brunner_munzel(first: FloatArray, second: FloatArray) -> Estimate:
    """Estimate the probability of improvement by Brunner and Munzel, for comparison."""
    n, m = len(first), len(second)
    together = stats.rankdata(np.concatenate([first, second]))
    placed = [together[:n] - stats.rankdata(first), together[n:] - stats.rankdata(second)]
    terms = [placed[0].var(ddof=1) / m**2 / n, placed[1].var(ddof=1) / n**2 / m]
    value = float(placed[0].mean() / m)
    if sum(terms) == 0:
        return Estimate(value, math.nan, math.nan, n)
    degrees = statistics.pooled_degrees(terms, [n - 1, m - 1])
    half = statistics.critical_t(degrees) * math.sqrt(sum(terms))
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), n)


def bootstrapped_iqm(tasks: Tasks, rng: np.random.Generator, resamples: int = 200) -> Estimate:
    """Estimate the IQM by the standard error of a bootstrap inside each task, for comparison."""
    values, task = tasks.normalized()
    num_seeds = tasks.fewest()
    starts = np.arange(tasks.num_tasks)[task] * num_seeds
    drawn = values[starts + rng.integers(num_seeds, size=(resamples, len(values)))]
    error = STATISTICS["iqm"](drawn, task, tasks.num_tasks).std(ddof=1)
    error *= math.sqrt(num_seeds / (num_seeds - 1))
    value = float(STATISTICS["iqm"](values, task, tasks.num_tasks))
    half = statistics.critical_t(tasks.num_tasks * (num_seeds - 1)) * error
    return Estimate(value, value - half, value + half, num_seeds)


def improvement_table(suites: int, seed: int) -> str:
    """Compare Newcombe's interval with Brunner and Munzel's."""
    rows = []
    for kind in KINDS:
        for words, level in (("0.5", 1.0), ("close", 0.8), ("far", 0.5)):
            truth = true_improvement(kind, 1.0, level)
            cells = []
            for num_seeds in SEEDS:
                rng = np.random.default_rng([seed, 8, num_seeds])
                ours, theirs = Tally(), Tally()
                for _ in range(suites):
                    first, _ = returns(kind, rng.normal(size=num_seeds), 1.0, rng)
                    second, _ = returns(kind, rng.normal(size=num_seeds), level, rng)
                    ours.add(statistics.probability_of_improvement(first, second), truth)
                    theirs.add(brunner_munzel(first, second), truth)
                cells += [ours.text(), theirs.text()]
            rows.append([kind, f"{words}: {truth:.2f}", *cells])
    heads = [f"{method}, {n}" for n in SEEDS for method in ("Newcombe", "Brunner-Munzel")]
    return markdown(["data", "truth", *heads], rows)


def iqm_table(suites: int, seed: int) -> str:
    """Compare the cluster jackknife with a bootstrap's standard error, for raw IQMs."""
    rows = []
    for kind in KINDS:
        for shared in (0.0, 0.3):
            cells = []
            for num_seeds in SEEDS:
                rng = np.random.default_rng([seed, 9, num_seeds])
                ours, theirs = Tally(), Tally()
                truth = true_iqm(kind, normalized=False)
                for _ in range(suites):
                    table = RunTable(suite_scores(kind, num_seeds, rng, shared), plan(num_seeds))
                    transfers = list(table.spec.transfers)
                    tasks = gather(table, transfers, "update_all", normalize=False)
                    assert isinstance(tasks, Tasks)
                    ours.add(jackknife(tasks, STATISTICS["iqm"]), truth)
                    theirs.add(bootstrapped_iqm(tasks, rng), truth)
                cells += [ours.text(), theirs.text()]
            rows.append([kind, f"{shared}", *cells])
    heads = [f"{method}, {n}" for n in SEEDS for method in ("jackknife", "bootstrap")]
    return markdown(["data", "shared by transfers", *heads], rows)


def floor_table(suites: int, seed: int) -> str:
    """Compare a mean's interval with and without the floor of the runs' own episodes, on Catch."""
    rows = []
    for num_seeds in SEEDS:
        rng = np.random.default_rng([seed, 10, num_seeds])
        ours, without, equal = Tally(), Tally(), Tally()
        for _ in range(suites):
            values, errors = returns("catch", rng.normal(size=num_seeds), 1.0, rng)
            floored = statistics.mean(values, errors)
            ours.add(floored, true_mean("catch", 1.0))
            without.add(statistics.mean(values), true_mean("catch", 1.0))
            if np.ptp(values) <= 0.02:  # one throw of the hundred
                equal.add(floored, true_mean("catch", 1.0))
        close = f"{100 * equal.suites / suites:.1f}"
        rows.append([str(num_seeds), ours.text(), without.text(), close, equal.text()])
    heads = ["seeds", "with floor", "without", "nearly equal seeds, %", "with floor, of those"]
    return markdown(heads, rows)


def seeds_table(suites: int, seed: int) -> str:
    """Show what comes of running as many seeds as the observed lead seems to need."""
    rows = []
    for true_lead in (0.5, 1.0, 2.0):
        for num_seeds in (5, 10):
            rng = np.random.default_rng([seed, 11, num_seeds])
            asked, power = [], []
            undecided = 0
            for _ in range(suites):
                lead = statistics.mean(rng.normal(true_lead, 1.0, num_seeds))
                if lead.low > 0:
                    continue
                undecided += 1
                deviation = lead.standard_error * math.sqrt(num_seeds)
                deviation *= math.sqrt((num_seeds - 1) / special.chdtri(num_seeds - 1, 0.8))
                if lead.value <= 0:
                    continue
                needed = seeds_for_lead(lead.value, deviation, most=MOST_SEEDS)
                if needed is not None:
                    asked.append(needed)
                    t = statistics.critical_t(needed - 1)
                    power.append(float(stats.nct.sf(t, needed - 1, true_lead * math.sqrt(needed))))
            named = seeds_for_lead(true_lead, 1.0, most=1000)
            rows.append([
                f"{true_lead}", str(num_seeds), f"{100 * undecided / suites:.0f}",
                f"{100 * len(asked) / max(undecided, 1):.0f}",
                f"{np.median(asked):.0f}" if asked else "-",
                f"{100 * np.mean(power):.0f}" if power else "-", str(named),
            ])  # fmt: skip
    heads = [
        "true lead, SD of a paired difference", "seeds run", "undecided, %",
        "of those with advice of at most 30 seeds, %", "median advice",
        "mean true power at the advice, %", "seeds for the true lead at 80 %",
    ]  # fmt: skip
    return markdown(heads, rows)


def subsets_table(scores: pd.DataFrame, size: int, draws: int, seed: int) -> str:
    """Say how often intervals of random seeds of a real suite hold the mean of all its seeds.

    A subset of 5 of 20 seeds is a part of what it is compared with, so that its mean is closer to
    the mean of all than to the truth: the nominal rate is above 95 %. It is found by the same
    resampling of normal data with as many seeds.
    """
    rng = np.random.default_rng(seed)
    rows: list[list[str]] = []
    nominal: dict[int, str] = {}
    groups = scores.groupby(["source", "target", "condition"], sort=False)
    for (source, target, condition), group in groups:
        values = group["mean_return"].to_numpy(dtype=np.float64)
        errors = group["sem"].to_numpy(dtype=np.float64) if "sem" in group else None
        if len(values) < 2 * size:
            continue
        if len(values) not in nominal:
            nominal[len(values)] = _of_normal_data(len(values), size, rng)
        found = _of_subsets(values, errors, size, draws, rng)
        where = f"{target} from {source}" if source else str(target)
        counts = str(len(values)), f"{values.mean():.3f}"
        rows.append([where, str(condition), *counts, found.text(), nominal[len(values)]])
    heads = ["flavor", "condition", "seeds", "mean", f"holds, % of {draws} subsets of {size}"]
    return markdown([*heads, "normal data: mean [2.5 %, 97.5 %]"], rows)


def _of_subsets(
    values: FloatArray,
    errors: FloatArray | None,
    size: int,
    draws: int,
    rng: np.random.Generator,
) -> Tally:
    found = Tally()
    for _ in range(draws):
        which = rng.permutation(len(values))[:size]
        own = None if errors is None else errors[which]
        found.add(statistics.mean(values[which], own), float(values.mean()))
    return found


def _of_normal_data(number: int, size: int, rng: np.random.Generator) -> str:
    """The same rate of 200 conditions with normal returns, and how far one condition's may be."""
    rates = [
        100 * _of_subsets(rng.normal(size=number), None, size, 200, rng).coverage
        for _ in range(200)
    ]
    low, high = np.percentile(rates, [2.5, 97.5])
    return f"{np.mean(rates):.1f} [{low:.0f}, {high:.0f}]"


def coverage_table(found: Mapping[tuple[str, Kind, int], Tally]) -> str:
    """Write the coverage of every number."""
    heads = ["number", *(f"{kind}: {', '.join(map(str, SEEDS))}" for kind in KINDS)]
    rows = [
        [name, *(" / ".join(found[name, kind, n].text() for n in SEEDS) for kind in KINDS)]
        for name in NUMBERS
    ]
    return markdown(heads, rows)


def verdict_tables(suites: int, seed: int) -> str:
    """Write false winners, power, and the coverage of the printed lead."""
    false, power = [], []
    for contest in EQUALS:
        cells = [outcomes(contest, "normal", n, suites, seed) for n in SEEDS]
        false.append(
            [contest.name, "normal", *(f"{100 * c.false / c.suites:.1f}" for c in cells),
             " / ".join(c.lead.text() for c in cells)]
        )  # fmt: skip
    for kind in KINDS[1:]:
        cells = [outcomes(EQUALS[0], kind, n, suites, seed) for n in SEEDS]
        false.append(
            [EQUALS[0].name, kind, *(f"{100 * c.false / c.suites:.1f}" for c in cells),
             " / ".join(c.lead.text() for c in cells)]
        )  # fmt: skip
    for contest in LEADS:
        cells = [outcomes(contest, "normal", n, suites, seed) for n in SEEDS]
        shares = [f"{100 * c.right / c.suites:.1f} / {100 * c.false / c.suites:.1f}" for c in cells]
        power.append([contest.name, *shares, " / ".join(c.lead.text() for c in cells)])
    seeds = [f"{n} seeds" for n in SEEDS]
    return "\n\n".join(
        [
            "False winners, %:",
            markdown(["truth", "data", *seeds, "printed lead holds, %"], false),
            "Right / wrong winners, %:",
            markdown(["truth", *seeds, "printed lead holds, %"], power),
        ]
    )


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(given: Sequence[str] | None = None) -> int:
    """Print all tables, or the one of a real suite."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--suites", type=int, default=1000, help="simulated suites of each cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scores", help="scores.csv of a suite with many seeds")
    parser.add_argument("--subset", type=int, default=5, help="seeds of a subset of --scores")
    arguments = parser.parse_args(given)
    suites, seed = arguments.suites, arguments.seed
    if arguments.scores:
        scores = read_scores(arguments.scores)
        print(subsets_table(scores, arguments.subset, 1000, seed))
        return 0
    started = time.process_time()
    many = 4 * suites
    errors = [100 * math.sqrt(0.95 * 0.05 / number) for number in (suites, many)]
    print(
        f"{suites:,} suites of each cell (standard error at 95 %: {errors[0]:.1f} points), for "
        f"verdicts {many:,} ({errors[1]:.1f} points); seed {seed}; "
        f"{datetime.datetime.now(datetime.UTC).date()}.\n"
    )
    print("Intervals that hold the truth, % (in brackets the share of suites with an interval):\n")
    print(coverage_table(coverages(suites, seed)), "\n", sep="")
    print(verdict_tables(many, seed), "\n", sep="")
    print("Probability of improvement, two methods:\n")
    print(improvement_table(suites, seed), "\n", sep="")
    print("Interquartile mean over 4 transfers, two methods:\n")
    print(iqm_table(max(1, suites // 2), seed), "\n", sep="")
    print("One mean of Catch, with and without the floor:\n")
    print(floor_table(many, seed), "\n", sep="")
    print("Seeds by the observed lead:\n")
    print(seeds_table(suites, seed), "\n", sep="")
    print(f"{time.process_time() - started:.0f} s of CPU time.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
