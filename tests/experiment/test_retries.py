"""The table of retries, and the counters on disk that it is applied to."""

from __future__ import annotations

from pathlib import Path

import pytest

from thaw.experiment.retries import LOST_IN_A_ROW, decide
from thaw.files.attempts import (
    ATTEMPTS,
    Attempts,
    Cause,
    given_up,
    read_attempts,
    with_begun,
    with_end_of,
    with_ended,
    write_attempts,
)
from thaw.files.checksums import Damaged


def after(*causes: Cause, steps: int = 0, before: Attempts = ()) -> Attempts:
    """Return attempts that ended so; each started at the same step."""
    attempts = before
    for cause in causes:
        attempts = with_ended(with_begun(attempts, "local", steps), cause, "said")
    return attempts


@pytest.mark.parametrize(
    ("causes", "again"),
    [
        (["crash"], True),
        (["crash", "crash"], True),
        (["crash", "crash", "crash"], False),
        (["crash", "lost", "stopped", "crash", "stall", "crash"], False),
        (["stall"], True),
        (["stall", "crash", "stall"], False),
        (["memory"], True),
        (["memory", "memory"], False),
        (["exception"], False),
        (["crash", "exception"], False),
        (["outside"], True),
        (["stopped"], True),
        ([], True),
    ],
)
def test_each_cause_has_its_budget(causes: list[Cause], again: bool) -> None:
    assert decide(after(*causes), 0).again == again


def test_after_a_full_memory_a_run_is_alone_until_it_has_failed_for_good() -> None:
    assert decide(after("memory"), 0) == (True, True)
    assert decide(after("memory", "crash"), 0) == (True, True)
    assert decide(after("crash"), 0) == (True, False)
    retried = after("crash", before=given_up(after("memory", "memory")))
    assert decide(retried, 0) == (True, False)


def test_a_lost_attempt_costs_nothing_while_the_run_advances() -> None:
    attempts: Attempts = ()
    for steps in range(0, 5 * LOST_IN_A_ROW, 2):
        attempts = after("lost", before=attempts, steps=steps)
        assert decide(attempts, steps + 2).again
    for number in range(1, LOST_IN_A_ROW + 1):
        attempts = after("lost", before=attempts, steps=500)
        assert decide(attempts, 500).again == (number < LOST_IN_A_ROW), number
    assert decide(attempts, 501).again, "the last of them has advanced it"


def test_a_new_count_begins_after_a_failure_for_good() -> None:
    failed = given_up(after("crash", "crash", "crash"))
    assert not decide(failed, 0).again
    assert decide(after("crash", before=failed), 0).again
    assert decide(after("crash", before=after("crash", "crash", "exception")), 0).again


def test_an_attempt_whose_end_nobody_noticed_was_lost(tmp_path: Path) -> None:
    write_attempts(tmp_path, with_begun((), "local", 0))
    assert read_attempts(tmp_path)[0].cause is None
    attempts = with_begun(read_attempts(tmp_path), "ray", 40)
    assert [(a.number, a.where, a.cause) for a in attempts] == [
        (1, "local", "lost"), (2, "ray", None),
    ]  # fmt: skip
    assert attempts[-1].steps == 40


def test_a_process_that_died_before_it_owned_the_folder_is_counted_too() -> None:
    attempts: Attempts = ()
    for number in (1, 2, 3):
        before = len(attempts)
        assert decide(attempts, 0).again
        attempts = with_end_of(before, attempts, "local", 0, "crash", "died")
        assert len(attempts) == number
    assert not decide(attempts, 0).again
    recorded = after("memory")  # its process has said so itself
    assert with_end_of(0, recorded, "local", 0, "crash", "died") == recorded


def test_the_file_is_small_strict_and_whole(tmp_path: Path) -> None:
    assert read_attempts(tmp_path) == ()
    attempts = after("crash", "stopped", "done")
    write_attempts(tmp_path, attempts)
    assert read_attempts(tmp_path) == attempts
    text = (tmp_path / ATTEMPTS).read_text()
    assert len(text) < 250 * len(attempts)
    assert [path.name for path in tmp_path.iterdir()] == [ATTEMPTS]
    for broken in (text[:-9], text.replace("crash", "bang"), text.replace('"pid"', '"id"'), "{}"):
        (tmp_path / ATTEMPTS).write_text(broken)
        with pytest.raises(Damaged, match=r"attempts\.json is damaged .*; delete .*the same"):
            read_attempts(tmp_path)
