"""One finished run that the tests of a run share."""

from __future__ import annotations

import pytest
from small_runs import (
    RUNTIME,
    SPEC,
)

from thaw.files.run_folder import RunFolder
from thaw.training.run import execute_run


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished pretraining; only read it."""
    folder = RunFolder(tmp_path_factory.mktemp("pretrained"))
    execute_run(SPEC, folder, RUNTIME)
    return folder
