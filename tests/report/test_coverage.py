"""A small version of the simulation behind docs/statistics.md, with limits.

The limits leave room for three standard errors of the share that is measured.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulate_intervals import (
    NUMBERS,
    SEEDS,
    Tally,
    coverages,
    main,
    markdown,
    outcomes,
    subsets_table,
)
from simulated_suites import EQUALS, KINDS, LEADS, Contest, Kind

from thaw.report.leads import leads_of
from thaw.report.runs import Runs
from thaw.report.statistics import Estimate

pytestmark = pytest.mark.slow

FEWEST = 100
"""With fewer printed intervals, a share says nothing."""

HIGHEST = {"probability of improvement, close": 1.0}
"""What is wider than it had to be; docs/statistics.md says so."""

LOWEST: dict[tuple[str, Kind, int], float] = {
    ("return (one mean)", "bimodal", 3): 0.70,
    ("return (one mean)", "bimodal", 5): 0.78,
    ("IQM over 4 transfers, raw", "bimodal", 5): 0.78,
    ("IQM over 4 transfers, raw", "bimodal", 10): 0.78,
}
"""What holds the truth in fewer than 85 % of the cases; docs/statistics.md says so."""


def error(share: float, number: int) -> float:
    return math.sqrt(share * (1 - share) / number)


@pytest.fixture(scope="module")
def found() -> dict[tuple[str, Kind, int], Tally]:
    of_normal = coverages(600, 1, ["normal"])
    return of_normal | coverages(250, 1, [kind for kind in KINDS if kind != "normal"])


@pytest.mark.parametrize("num_seeds", SEEDS)
@pytest.mark.parametrize("name", NUMBERS)
def test_intervals_of_normal_returns_hold_the_truth(
    found: dict[tuple[str, Kind, int], Tally], name: str, num_seeds: int
) -> None:
    tally = found[name, "normal", num_seeds]
    assert tally.suites == 600
    assert tally.printed >= FEWEST
    assert tally.coverage >= 0.93 - 3 * error(0.93, tally.printed)
    assert tally.coverage <= HIGHEST.get(name, 0.97) + 3 * error(0.97, tally.printed)


@pytest.mark.parametrize("num_seeds", SEEDS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "normal"])
@pytest.mark.parametrize("name", NUMBERS)
def test_intervals_of_other_returns_hold_it_nearly_as_often(
    found: dict[tuple[str, Kind, int], Tally], name: str, kind: Kind, num_seeds: int
) -> None:
    tally = found[name, kind, num_seeds]
    if tally.printed < FEWEST:
        assert num_seeds < 10, "with 10 seeds there must be intervals"
        return
    limit = LOWEST.get((name, kind, num_seeds), 0.85)
    assert tally.coverage >= limit - 3 * error(limit, tally.printed)


@pytest.mark.parametrize("num_seeds", SEEDS)
@pytest.mark.parametrize("contest", EQUALS, ids=[contest.name for contest in EQUALS])
def test_false_winners_are_rare(contest: Contest, num_seeds: int) -> None:
    judged = outcomes(contest, "normal", num_seeds, 1000, 1)
    assert judged.suites == 1000
    assert judged.false / 1000 <= 0.05 + 3 * error(0.05, 1000)
    assert judged.lead.coverage >= 0.95 - 3 * error(0.05, 1000)


def test_ten_seeds_find_what_they_should() -> None:
    small, medium, large = (outcomes(contest, "normal", 10, 1000, 1) for contest in LEADS)
    assert small.right < medium.right < large.right
    assert medium.right > 500
    assert large.right > 980
    assert max(small.false, medium.false, large.false) <= 25


def test_the_simulation_tells_right_rules_from_wrong_ones() -> None:
    """The trap has to catch the rule that asks the next mean only, or it is none."""
    trap, rng = EQUALS[-1], np.random.default_rng(0)
    wrong = 0
    for _ in range(500):
        _, leads = leads_of(trap.runs("normal", 10, rng))
        first, _ = next(iter(leads.values()))
        wrong += first.low > 0
    assert wrong > 100


def test_a_tally_counts_by_hand() -> None:
    tally = Tally()
    for low, high in ((0, 1), (2, 3), (math.nan, math.nan), (0.5, 0.5)):
        tally.add(Estimate(0.5, low, high, 3), 0.5)
    assert (tally.held, tally.printed, tally.suites) == (2, 3, 4)
    assert tally.text() == "66.7 (75)"
    assert markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_the_runs_of_a_contest_share_their_pretrainings() -> None:
    rng = np.random.default_rng(0)
    runs = LEADS[0].runs("normal", 2000, rng)
    assert isinstance(runs["0"], Runs)
    assert np.corrcoef(runs["0"].values, runs["1"].values)[0, 1] == pytest.approx(0.5, abs=0.05)
    assert runs["0"].values.mean() - runs["1"].values.mean() == pytest.approx(0.5, abs=0.08)


def test_subsets_of_a_real_suite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    scores = pd.DataFrame(
        [
            ("catch", "catch@x", "update_all", seed, value)
            for seed, value in enumerate(rng.normal(size=20))
        ]
        + [("catch", "catch@x", "few", seed, 1.0) for seed in range(5)],
        columns=["source", "target", "condition", "seed", "mean_return"],
    )
    lines = subsets_table(scores, 5, 500, 0).splitlines()
    assert len(lines) == 3  # with 5 seeds there is no subset of 5
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells[:3] == ["catch@x from catch", "update_all", "20"]
    nominal = float(cells[5].split()[0])
    # The mean of 5 of 20 varies by sqrt(1 - 5 / 20) of what it does from fresh seeds.
    assert 95.5 < nominal < 98.5
    assert float(cells[4].split()[0]) > 85
    scores.to_csv(tmp_path / "scores.csv", index=False)
    assert main(["--scores", str(tmp_path / "scores.csv")]) == 0
    assert "| catch@x from catch | update_all | 20 |" in capsys.readouterr().out
