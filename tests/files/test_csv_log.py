from __future__ import annotations

from pathlib import Path

import pytest

from thaw.files.atomic import WriteFailed
from thaw.files.csv_log import CsvLog


def test_logs_grow_by_rows_and_can_be_cut_back(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "log.csv", ("step", "return"))
    assert log.size == 0
    log.cut(0)
    log.append([{"step": 1, "return": 0.5}])
    size = log.size
    log.append([{"step": 2, "return": None}, {"step": 3}])
    assert log.path.read_text() == "step,return\n1,0.5\n2,\n3,\n"
    log.cut(size)
    log.cut(10_000)  # never longer than it is
    assert log.path.read_text() == "step,return\n1,0.5\n"
    log.cut(0)
    log.append([{"step": 4, "return": 1}])
    assert log.path.read_text() == "step,return\n4,1\n"


def test_a_full_disk_is_explained(tmp_path: Path) -> None:
    (tmp_path / "log.csv").symlink_to("/dev/full")
    with pytest.raises(WriteFailed, match=r"cannot write .*log.csv: No space left"):
        CsvLog(tmp_path / "log.csv", ("step",)).append([{"step": 1}])
