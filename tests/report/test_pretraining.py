"""Which amount of pretraining is enough, from scores made to order."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from thaw.report.pretraining import (
    Amount,
    amounts_of_pretraining,
    enough_sentence,
    pretraining_frame,
    pretraining_panels,
)
from thaw.report.scores import check_scores, check_source_steps
from thaw.report.spec import ReportSpec
from thaw.report.statistics import NO_ESTIMATE, paired_difference

STEPS = (100, 1_000, 10_000)
SEEDS = range(5)
NOISE = (-0.02, 0.03, 0.0, 0.01, -0.02)
"""Of a run; it differs between seeds."""
PRETRAININGS = (0.0, 0.5, -0.3, 0.2, -0.4)
"""How good each seed's pretraining is; all its runs share it."""


def rows(condition: str, source: str, level: float) -> list[dict[str, object]]:
    pretrainings = PRETRAININGS if source else (0.0,) * len(SEEDS)
    return [
        {
            "source": source,
            "target": "catch@large_ball",
            "condition": condition,
            "seed": seed,
            "mean_return": level + pretrainings[seed] + NOISE[seed],
        }
        for seed in SEEDS
    ]


def sentences(levels: tuple[float, float, float], margin: float | None = 0.1) -> list[str]:
    """Return what is said of update_all whose mean return is one of the levels after each step."""
    found = [
        row | {"source_step": step, "mean_return": float(str(row["mean_return"])) + wobble}
        for number, (step, level) in enumerate(zip(STEPS, levels, strict=True))
        for seed, row in enumerate(rows("update_all", "catch", level))
        for wobble in [NOISE[(seed + number) % len(NOISE)]]
    ]
    scores = check_scores(pd.DataFrame(rows("update_all", "catch", levels[-1])))
    amounts = amounts_of_pretraining(
        check_source_steps(pd.DataFrame(found)), scores, spec(margin=margin)
    )
    return [amount.sentence for amount in amounts]


def spec(margin: float | None = None, conditions: tuple[str, ...] = ("update_all",)) -> ReportSpec:
    return ReportSpec(
        "test", (("catch", "catch@large_ball"),), conditions, tuple(SEEDS), margin=margin,
        source_steps=STEPS,
    )  # fmt: skip


def test_an_amount_is_enough_if_the_rest_adds_less_than_the_margin() -> None:
    (said,) = sentences((0.1, 0.79, 0.8))
    assert said.startswith(
        "Update all: 1,000 steps are enough, 0.1 of the pretraining. The rest adds less than the "
        "margin of 0.100: 0.010 ["
    )


def test_the_smallest_such_amount_is_named_unless_a_larger_one_contradicts() -> None:
    assert "100 steps are enough, 0.01 of" in sentences((0.8, 0.8, 0.8))[0]
    assert "enough, " not in sentences((0.8, 0.3, 0.8))[0]


def test_all_of_it_counts_if_the_last_part_still_adds_something() -> None:
    (said,) = sentences((0.1, 0.4, 0.8))
    assert said.startswith(
        "Update all: all of the pretraining counts; from 1,000 to 10,000 steps it gains 0.400 ["
    )


def test_an_open_question_names_what_is_surely_not_enough() -> None:
    (said,) = sentences((0.1, 0.8, 0.8), margin=0.001)
    assert said.startswith("Update all: not decided which amount is enough; from 1,000 to 10,000")
    assert "100 steps are not enough: the rest adds 0.700 [" in said
    assert "set report.margin" in sentences((0.1, 0.8, 0.8), margin=None)[0]


def drawn(rng: np.random.Generator, levels: Sequence[float]) -> str:
    """Return what is said of five seeds whose mean returns are these plus noise."""
    base = rng.normal(0, 0.5, 5)
    *earlier, final = [base + level + rng.normal(0, 0.2, 5) for level in levels]
    amounts = [
        Amount(step, NO_ESTIMATE, paired_difference(final, values), True)
        for step, values in zip((100, 300, 1_000, 3_000), earlier, strict=True)
    ]
    return enough_sentence(amounts, 10_000, 0.2)


@pytest.mark.parametrize(
    ("levels", "wrong"),
    [
        ((0.0, 0.0, 0.0, 0.0, 0.0), r"all of the|not enough"),
        ((0.0, 0.0, 0.0, 0.2, 0.2), r"^(100|300|1,000) steps are enough"),
    ],
    ids=["equal", "as much as the margin"],
)
def test_what_is_said_is_wrong_in_one_of_twenty_sets_at_most(
    levels: Sequence[float], wrong: str
) -> None:
    """With 6,000 sets the share has a standard error of 0.3 %."""
    rng = np.random.default_rng(5)
    said = [drawn(rng, levels) for _ in range(6_000)]
    assert sum(bool(re.search(wrong, text)) for text in said) / len(said) < 0.055
    assert any("enough" in text for text in said)


def test_amounts_are_compared_by_pretraining() -> None:
    """The pretrainings differ by far more than an amount's effect; unpaired it would drown."""
    (said,) = sentences((0.5, 0.7, 0.8), margin=0.01)
    assert "all of the pretraining counts" in said


def test_curves_and_numbers_agree_and_controls_are_level() -> None:
    conditions = ("random", "scratch", "update_all")
    found = [
        row | {"source_step": step}
        for step, level in zip(STEPS, (0.1, 0.4, 0.8), strict=True)
        for row in rows("update_all", "catch", level)
    ]
    scores = check_scores(
        pd.DataFrame(
            [
                *rows("update_all", "catch", 0.8),
                *rows("scratch", "", 0.2),
                *rows("random", "", -0.9),
            ]
        )
    )
    planned = spec(conditions=conditions)
    amounts = amounts_of_pretraining(check_source_steps(pd.DataFrame(found)), scores, planned)
    (panel,) = pretraining_panels(amounts, scores, planned)
    curves = dict(panel.curves)
    assert list(curves) == list(conditions)
    frame = pretraining_frame(amounts)
    assert list(curves["update_all"].steps) == list(frame["source_step"]) == list(STEPS)
    assert list(curves["update_all"].mean) == pytest.approx([0.1, 0.4, 0.8])
    assert list(curves["update_all"].low) == list(frame["ci_low"])
    assert list(curves["scratch"].steps) == [100, 10_000]
    assert list(curves["scratch"].mean) == pytest.approx([0.2, 0.2])
    assert list(frame["final_minus_this"][:2]) == pytest.approx([0.7, 0.4])
    assert list(frame["paired"]) == [True, True, False]
