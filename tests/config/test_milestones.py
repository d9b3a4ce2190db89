from __future__ import annotations

from typing import Any

import pytest
from command_line import TINY

from thaw.config.errors import InputError
from thaw.config.milestones import milestone_steps
from thaw.config.strict import from_plain, parse_yaml
from thaw.config.suite import Suite


def suite(**changes: Any) -> Suite:
    return from_plain(parse_yaml(TINY) | changes, Suite, "test")


def test_milestones_are_log_spaced_from_a_hundredth_to_the_end() -> None:
    assert milestone_steps(5, 1_000_000) == (10_000, 32_000, 100_000, 320_000, 1_000_000)
    assert milestone_steps(4, 70_000) == (700, 3_200, 15_000, 70_000)
    assert milestone_steps(1, 12_345) == (12_345,)
    assert milestone_steps(2, 12_345) == (120, 12_345)


@pytest.mark.parametrize(("number", "steps"), [(2, 40), (30, 400)])
def test_a_run_too_short_for_its_milestones_is_refused(number: int, steps: int) -> None:
    with pytest.raises(InputError, match="are not different; take fewer"):
        milestone_steps(number, steps)


def test_a_suite_names_the_steps_from_which_its_conditions_start() -> None:
    assert suite().kept_steps == suite().earlier_steps == ()
    assert suite(milestones=3).kept_steps == (4, 40, 400)
    assert suite(milestones=3).earlier_steps == ()
    assert suite(milestones=3, source_steps="all").earlier_steps == (4, 40)
    assert suite(milestones=3, source_steps=[400, 40]).earlier_steps == (40,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source_steps": "all"}, "source_steps needs milestones, as in milestones: 4"),
        ({"milestones": 3, "source_steps": [50]}, "no policy is kept at 50; the milestones are 4"),
        ({"milestones": 3, "source_steps": "al"}, "source_steps"),
        ({"milestones": 0}, "milestones: expected a whole number >= 1"),
        ({"milestones": 3, "source_steps": "all", "racing": {}}, "leave out racing, or"),
        (
            {
                "milestones": 3,
                "source_steps": "all",
                "conditions": ["mine"],
                "update_rules": {
                    "mine": "embedding=source:trained,head=source:trained,optimizer=source"
                },
            },
            "'mine' has optimizer=source, but milestones have weights only",
        ),
    ],
)
def test_a_wrong_wish_is_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        suite(**changes)
    assert "\n" not in str(raised.value)
