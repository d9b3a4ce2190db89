from __future__ import annotations

import sys
from pathlib import Path

import pytest

from thaw.config.errors import InputError
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
