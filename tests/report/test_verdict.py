from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import pytest

from thaw.report.spec import ReportSpec
from thaw.report.verdict import Verdict, verdicts

MakeScores = Callable[..., pd.DataFrame]
BALL = ("catch", "catch@large_ball")
PRETRAINED = np.array([0.0, 0.5, -0.3, 0.2, 0.4])


@pytest.fixture
def judge(make_scores: MakeScores) -> Callable[[Mapping[str, Sequence[float | None]]], Verdict]:
    def judged(returns: Mapping[str, Sequence[float | None]]) -> Verdict:
        spec = ReportSpec("n", (BALL,), tuple(returns), tuple(range(5)))
        (verdict,) = verdicts(make_scores(returns), spec)
        return verdict

    return judged


Judge = Callable[[Mapping[str, object]], Verdict]


def test_a_small_lead_is_decided_where_pretrainings_are_shared(judge: Judge) -> None:
    verdict = judge({"update_all": PRETRAINED, "freeze_head": PRETRAINED + 0.1})
    assert verdict.decided
    assert verdict.paired
    assert (verdict.best, verdict.runner_up) == ("freeze_head", "update_all")
    assert verdict.difference == pytest.approx(0.1)
    assert (verdict.ci_low, verdict.ci_high) == pytest.approx((0.1, 0.1))
    assert verdict.num_seeds == 5
    assert verdict.sentence.startswith(
        "On Catch, large ball (from Catch): Freeze head has the highest mean return, 0.260; it "
        "leads Update all by 0.100 (95 % interval 0.100 to 0.100, 5 seeds, paired;"
    )


def test_the_same_lead_over_scratch_is_not_because_scratch_shares_nothing(judge: Judge) -> None:
    verdict = judge({"scratch": PRETRAINED, "freeze_head": PRETRAINED + 0.1})
    assert not verdict.decided
    assert not verdict.paired
    assert verdict.ci_low < 0 < verdict.ci_high
    assert "not decided" in verdict.sentence
    assert "The interval is not above zero." in verdict.sentence


def test_one_seed_decides_nothing(judge: Judge) -> None:
    verdict = judge({"update_all": [0.1], "freeze_head": [0.9]})
    assert not verdict.decided
    assert np.isnan(verdict.ci_low)
    assert "not decided" in verdict.sentence
    assert "One seed shows no spread." in verdict.sentence


def test_few_seeds_are_warned_of(judge: Judge) -> None:
    few = judge({"update_all": [0.1, 0.2], "freeze_head": [0.9, 0.8]})
    assert few.decided
    assert "With 2 seeds such an interval is too narrow" in few.sentence
    enough = judge({"update_all": PRETRAINED, "freeze_head": PRETRAINED + 0.1})
    assert "too narrow" not in enough.sentence


def test_what_does_not_learn_cannot_win(judge: Judge) -> None:
    verdict = judge(
        {"random": [9.0] * 5, "freeze_all": [8.0] * 5, "scratch": [1.0] * 5, "mine": [2.0] * 5}
    )
    assert (verdict.best, verdict.runner_up) == ("mine", "scratch")


def test_pairs_are_the_seeds_that_both_have(judge: Judge) -> None:
    verdict = judge({"update_all": [0.5, 0.6, 0.7, 0.8, 0.9], "freeze_head": [0.3, None, 0.6]})
    assert verdict.num_seeds == 2
    assert verdict.difference == pytest.approx(0.15)
    assert "on the 2 seeds that both have" in verdict.sentence


def test_a_tie_is_called_a_tie(judge: Judge) -> None:
    verdict = judge({"update_all": [0.0] * 5, "freeze_head": [0.0] * 5})
    assert not verdict.decided
    assert "Update all and Freeze head tie at 0.000" in verdict.sentence


@pytest.mark.parametrize("returns", [{"update_all": [None]}, {"update_all": [0.2, 0.3]}])
def test_a_verdict_needs_two_conditions(judge: Judge, returns: Mapping[str, object]) -> None:
    verdict = judge(returns)
    assert not verdict.decided
    assert "a verdict needs two conditions" in verdict.sentence


def test_freezing_tells_appearance_from_behavior(judge: Judge) -> None:
    low, high = PRETRAINED, PRETRAINED + 0.2
    assert "be one of appearance." in judge({"freeze_head": high, "freeze_embedding": low}).reading
    assert "be one of behavior." in judge({"freeze_head": low, "freeze_embedding": high}).reading
    assert "cannot be told apart" in judge({"freeze_head": low, "freeze_embedding": low}).reading
    assert judge({"freeze_head": low, "scratch": low}).reading == ""
    beaten = judge({"freeze_head": low, "freeze_embedding": high, "scratch": [3.0] * 5})
    assert beaten.reading == "Nothing of the pretrained policy helped within this budget."
