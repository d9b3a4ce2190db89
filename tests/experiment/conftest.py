"""What the tests of suites share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A finished suite to break."""
    return Path(shutil.copytree(finished, tmp_path / "copied"))
