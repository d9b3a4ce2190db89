from __future__ import annotations

import sys
from pathlib import Path

import pytest

from thaw.config.errors import InputError
from thaw.envs import make_env
from thaw.experiment.suites import load_suite


def test_a_suite_can_come_from_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "suite_functions.py").write_text(
        "from thaw import load_suite\n"
        "def mine(): return load_suite('catch-quick')\n"
        "def wrong(): return 'catch-quick'\n"
        "def broken(): return {}['no such key']\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert load_suite("suite_functions:mine", ["seeds=1"]).seed_list == (0,)
    with pytest.raises(InputError, match=r"returned str, not a thaw Suite"):
        load_suite("suite_functions:wrong")
    with pytest.raises(InputError, match=r"failed: KeyError: 'no such key' \(.*, line 4\)"):
        load_suite("suite_functions:broken")
    with pytest.raises(InputError, match=r"no attribute 'none'"):
        load_suite("suite_functions:none")


def test_a_module_that_fails_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "boom_at_import.py").write_text("\nraise RuntimeError('my import is broken')\n")
    (tmp_path / "boom_syntax.py").write_text("def broken(:\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    expected = r"RuntimeError: my import is broken \(.*boom_at_import.py, line 2\)"
    with pytest.raises(InputError, match=expected):
        load_suite("boom_at_import:mine")
    with pytest.raises(InputError, match=expected):
        make_env("gym/boom_at_import:Boom-v0")
    with pytest.raises(InputError, match=r"SyntaxError: .*boom_syntax.py, line 1"):
        make_env("gym/boom_syntax:Boom-v0")
