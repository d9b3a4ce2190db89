"""Races replayed from scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import simulate_racing
from scipy import stats

from thaw.config.errors import InputError
from thaw.config.racing import RacingConfig
from thaw.report import always_valid
from thaw.report.learning.curve_metrics import curve_metrics_frame
from thaw.report.metrics import metrics_frame
from thaw.report.racing import Race, races
from thaw.report.runs import RunTable
from thaw.report.scores import check_scores
from thaw.report.spec import ReportSpec
from thaw.report.tables import table_frame, to_markdown
from thaw.report.verdict import Verdict, verdicts

MakeScores = Callable[..., pd.DataFrame]

BALL = ("catch", "catch@large_ball")
PLAN = RacingConfig(looks=(3, 5, 8, 12))
PRETRAINED = np.random.default_rng(5).normal(size=12)
NOISE = np.random.default_rng(6).normal(size=(6, 12))


def spec_of(conditions: Sequence[str], **changes: Any) -> ReportSpec:
    spec = ReportSpec("n", (BALL,), tuple(conditions), tuple(range(12)), racing=PLAN)
    return replace(spec, **changes)


def raced(scores: pd.DataFrame, conditions: Sequence[str], **changes: Any) -> Race:
    (race,) = races(RunTable(scores, spec_of(conditions, **changes)))
    return race


def judged(scores: pd.DataFrame, conditions: Sequence[str], **changes: Any) -> Verdict:
    (verdict,) = verdicts(scores, spec_of(conditions, **changes))
    return verdict


def close_race() -> dict[str, np.ndarray]:
    """Freeze all is a control; freeze embedding is far behind, freeze head close."""
    return {
        "update_all": PRETRAINED + 0.1 * NOISE[0] + 0.15,
        "freeze_embedding": PRETRAINED + 0.1 * NOISE[1] - 9,
        "freeze_head": PRETRAINED + 0.1 * NOISE[2],
        "freeze_all": PRETRAINED - 20,
    }


def asked_for(
    make_scores: MakeScores, returns: Mapping[str, np.ndarray], **changes: Any
) -> tuple[pd.DataFrame, Race]:
    """Add the seeds that a race asks for until it ends, as an execution does."""
    everything = make_scores(returns)
    scores = everything[:0]
    for _ in range(100):
        race = raced(scores, list(returns), **changes)
        asked = {(name, seed) for name, seeds in race.asked.items() for seed in seeds}
        runs = zip(everything["condition"], everything["seed"], strict=True)
        more = everything[[run in asked for run in runs]]
        if len(more) == len(scores):
            assert not race.missing
            return scores, race
        scores = more
    raise AssertionError("the race asks for ever")


def test_a_race_drops_what_the_leader_beats_and_asks_only_for_the_others(
    make_scores: MakeScores,
) -> None:
    scores, race = asked_for(make_scores, close_race())
    assert race.ended == "won"
    assert race.live == ("update_all",)
    assert [(drop.condition, drop.leader, drop.num_seeds) for drop in race.drops] == [
        ("freeze_embedding", "update_all", 3),
        ("freeze_head", "update_all", race.num_seeds),
    ]
    assert race.num_seeds > 3
    counts = scores.groupby("condition").size().to_dict()
    assert counts == {
        "update_all": race.num_seeds, "freeze_head": race.num_seeds,
        "freeze_all": race.num_seeds, "freeze_embedding": 3,
    }  # fmt: skip
    assert race.is_valid


def test_finished_races_replay_to_the_same_whatever_the_order_of_the_rows(
    make_scores: MakeScores,
) -> None:
    scores, race = asked_for(make_scores, close_race())
    for seed in range(3):
        assert raced(scores.sample(frac=1, random_state=seed), list(close_race())) == race


def test_each_look_has_its_own_level(make_scores: MakeScores) -> None:
    # t = 8 over three seeds: p = 0.015, below 5 % but above the first look's 0.25 %.
    gap = np.array([1.0, 1.0, 1.0]) + 0.217 * np.array([-1.0, 0.0, 1.0])
    t = gap.mean() / (gap.std(ddof=1) / np.sqrt(3))
    p = 2 * stats.t.sf(t, 2)
    assert PLAN.levels[0] < p < 0.05
    scores = make_scores({"update_all": gap, "freeze_head": [0.0, 0.0, 0.0]})
    conditions = ["update_all", "freeze_head"]
    race = raced(scores, conditions)
    assert (race.ended, race.drops, race.num_looks) == ("", (), 1)
    spent = RacingConfig(looks=(3, 5), levels=(0.02, 0.03))
    race = raced(scores, conditions, racing=spent, seeds=tuple(range(5)))
    assert race.ended == "won"
    (drop,) = race.drops
    assert drop.lead.confidence == pytest.approx(0.98)
    assert drop.lead.low == pytest.approx(
        gap.mean() - stats.t.ppf(0.99, 2) * gap.std(ddof=1) / np.sqrt(3)
    )
    assert race.p_value == pytest.approx(p * 0.05 / 0.02)


def test_a_look_waits_until_every_live_condition_and_control_is_complete(
    make_scores: MakeScores,
) -> None:
    returns = close_race()
    scores, _ = asked_for(make_scores, returns)
    for condition in ("update_all", "freeze_all"):
        lost = scores[~((scores["condition"] == condition) & (scores["seed"] == 4))]
        race = raced(lost, list(returns))
        assert (race.num_seeds, race.ended) == (3, "")
        assert race.missing == {condition: (4,)}
        assert race.is_valid  # the runs after the lost one were not added by hand
        assert not judged(lost, list(returns)).decided


def test_equal_conditions_end_the_race_early(make_scores: MakeScores) -> None:
    returns = {
        "update_all": PRETRAINED + 0.001 * NOISE[0],
        "freeze_head": PRETRAINED + 0.001 * NOISE[1],
    }
    scores, race = asked_for(make_scores, returns, margin=0.1)
    assert (race.ended, race.num_seeds) == ("equal", 3)
    verdict = judged(scores, list(returns), margin=0.1)
    assert verdict.equal
    assert not verdict.decided
    _, race = asked_for(make_scores, returns)  # without scratch and random there is no margin
    assert (race.ended, race.num_seeds) == ("last look", 12)


def test_the_verdict_is_that_of_the_race_with_the_intervals_of_its_last_look(
    make_scores: MakeScores,
) -> None:
    scores, race = asked_for(make_scores, close_race())
    verdict = judged(scores, list(close_race()))
    level = PLAN.levels[PLAN.looks.index(race.num_seeds)]
    assert verdict.decided
    assert (verdict.best, verdict.runner_up) == ("update_all", "freeze_head")
    assert verdict.num_seeds == race.num_seeds
    assert verdict.confidence == pytest.approx(1 - level)
    gap = (close_race()["update_all"] - close_race()["freeze_head"])[: race.num_seeds]
    half = stats.t.ppf(1 - level / 2, race.num_seeds - 1) * gap.std(ddof=1)
    assert verdict.ci_low == pytest.approx(gap.mean() - half / np.sqrt(race.num_seeds))
    shown = f"{100 * (1 - level):.4g} % intervals, look at {race.num_seeds} seeds"
    assert shown in verdict.sentence
    assert "Dropped: Freeze embedding (by Update all at 3 seeds)" in verdict.sentence
    (answer,) = (a for a in verdict.answers if a.name == "which_part")
    assert answer.num_seeds == 3  # what is there of the dropped condition
    assert "99.75 % interval" in answer.details


def test_an_undecided_race_names_what_is_left(make_scores: MakeScores) -> None:
    returns = close_race() | {"freeze_head": PRETRAINED + 0.1 * NOISE[2] + 0.15}
    scores, race = asked_for(make_scores, returns)
    assert race.ended == "last look"
    verdict = judged(scores, list(returns))
    assert not verdict.decided
    assert set(verdict.may_be_best) == {"update_all", "freeze_head"}
    assert verdict.ci_low < 0
    assert verdict.confidence == pytest.approx(1 - PLAN.levels[-1])


def test_seeds_that_were_added_by_hand_are_said_and_end_the_levels(
    make_scores: MakeScores,
) -> None:
    returns = close_race()
    everything = make_scores(returns)
    scores, race = asked_for(make_scores, returns)
    by_hand = everything[(everything["condition"] == "freeze_embedding") & (everything["seed"] < 5)]
    more = pd.concat([scores, by_hand[by_hand["seed"] >= 3]])
    race = raced(more, list(returns))
    assert race.added == {"freeze_embedding": (3, 4)}
    assert not race.is_valid
    verdict = judged(more, list(returns))
    assert "added to this race by hand (Freeze embedding 2 seeds)" in verdict.sentence
    seeds = raced(scores, list(returns)).num_seeds
    gap = (returns["update_all"] - returns["freeze_head"])[:seeds]
    t = gap.mean() / (gap.std(ddof=1) / np.sqrt(seeds))
    half = gap.mean() / t * always_valid.critical_t(seeds)
    assert verdict.ci_low == pytest.approx(gap.mean() - half)
    assert verdict.decided == (always_valid.e_value(t, seeds) >= 20)
    # A plan that says so is enough, before any such run is there.
    flagged = replace_plan(by_hand=True)
    assert "by hand, so the levels" in judged(scores, list(returns), racing=flagged).sentence


def replace_plan(**changes: Any) -> RacingConfig:
    return RacingConfig(looks=PLAN.looks, levels=PLAN.levels, **changes)


def test_runs_that_another_transfer_needs_are_not_added_by_hand(make_scores: MakeScores) -> None:
    other = ("catch@small_ball", BALL[1])
    shared = {"scratch": 0.1 * NOISE[3] - 5, "random": 0.1 * NOISE[4] - 9}
    won = {"update_all": PRETRAINED + 0.1 * NOISE[0] + 90, "freeze_head": PRETRAINED - 90} | shared
    long = {
        "update_all": 0.1 * NOISE[0] - 5, "freeze_head": 0.1 * NOISE[1] - 5
    } | shared  # fmt: skip
    spec = spec_of(list(won), transfers=(BALL, other), margin=1e-6)
    everything = pd.concat([make_scores(won), make_scores(long, source=other[0])]).drop_duplicates(
        ["source", "target", "condition", "seed"]
    )
    # The first transfer's own conditions stop at its look.
    table = RunTable(everything, spec)
    first, second = races(table)
    assert second.ended
    assert second.num_seeds > first.num_seeds == 3
    assert set(first.added) == {"update_all", "freeze_head"}
    assert not {"scratch", "random"} & set(second.added)


def test_random_runs_on_a_source_are_not_added_by_hand(make_scores: MakeScores) -> None:
    ball = BALL[1]
    alike = {"update_all": 0.1 * NOISE[0], "freeze_head": 0.1 * NOISE[1], "random": NOISE[2] - 9}
    won = {
        "update_all": NOISE[3][:3] + 90, "freeze_head": NOISE[4][:3] - 90, "random": NOISE[5] - 9
    }  # fmt: skip
    spec = spec_of(list(won), transfers=(BALL, (ball, "catch")), margin=1e-6)
    there = make_scores(alike)
    back = make_scores(won, source=ball, target="catch")
    first, second = races(RunTable(pd.concat([there, back]), spec))
    assert (first.num_seeds, second.num_seeds) == (12, 3)
    assert second.is_valid  # random plays on catch as long as the first race is open


def test_replay_equals_the_simulation(make_scores: MakeScores) -> None:
    rng = np.random.default_rng(3)
    conditions = ["scratch", "update_all", "freeze_head", "freeze_embedding"]
    truth = simulate_racing.Truth("mixed", (0.5, 0.9, 0, -2), (1, 1, 0.4, 2), scratch=0)
    scores = simulate_racing.draw(truth, 120, 12, rng)
    outcome = simulate_racing.race(scores, PLAN.looks, PLAN.levels, scratch=0)
    assert len(set(outcome.runs)) > 5
    assert set(outcome.winner) == {-1, 0, 1}
    for race_scores, winner, runs in zip(scores, outcome.winner, outcome.runs, strict=True):
        returns = dict(zip(conditions, race_scores, strict=True))
        asked, race = asked_for(make_scores, returns)
        assert len(asked) == runs
        assert (race.ended == "won") == (winner >= 0)
        if winner >= 0:
            assert race.live == (conditions[winner],)


def test_always_valid_intervals_end_where_the_e_value_is_twenty() -> None:
    # Next to Student's t at 5 %: 3.18, 2.78, 2.26, 2.09.
    for seeds, t in ((4, 7.2), (5, 5.4), (10, 4.0), (20, 3.6)):
        critical = always_valid.critical_t(seeds)
        assert critical == pytest.approx(t, abs=0.05)
        assert always_valid.e_value(critical, seeds) == pytest.approx(20)
    assert always_valid.critical_t(3) == np.inf
    assert always_valid.e_value(1e9, 3) < 20
    gap = always_valid.difference([1.0, 2.0, 4.0], [0.0, 0.0, 0.0])
    assert not gap.has_interval
    assert "too few" in gap.note


def test_always_valid_intervals_hold_after_every_look() -> None:
    assert 0.005 < simulate_racing.always_valid_error(4000) < 0.05 + 3 * 0.0035


@pytest.mark.slow
def test_races_name_a_false_winner_in_at_most_five_percent_on_normal_data() -> None:
    num_races = 20_000
    rng = np.random.default_rng(simulate_racing.SEED)
    limit = 5 + 3 * 100 * np.sqrt(0.05 * 0.95 / num_races)
    for truth in simulate_racing.TIES:
        scores = simulate_racing.draw(truth, num_races, 20, rng)
        for looks in ((3, 5, 8, 12), (5, 10, 20)):
            plan = RacingConfig(looks=looks)
            outcome = simulate_racing.race(scores, plan.looks, plan.levels, truth.scratch)
            assert 100 * np.mean(outcome.winner >= 0) <= limit, (truth.name, looks)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"looks": (2, 5)}, "must rise and begin with 3 or more"),
        ({"looks": (3, 3)}, "must rise"),
        ({"looks": (3, 5), "levels": (0.01,)}, "one positive number for each of the 2 looks"),
        ({"looks": (3, 5), "levels": (0.03, 0.03)}, "add up to 0.06; they may add up to 0.05"),
        ({"looks": (3, 20_000)}, "end at 20000"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(plan: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        RacingConfig(**plan)


def test_the_default_levels_rise_and_spend_five_percent() -> None:
    assert RacingConfig().levels == pytest.approx((0.0025, 0.0075, 0.015, 0.025))
    assert sum(RacingConfig(looks=(5, 10, 20)).levels) == pytest.approx(0.05)


def test_metrics_of_a_race_have_its_confidence_and_miss_no_run(make_scores: MakeScores) -> None:
    scores, race = asked_for(make_scores, close_race())
    metrics = metrics_frame(check_scores(scores), spec_of(list(close_race())))
    assert metrics["confidence"].unique() == pytest.approx([race.confidence])
    returns = metrics[metrics["metric"] == "return"].set_index("condition")
    assert returns["num_missing"].to_dict() == {
        "update_all": 0, "freeze_embedding": race.num_seeds - 3, "freeze_head": 0, "freeze_all": 0
    }  # fmt: skip
    spec = spec_of(list(close_race()))
    checked = check_scores(scores)
    curves = curve_metrics_frame(checked, None, spec, verdicts(checked, spec))
    parts = curves[curves["metric"] == "difference_to_freeze_embedding"]
    assert parts["num_missing"].tolist() == [race.num_seeds - parts["num_seeds"].iloc[0]]
    table = to_markdown(table_frame(metrics, spec_of(list(close_race())), "return"))
    assert f"(3 of {race.num_seeds} seeds)" in table
    assert "at the level of its last look" in table
