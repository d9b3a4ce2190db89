"""The policies that a run keeps on its way are those of their steps, whatever the run suffers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_runs import RUNTIME, SPEC, changed, outcome, stop_after, transfer

from thaw.config.errors import InputError
from thaw.files.checkpoint import origin_of
from thaw.files.policy_file import POLICY_FILE, find_policy
from thaw.files.run_folder import RunFolder
from thaw.training.progress import Stopped
from thaw.training.run import execute_run

KEEPING = changed(SPEC, milestones=(50, 200, 480))
"""An update learns from 40 steps, so the milestones are kept at 80, 200 and 480."""


def policies(run: RunFolder) -> dict[int, bytes]:
    kept = run.milestones.kept()
    return {step: (run.milestones.find(step) / POLICY_FILE).read_bytes() for step in kept}


def run_until(folder: Path, num_updates: int) -> RunFolder:
    run = RunFolder(folder)
    with pytest.raises(Stopped):
        execute_run(KEEPING, run, RUNTIME, should_stop=stop_after(num_updates))
    return run


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = RunFolder(tmp_path_factory.mktemp("kept") / "run")
    execute_run(KEEPING, run, RUNTIME)
    return run


def test_keeping_policies_changes_no_result(kept: RunFolder, pretrained: RunFolder) -> None:
    assert outcome(kept) == outcome(pretrained)
    assert kept.content_hash() != pretrained.content_hash()


def test_each_milestone_is_the_policy_of_its_step(kept: RunFolder, tmp_path: Path) -> None:
    for step, num_updates in ((50, 2), (200, 5)):
        stopped = run_until(tmp_path / str(step), num_updates)
        now = (stopped.checkpoint / POLICY_FILE).read_bytes()
        assert policies(kept)[step] == now
    assert policies(kept)[480] == (kept.checkpoint / POLICY_FILE).read_bytes()


def test_a_resumed_run_keeps_the_same_policies(kept: RunFolder, tmp_path: Path) -> None:
    stopped = run_until(tmp_path / "run", 3)
    assert stopped.milestones.kept() == [50]
    shutil.copytree(kept.milestones.path / "480", stopped.milestones.path / "200")
    (stopped.milestones.path / ".new-killed").mkdir()
    again = run_until(stopped.path, 1)  # of a future that did not come
    assert again.milestones.kept() == [50]
    assert not (stopped.milestones.path / ".new-killed").exists()
    execute_run(KEEPING, stopped, RUNTIME)
    assert policies(stopped) == policies(kept)


def test_a_transfer_starts_from_a_milestone(kept: RunFolder, tmp_path: Path) -> None:
    source = kept.milestones.find(50)
    assert origin_of(find_policy(source)) == KEEPING
    run = RunFolder(tmp_path / "run")
    execute_run(transfer("freeze_all", source_step=50), run, RUNTIME, source=source)
    assert (run.checkpoint / POLICY_FILE).read_bytes() == policies(kept)[50]


def test_a_damaged_milestone_is_no_source(kept: RunFolder, tmp_path: Path) -> None:
    source = Path(shutil.copytree(kept.milestones.find(50), tmp_path / "50"))
    data = bytearray((source / POLICY_FILE).read_bytes())
    data[-1] ^= 1
    (source / POLICY_FILE).write_bytes(data)
    with pytest.raises(InputError, match="is damaged"):
        execute_run(
            transfer("freeze_all", source_step=50), RunFolder(tmp_path / "run"), RUNTIME,
            source=source,
        )  # fmt: skip
    with pytest.raises(InputError, match="keeps no policy of step 60; its milestones are: 50, 200"):
        kept.milestones.find(60)
