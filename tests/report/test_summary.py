"""The lines that end `thaw run` and `thaw report`."""

from __future__ import annotations

import math
from dataclasses import replace

from thaw.report.answers import Answer, Gate
from thaw.report.summary import summary
from thaw.report.verdict import Verdict


def verdict(sentence: str, next_step: str = "", *gates: Gate) -> Verdict:
    nan = math.nan
    return Verdict(
        source="", target="t", decided=False, best="a", runner_up="b", difference=nan, ci_low=nan,
        ci_high=nan, num_seeds=0, paired=False, probability_of_improvement=nan, sentence=sentence,
        reading="", next_step=next_step, gates=gates,
    )  # fmt: skip


def test_a_decided_transfer_is_one_line() -> None:
    assert summary([verdict("A won.")]) == ["A won."]


def test_the_answer_that_was_asked_before_the_runs_stands_below_the_verdict() -> None:
    nan = math.nan
    answer = Answer(
        "which_part", "Which part?", "yes", "The embedding.", "By 0.2.", "freeze_head",
        "freeze_embedding", nan, nan, nan, 8, True,
    )  # fmt: skip
    asked = replace(verdict("Not decided."), answers=(answer,))
    assert summary([asked]) == ["Not decided.", "  Which part? The embedding. By 0.2."]
    gated = replace(asked, answers=(replace(answer, outcome="gated"),))
    assert summary([gated]) == ["Not decided."]


def test_gates_come_before_the_next_step_and_none_is_said_twice() -> None:
    blocking = Gate("few_seeds", "There are 2 seeds.")
    remark = Gate("missing_runs", "1 run is missing.", blocks=False)
    another = Gate("ceiling", "All are at the ceiling.")
    judged = verdict("No verdict. There are 2 seeds.", "thaw run x", blocking, remark, another)
    assert summary([judged]) == [
        "No verdict. There are 2 seeds.",
        "  but: 1 run is missing. All are at the ceiling.",
        "  next: thaw run x",
    ]


def test_more_than_a_screen_of_transfers_is_cut() -> None:
    lines = summary([verdict(f"{number}.") for number in range(14)])
    assert lines == [*(f"{number}." for number in range(12)), "and 2 more on the page"]
