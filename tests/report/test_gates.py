from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import pytest

from thaw.report.answers import Gate
from thaw.report.gates import gates
from thaw.report.runs import RunTable
from thaw.report.scores import check_scores
from thaw.report.spec import ReportSpec
from thaw.report.statistics import FloatArray
from thaw.report.verdict import verdicts

MakeScores = Callable[..., pd.DataFrame]
Returns = Mapping[str, Sequence[float | None] | FloatArray]
BALL = ("catch", "catch@large_ball")
LEARNED: dict[str, Sequence[float | None]] = {
    "update_all": [0.5, 0.6, 0.7, 0.6],
    "freeze_head": [0.2, 0.3, 0.4, 0.29],
}


def on_source(condition: str, values: Sequence[float]) -> pd.DataFrame:
    rows = [("", BALL[0], condition, seed, value) for seed, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["source", "target", "condition", "seed", "mean_return"])


def found(scores: pd.DataFrame, returns: Returns, **changes: Any) -> dict[str, Gate]:
    spec = plan(returns, **changes)
    there = gates(RunTable(check_scores(scores), spec), *BALL)
    assert len({gate.name for gate in there}) == len(there)
    (verdict,) = verdicts(check_scores(scores), spec)
    assert verdict.gates == there
    assert verdict.is_blocked == any(gate.blocks for gate in there)
    if verdict.is_blocked:
        assert not verdict.decided
        assert not verdict.equal
        assert verdict.seeds_needed is None
        assert verdict.reading == ""
        assert f"no verdict. {there[0].sentence}" in verdict.sentence
        assert all(answer.outcome == "gated" for answer in verdict.answers)
    return {gate.name: gate for gate in there}


def plan(returns: Returns, **changes: Any) -> ReportSpec:
    seeds = tuple(range(max(len(values) for values in returns.values())))
    fields: dict[str, Any] = {"seeds": seeds} | changes
    return ReportSpec(name="n", transfers=(BALL,), conditions=tuple(returns), **fields)


def test_nothing_stands_in_the_way_of_good_runs(make_scores: MakeScores) -> None:
    scores = pd.concat(
        [
            make_scores(LEARNED | {"random": [-0.5, -0.6, -0.5, -0.4]}),
            on_source("pretrain", [0.9, 0.8, 0.9, 0.95]),
            on_source("random", [-0.5, -0.6, -0.5, -0.4]),
        ]
    )
    assert found(scores, LEARNED, bounds=(-1.0, 1.0)) == {}
    (verdict,) = verdicts(check_scores(scores), plan(LEARNED))
    assert verdict.decided


def test_pretraining_that_did_not_beat_random(make_scores: MakeScores) -> None:
    scores = pd.concat(
        [
            make_scores(LEARNED),
            on_source("pretrain", [-0.5, -0.7, -0.45, -0.55]),
            on_source("random", [-0.5, -0.6, -0.5, -0.4]),
        ]
    )
    gate = found(scores, LEARNED)["pretraining_failed"]
    assert gate.blocks
    assert "Pretraining on Catch did not beat the random policy (-0.550 against -0.500" in (
        gate.sentence
    )


@pytest.mark.parametrize(("sem", "is_said"), [(0.3, True), (0.01, False), (None, False)])
def test_of_two_pretrainings_one_must_beat_random_by_more_than_noise(
    make_scores: MakeScores, sem: float | None, is_said: bool
) -> None:
    returns = {condition: values[:2] for condition, values in LEARNED.items()}
    on_sources = pd.concat([on_source("pretrain", [1.5, 1.3]), on_source("random", [1.46, 1.4])])
    scores = pd.concat([make_scores(returns), on_sources.assign(sem=sem)])
    there = found(scores, returns)
    assert ("pretraining_failed" in there) == is_said
    if is_said:
        sentence = there["pretraining_failed"].sentence
        assert "Pretraining on Catch was not shown to beat the random policy (1.400" in sentence


def test_one_failed_pretraining_among_good_ones_is_said_but_does_not_block(
    make_scores: MakeScores,
) -> None:
    scores = pd.concat(
        [
            make_scores(LEARNED),
            on_source("pretrain", [0.9, 0.95, 0.9, 0.85, 0.9, 0.9, -0.6]),
            on_source("random", [-0.5, -0.6, -0.5, -0.4]),
        ]
    )
    gate = found(scores, LEARNED, seeds=tuple(range(7)), inferred=True)["pretraining_failed"]
    assert not gate.blocks
    assert gate.sentence == "1 pretraining of 7 did not beat random on Catch."


def test_without_random_runs_on_the_source_nothing_is_claimed(make_scores: MakeScores) -> None:
    scores = pd.concat([make_scores(LEARNED), on_source("pretrain", [-0.5, -0.6, -0.5, -0.4])])
    assert found(scores, LEARNED) == {}


def test_the_pretraining_is_judged_by_its_evaluation(make_scores: MakeScores) -> None:
    pretrain = on_source("pretrain", [-0.5, -0.6, -0.5, -0.4])
    pretrain["evaluation_mean_return"] = [0.9, 0.8, 0.9, 0.95]
    scores = pd.concat(
        [make_scores(LEARNED), pretrain, on_source("random", [-0.5, -0.6, -0.5, -0.4])]
    )
    assert found(scores, LEARNED) == {}


def test_no_condition_beat_random(make_scores: MakeScores) -> None:
    returns = LEARNED | {"random": [0.4, 0.6, 0.8, 0.6]}
    gate = found(make_scores(returns), returns)["nothing_learned"]
    assert gate.blocks
    assert "No trained condition beat the random policy on the target (the best, Update all" in (
        gate.sentence
    )
    one = returns | {"scratch": [2.0, 2.1, 2.2, 2.0]}
    assert found(make_scores(one), one) == {}


def test_everything_is_at_the_ceiling(make_scores: MakeScores) -> None:
    returns = {
        "random": [-1.0, -0.9, -1.0],
        "update_all": [1.0, 0.98, 1.0],
        "freeze_head": [0.96, 0.95, 0.97],
    }
    gate = found(make_scores(returns), returns, bounds=(-1.0, 1.0))["ceiling"]
    assert gate.blocks
    assert "the lowest mean is 0.960 of at most 1.000" in gate.sentence
    assert "ceiling" not in found(make_scores(returns), returns)
    lower = returns | {"scratch": [0.8, 0.7, 0.9]}
    assert "ceiling" not in found(make_scores(lower), lower, bounds=(-1.0, 1.0))


@pytest.mark.parametrize(("seeds", "words"), [(1, "There is 1 seed for"), (2, "There are 2 seeds")])
def test_few_seeds(make_scores: MakeScores, seeds: int, words: str) -> None:
    returns = {condition: values[:seeds] for condition, values in LEARNED.items()}
    gate = found(make_scores(returns), returns)["few_seeds"]
    assert gate.blocks
    assert words in gate.sentence


def test_runs_that_are_missing(make_scores: MakeScores) -> None:
    returns = {"update_all": [0.5, 0.6, 0.7, None], "freeze_head": [0.2, None, 0.4, 0.3]}
    gate = found(make_scores(returns), returns)["missing_runs"]
    assert gate.blocks
    assert "2 planned runs are missing: 1 of Update all and 1 of Freeze head." in gate.sentence
    assert not found(make_scores(returns), returns, inferred=True)["missing_runs"].blocks
    gone: Returns = LEARNED | {"scratch": [None] * 4}
    assert "4 of From scratch" in found(make_scores(gone), gone)["missing_runs"].sentence
    untrained: Returns = LEARNED | {"freeze_all": [0.1, None, None, None]}
    assert found(make_scores(untrained), untrained) == {}


def test_blocking_gates_come_first(make_scores: MakeScores) -> None:
    returns: Returns = {"update_all": [1.0, 0.99, None], "freeze_head": [1.0, 0.98, 0.97]}
    there = gates(
        RunTable(make_scores(returns), plan(returns, bounds=(-1.0, 1.0), inferred=True)), *BALL
    )
    assert [(gate.name, gate.blocks) for gate in there] == [
        ("few_seeds", True),
        ("ceiling", True),
        ("missing_runs", False),
    ]


def test_pretrainings_that_partly_failed_are_not_called_without_skill(
    make_scores: MakeScores,
) -> None:
    scores = pd.concat(
        [
            make_scores(LEARNED),
            on_source("pretrain", [0.9, -0.5, 0.9]),
            on_source("random", [-0.5, -0.6, -0.4]),
        ]
    )
    gate = found(scores, LEARNED, seeds=(0, 1, 2, 3), inferred=True)["pretraining_failed"]
    assert gate.blocks
    assert "was not shown to beat the random policy" in gate.sentence
    assert "no skill" not in gate.sentence
