from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from thaw.report.power import seeds_for_lead
from thaw.report.spec import ReportSpec
from thaw.report.statistics import FloatArray
from thaw.report.verdict import Verdict, verdicts

MakeScores = Callable[..., pd.DataFrame]
Returns = Mapping[str, Sequence[float | None] | FloatArray]
BALL = ("catch", "catch@large_ball")
PRETRAINED = np.array([0.0, 0.5, -0.3, 0.2, 0.4])
NOISE = np.array([0.01, -0.02, 0.02, 0.0, -0.01])


class Judge(Protocol):
    def __call__(self, returns: Returns, **changes: Any) -> Verdict: ...


@pytest.fixture
def judge(make_scores: MakeScores) -> Judge:
    def judged(returns: Returns, **changes: Any) -> Verdict:
        seeds = tuple(range(max(len(values) for values in returns.values())))
        fields: dict[str, Any] = {"seeds": seeds} | changes
        spec = ReportSpec(name="n", transfers=(BALL,), conditions=tuple(returns), **fields)
        (verdict,) = verdicts(make_scores(returns), spec)
        return verdict

    return judged


def test_a_small_lead_is_decided_where_pretrainings_are_shared(judge: Judge) -> None:
    verdict = judge({"update_all": PRETRAINED, "freeze_head": PRETRAINED + 0.1 + NOISE})
    assert verdict.decided
    assert verdict.paired
    assert (verdict.best, verdict.runner_up) == ("freeze_head", "update_all")
    assert verdict.may_be_best == ("freeze_head",)
    low, high = stats.ttest_1samp(0.1 + NOISE, 0).confidence_interval()
    assert (verdict.ci_low, verdict.ci_high) == pytest.approx((low, high))
    assert verdict.num_seeds == 5
    assert verdict.sentence == (
        "On Catch, large ball (from Catch): Freeze head won: ahead of Update all by 0.100 "
        "[0.080, 0.120] (5 seeds, paired)."
    )
    assert verdict.next_step == ""


def test_the_same_lead_over_scratch_is_not_because_scratch_shares_nothing(judge: Judge) -> None:
    verdict = judge({"scratch": PRETRAINED, "freeze_head": PRETRAINED + 0.1 + NOISE})
    assert not verdict.decided
    assert not verdict.paired
    low, high = stats.ttest_ind(
        PRETRAINED + 0.1 + NOISE, PRETRAINED, equal_var=False
    ).confidence_interval()
    assert (verdict.ci_low, verdict.ci_high) == pytest.approx((low, high))
    assert verdict.may_be_best == ("freeze_head", "scratch")
    assert "not decided; the best may be Freeze head or From scratch." in verdict.sentence
    assert "(5 seeds, unpaired)" in verdict.sentence


def test_a_winner_of_three_is_said_to_lead_all_and_the_least_certain_is_named(
    judge: Judge,
) -> None:
    verdict = judge(
        {
            "update_all": PRETRAINED,
            "freeze_head": PRETRAINED + 1.0 + NOISE,
            "freeze_embedding": PRETRAINED - 0.1 + 20 * NOISE,
        }
    )
    assert verdict.decided
    assert verdict.runner_up == "freeze_embedding"  # lower mean, but less certain
    assert verdict.sentence.startswith(
        "On Catch, large ball (from Catch): Freeze head won: ahead of every other trained "
        "condition, least of Freeze embedding, by 1.100 ["
    )
    assert "won: " not in judge({"update_all": PRETRAINED, "freeze_head": PRETRAINED}).sentence


def test_a_wild_condition_keeps_a_steady_one_from_winning(judge: Judge) -> None:
    """The runner-up by mean is beaten, but the wild one below it may be the best."""
    steady = np.array([0.00, 0.01, -0.01, 0.02, 0.01])
    wild = np.array([-3.0, 2.5, 0.5, -2.0, -0.5])
    below = steady - 0.3 + NOISE
    verdict = judge({"update_all": steady, "freeze_head": wild, "freeze_embedding": below})
    assert verdict.best == "update_all"
    assert wild.mean() < below.mean() < steady.mean()
    assert not verdict.decided
    assert verdict.runner_up == "freeze_head"
    assert verdict.may_be_best == ("update_all", "freeze_head")
    assert judge({"update_all": steady, "freeze_embedding": below}).decided


def test_the_trap_of_unequal_spreads_errs_in_five_percent_at_most(judge: Judge) -> None:
    rng = np.random.default_rng(0)
    won = 0
    for _ in range(300):
        a, c = rng.normal(0, 0.2, 5), rng.normal(-0.3, 0.2, 5)
        verdict = judge({"update_all": a, "freeze_head": rng.normal(0, 3, 5), "mine": c})
        won += verdict.decided and verdict.best == "update_all"
        won += verdict.decided and verdict.best == "freeze_head"
    assert won / 300 < 0.08  # asking the runner-up by mean alone: about 0.2


def test_one_and_two_seeds_give_no_verdict(judge: Judge) -> None:
    for seeds in (1, 2):
        verdict = judge(
            {"update_all": [0.1, 0.11][:seeds], "freeze_head": [0.9, 0.91][:seeds]},
            more_seeds="Run: thaw run s --seeds {seeds}",
        )
        assert not verdict.decided
        assert verdict.is_blocked
        assert math.isnan(verdict.ci_low)
        assert math.isnan(verdict.p_value)
        assert f"no verdict. There {'is 1 seed' if seeds == 1 else 'are 2 seeds'}" in (
            verdict.sentence
        )
        assert "a verdict needs 3" in verdict.sentence
        assert verdict.next_step == "Run: thaw run s --seeds 5"
        assert verdict.reading == ""


def test_what_does_not_learn_cannot_win(judge: Judge) -> None:
    mine = np.array([2.0, 2.1, 2.2, 1.9, 2.0])
    verdict = judge(
        {"random": [0.0] * 5, "freeze_all": [8.0] * 5, "scratch": mine - 1, "mine": mine}
    )
    assert (verdict.best, verdict.runner_up) == ("mine", "scratch")
    assert verdict.decided


def test_pairs_are_the_seeds_that_both_have(judge: Judge) -> None:
    verdict = judge(
        {"update_all": [0.5, 0.61, 0.7, 0.8, 5.0], "freeze_head": [0.3, 0.4, 0.5, 0.62]},
        inferred=True,
    )
    assert verdict.num_seeds == 4
    assert verdict.paired
    low, high = stats.ttest_1samp([0.2, 0.21, 0.2, 0.18], 0).confidence_interval()
    assert (verdict.ci_low, verdict.ci_high) == pytest.approx((low, high))
    assert verdict.decided


def test_unlike_seeds_are_compared_unpaired(judge: Judge) -> None:
    first = [0.5, 0.6, 0.7, 0.8, None, None]
    second = [None, None, 0.3, 0.4, 0.5, 0.6]
    verdict = judge({"update_all": first, "freeze_head": second}, inferred=True)
    assert not verdict.paired
    low, high = stats.ttest_ind(
        [0.5, 0.6, 0.7, 0.8], [0.3, 0.4, 0.5, 0.6], equal_var=False
    ).confidence_interval()
    assert (verdict.ci_low, verdict.ci_high) == pytest.approx((low, high))


def test_missing_runs_leave_no_verdict_unless_the_plan_was_made_from_the_scores(
    judge: Judge,
) -> None:
    returns: Returns = {
        "update_all": PRETRAINED,
        "freeze_head": [*(PRETRAINED + 0.1 + NOISE)[:4], None],
    }
    verdict = judge(returns)
    assert not verdict.decided
    assert "no verdict. 1 planned run is missing: 1 of Freeze head." in verdict.sentence
    assert all(answer.outcome == "gated" for answer in verdict.answers)
    assert judge(returns, inferred=True).decided


def test_failed_seeds_among_good_ones_leave_it_open(judge: Judge) -> None:
    good = np.array([0.9, 0.91, 0.89, 0.9, 0.92])
    failed = np.array([0.95, 0.96, -1.0, 0.95, 0.97])
    verdict = judge({"update_all": good, "freeze_head": failed})
    assert verdict.best == "update_all"
    assert not verdict.decided


def test_equal_returns_are_no_winner(judge: Judge) -> None:
    verdict = judge({"update_all": [0.0] * 5, "freeze_head": [0.0] * 5})
    assert not verdict.decided
    assert not verdict.equal
    assert "not decided; Update all has the highest mean, but all 5 seeds are equal" in (
        verdict.sentence
    )
    assert verdict.next_step == ""


def test_a_constant_lead_without_spread_is_no_winner(judge: Judge) -> None:
    assert not judge({"update_all": [1.0] * 3, "freeze_head": [0.98] * 3}).decided


@pytest.mark.parametrize(
    "returns", [{"update_all": [None] * 5}, {"update_all": [0.2, 0.3, 0.4]}, {"random": [1, 2, 3]}]
)
def test_a_verdict_needs_two_conditions(judge: Judge, returns: Returns) -> None:
    verdict = judge(returns)
    assert not verdict.decided
    assert "a verdict needs two conditions" in verdict.sentence


def test_equality_is_shown_only_within_the_margin(judge: Judge) -> None:
    returns = {"update_all": PRETRAINED, "freeze_head": PRETRAINED + NOISE}
    half = stats.t.ppf(0.95, 4) * NOISE.std(ddof=1) / 5**0.5  # of the 90 % interval around 0
    wide = judge(returns, margin=1.01 * half)
    assert wide.equal
    assert not wide.decided
    assert "are equal within 0.015: any of them will do (5 seeds, paired)." in wide.sentence
    assert wide.next_step == ""
    assert not judge(returns, margin=0.99 * half).equal
    assert not judge(returns).equal  # nothing says what is small


def test_the_margin_is_a_share_of_what_scratch_learned(judge: Judge) -> None:
    verdict = judge({"random": [-0.5] * 3, "scratch": [0.5] * 3, "update_all": [0.1, 0.2, 0.3]})
    assert verdict.margin == pytest.approx(0.05)
    below = judge({"random": [0.5] * 3, "scratch": [0.4] * 3, "update_all": [0.1, 0.2, 0.3]})
    assert math.isnan(below.margin)


def test_foreign_scores_are_unpaired_unless_told_otherwise(make_scores: MakeScores) -> None:
    returns = {"mine": PRETRAINED, "yours": PRETRAINED + 0.1 + NOISE}
    scores = make_scores(returns, source="")
    for paired in (False, True):
        spec = ReportSpec("n", (("", BALL[1]),), ("mine", "yours"), (0, 1, 2, 3, 4), paired=paired)
        (verdict,) = verdicts(scores, spec)
        assert verdict.paired == verdict.decided == paired
        assert verdict.sentence.startswith("On Catch, large ball: ")


def test_the_seeds_needed_are_those_of_the_lead_and_a_large_spread(judge: Judge) -> None:
    lead = np.array([0.3, -0.06, 0.2, 0.1, 0.05])
    verdict = judge(
        {"update_all": PRETRAINED, "freeze_head": PRETRAINED + lead},
        more_seeds="Run: thaw run s --seeds {seeds}",
    )
    assert not verdict.decided
    spread = lead.std(ddof=1) * math.sqrt(4 / stats.chi2.ppf(0.2, 4))
    assert verdict.seeds_needed == seeds_for_lead(lead.mean(), spread) == 29
    assert verdict.next_step.startswith(
        "If the true lead is as large as this one, 29 seeds find it in 4 of 5 cases (24 more)."
    )
    assert verdict.next_step.endswith("Run: thaw run s --seeds 29")


def test_the_time_of_more_seeds_is_that_of_the_planned_ones(make_scores: MakeScores) -> None:
    returns = {"update_all": [0.1, 0.2, 99], "freeze_head": [0.3, 0.4, 99]}
    scores = make_scores(returns)
    scores["seconds"] = [60.0, 60.0, 1e6, 60.0, 60.0, 1e6]
    spec = ReportSpec(
        "n", (BALL,), tuple(returns), (0, 1), more_seeds="{seeds} seeds", num_workers=2
    )
    (verdict,) = verdicts(scores, spec)
    assert verdict.next_step == "5 seeds (about 3 min)"  # 3 more of 2 minutes, two at once


def test_a_small_lead_takes_too_many_seeds(judge: Judge) -> None:
    lead = np.array([0.3, -0.29, 0.2, -0.2, 0.01])
    verdict = judge({"update_all": PRETRAINED, "freeze_head": PRETRAINED + lead})
    assert verdict.seeds_needed is None
    assert "more than 30 seeds" in verdict.next_step


def test_p_values_are_adjusted_for_the_number_of_transfers(make_scores: MakeScores) -> None:
    leads = [0.1 + NOISE, 0.05 + 2 * NOISE, 0.03 + 2 * NOISE]
    targets = [f"catch@{i}" for i in range(3)]
    scores = pd.concat(
        [
            make_scores({"update_all": PRETRAINED, "freeze_head": PRETRAINED + lead}, target=target)
            for lead, target in zip(leads, targets, strict=True)
        ]
    )
    transfers = tuple(("catch", target) for target in targets)
    spec = ReportSpec("n", transfers, ("update_all", "freeze_head"), tuple(range(5)))
    judged = verdicts(scores, spec)
    p = sorted(float(stats.ttest_1samp(lead, 0).pvalue) for lead in leads)
    assert sorted(verdict.p_value for verdict in judged) == pytest.approx(p)
    expected = [3 * p[0], max(3 * p[0], 2 * p[1]), max(3 * p[0], 2 * p[1], p[2])]
    assert sorted(verdict.p_holm for verdict in judged) == pytest.approx(expected)


def test_the_p_value_is_the_largest_against_any_other(judge: Judge) -> None:
    verdict = judge(
        {
            "update_all": PRETRAINED,
            "freeze_head": PRETRAINED + 1.0 + NOISE,
            "freeze_embedding": PRETRAINED + 0.9,
        }
    )
    p = max(float(stats.ttest_1samp(lead, 0).pvalue) for lead in (1.0 + NOISE, 0.1 + NOISE))
    assert verdict.p_value == pytest.approx(p)
    assert verdict.decided == (p < 0.05)


def test_the_probability_of_improvement_is_over_the_runner_up(judge: Judge) -> None:
    verdict = judge({"update_all": [1, 2, 3], "freeze_head": [2, 3, 5]})
    assert verdict.probability_of_improvement == pytest.approx((1.5 + 2.5 + 3) / 9)
