from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from thaw.report.answers import Answer
from thaw.report.scores import check_scores
from thaw.report.spec import ReportSpec
from thaw.report.statistics import FloatArray
from thaw.report.verdict import Verdict, verdicts

MakeScores = Callable[..., pd.DataFrame]
Returns = Mapping[str, Sequence[float] | FloatArray]
BALL = ("catch", "catch@large_ball")
LOW = np.array([0.0, 0.5, -0.3, 0.2, 0.4])
HIGH = LOW + np.array([0.2, 0.22, 0.18, 0.21, 0.19])


@pytest.fixture
def judge(make_scores: MakeScores) -> Callable[..., Verdict]:
    def judged(returns: Returns, **changes: Any) -> Verdict:
        fields: dict[str, Any] = {"name": "n", "transfers": (BALL,), "seeds": tuple(range(5))}
        conditions = tuple(name for name in returns if name != "pretrain")
        spec = ReportSpec(**(fields | {"conditions": conditions} | changes))
        (verdict,) = verdicts(check_scores(make_scores(returns)), spec)
        return verdict

    return judged


Judge = Callable[..., Verdict]


def answer(verdict: Verdict, name: str) -> Answer:
    (found,) = [one for one in verdict.answers if one.name == name]
    return found


def test_does_pretraining_help(judge: Judge) -> None:
    far = LOW + 3
    yes = answer(judge({"update_all": far, "scratch": LOW}), "pretraining_helps")
    assert (yes.outcome, yes.sentence) == (
        "yes",
        "Yes: Update all ends above training from scratch.",
    )
    assert not yes.paired
    low, high = stats.ttest_ind(far, LOW, equal_var=False).confidence_interval()
    assert (yes.ci_low, yes.ci_high) == pytest.approx((low, high))
    no = answer(judge({"update_all": LOW, "scratch": far}), "pretraining_helps")
    assert no.outcome == "no"
    same = answer(judge({"update_all": LOW, "scratch": HIGH}), "pretraining_helps")
    assert same.outcome == "open"
    assert "not told apart" in same.sentence


def test_pretraining_is_compared_with_what_has_none(judge: Judge) -> None:
    returns = {"scratch": LOW - 3, "update_all": LOW, "freeze_head": HIGH}
    helps = answer(judge(returns, baseline="update_all"), "pretraining_helps")
    assert (helps.first, helps.second) == ("update_all", "scratch")
    without = {"update_all": LOW, "freeze_head": HIGH}
    names = [one.name for one in judge(without, baseline="update_all").answers]
    assert "pretraining_helps" not in names


def test_is_zero_shot_enough(judge: Judge) -> None:
    assert answer(judge({"update_all": HIGH, "freeze_all": LOW}), "zero_shot").outcome == "no"
    better = answer(judge({"update_all": LOW, "freeze_all": HIGH}), "zero_shot")
    assert better.outcome == "yes"
    assert better.paired
    close = {"update_all": LOW, "freeze_all": LOW + np.array([0.01, -0.01, 0.0, 0.01, -0.01])}
    assert answer(judge(close), "zero_shot").outcome == "open"
    enough = answer(judge(close, margin=0.05), "zero_shot")
    assert enough.outcome == "yes"
    assert "gains less than the margin" in enough.sentence


def test_which_part(judge: Judge) -> None:
    embedding = judge({"freeze_head": HIGH, "freeze_embedding": LOW})
    assert answer(embedding, "which_part").outcome == "yes"
    assert "Hypothesis: the change is one of appearance" in embedding.reading
    assert "0.200 [0.180, 0.220], 5 seeds, paired" in embedding.reading
    head = judge({"freeze_head": LOW, "freeze_embedding": HIGH})
    assert answer(head, "which_part").outcome == "no"
    assert "Hypothesis: the change is one of behavior" in head.reading
    assert "mirrored" in head.reading
    noisy = LOW + np.array([0.01, -0.01, 0.0, 0.01, -0.012])
    open_ = judge({"freeze_head": LOW, "freeze_embedding": noisy})
    assert answer(open_, "which_part").outcome == "open"
    assert open_.reading == ""
    either = judge({"freeze_head": LOW, "freeze_embedding": noisy}, margin=0.05)
    assert "Either will do" in answer(either, "which_part").sentence
    assert either.reading == ""


def test_which_part_is_answered_where_the_winner_is_open(judge: Judge) -> None:
    verdict = judge({"update_all": HIGH[::-1], "freeze_head": HIGH, "freeze_embedding": LOW})
    assert not verdict.decided
    assert answer(verdict, "which_part").outcome == "yes"


def test_two_seeds_answer_nothing(judge: Judge) -> None:
    verdict = judge({"freeze_head": HIGH[:2], "freeze_embedding": LOW[:2]}, seeds=(0, 1))
    assert answer(verdict, "which_part").outcome == "gated"
    assert verdict.reading == ""


def test_forgetting_is_paired_with_the_score_before(make_scores: MakeScores) -> None:
    scores = make_scores({"pretrain": LOW, "update_all": LOW, "freeze_head": LOW})
    scores["source_mean_return"] = [*[np.nan] * 5, *(LOW - (HIGH - LOW)), *HIGH]
    spec = ReportSpec("n", (BALL,), ("update_all", "freeze_head"), tuple(range(5)))
    (verdict,) = verdicts(check_scores(scores), spec)
    fell, rose = [one for one in verdict.answers if one.name == "forgetting"]
    assert (fell.outcome, rose.outcome) == ("yes", "no")
    assert (fell.paired, rose.paired) == (True, True)
    low, high = stats.ttest_rel(HIGH, LOW).confidence_interval()
    assert (rose.ci_low, rose.ci_high) == pytest.approx((low, high))
    assert fell.sentence == "Update all forgets: its return on Catch falls."
