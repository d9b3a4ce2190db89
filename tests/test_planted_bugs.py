from __future__ import annotations

from pathlib import Path

import planted_bugs
import pytest
from bugs import BUGS, Bug
from planted_bugs import ROOT, plant, run_tests, verdict

BY_NAME = {bug.name: bug for bug in BUGS}


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_each_bug_can_still_be_planted_and_its_tests_exist(bug: Bug) -> None:
    text = (ROOT / "thaw" / bug.file).read_text(encoding="utf-8")
    assert text.count(bug.old) == 1
    assert bug.old != bug.new
    compile(text.replace(bug.old, bug.new), bug.file, "exec")
    assert bug.tests
    for file in bug.tests.split():
        assert (ROOT / "tests" / file).is_file()


def test_no_two_bugs_are_the_same() -> None:
    assert len(BY_NAME) == len({(bug.file, bug.old, bug.new) for bug in BUGS}) == len(BUGS)


def test_a_planted_bug_turns_its_tests_red() -> None:
    name = "seeds that agree by chance are certain"
    caught, line = verdict(BY_NAME[name])
    assert caught, line
    assert line.startswith(f"caught    {name}")


def test_a_bug_that_nobody_notices_survives() -> None:
    harmless = Bug(
        "a comment",
        "report/statistics.py",
        "CONFIDENCE = 0.95\n",
        "CONFIDENCE = 0.95  # as usual\n",
        "report/test_statistics.py",
        "equally_many",
    )
    caught, line = verdict(harmless)
    assert not caught
    assert line.startswith("SURVIVED  a comment")
    assert ": exit 0, " in line  # without a real bug its tests are green


def test_tests_that_cannot_even_start_do_not_count_as_caught() -> None:
    broken = Bug(
        "a syntax error",
        "report/statistics.py",
        "CONFIDENCE = 0.95\n",
        "CONFIDENCE = = 0.95\n",
        "report/test_statistics.py",
        "equally_many",
    )
    assert not verdict(broken)[0]


def test_a_text_that_is_not_there_once_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="its old text is 0x"):
        plant(Bug("gone", "training/clocks.py", "no such text", "", ""), tmp_path)


def test_the_copy_s_package_is_the_one_that_is_tested(tmp_path: Path) -> None:
    plant(None, tmp_path)
    (tmp_path / "thaw" / "__init__.py").rename(tmp_path / "thaw" / "renamed.py")
    (tmp_path / "thaw").rename(tmp_path / "elsewhere")
    done = run_tests(tmp_path, "report/test_statistics.py", "equally_many")
    assert done.returncode not in (0, planted_bugs.TESTS_FAILED)
    assert "is not the copy in" in done.stdout + done.stderr
