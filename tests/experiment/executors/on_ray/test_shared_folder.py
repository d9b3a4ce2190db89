"""A machine that does not see the suite's folder as the driver does is found before any run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from thaw.experiment.executors.on_ray import shared_folder
from thaw.experiment.executors.on_ray.shared_folder import (
    PREFIX,
    SharedFolder,
    is_listed,
    is_over,
    trouble_with,
)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SharedFolder:
    """An open folder of a driver; nobody waits long."""
    monkeypatch.setattr(shared_folder, "SEEN_SECONDS", 0.2)
    suite_folder = tmp_path / "suite"
    suite_folder.mkdir()
    shared = SharedFolder(suite_folder)
    shared.open()
    return shared


def test_a_machine_with_the_same_folder_proves_it(shared: SharedFolder) -> None:
    assert trouble_with(shared.path, "node-1") is None
    assert shared.unseen(["node-1"]) == []
    assert shared.unseen(["node-1", "node-2"]) == ["node-2"]
    shared.close()
    assert list(shared.suite_folder.iterdir()) == []


def test_a_machine_without_the_folder_or_with_another_one_says_so(shared: SharedFolder) -> None:
    shutil.rmtree(shared.path)
    assert trouble_with(shared.path, "node-1") == (
        f"has another folder at {shared.suite_folder}; all machines must mount the same one"
    )
    shutil.rmtree(shared.suite_folder)
    assert trouble_with(shared.path, "node-1") == (
        f"has no folder {shared.suite_folder}; all machines must mount it at this path"
    )
    assert not shared.suite_folder.exists(), "a folder that is made would hide the trouble"


def test_a_machine_that_cannot_write_says_so(shared: SharedFolder) -> None:
    (shared.path / "node-1").mkdir()  # also stops the superuser, unlike permissions
    trouble = trouble_with(shared.path, "node-1")
    assert trouble is not None
    assert trouble.startswith(f"cannot write, rename, sync and list in {shared.suite_folder} (")
    assert "\n" not in trouble


def test_a_machine_with_a_full_disk_says_so(
    shared: SharedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_folder, "MIN_FREE_MIB", 10**9)
    trouble = trouble_with(shared.path, "node-1")
    assert trouble is not None
    assert f"MiB left in {shared.suite_folder}" in trouble


def test_runs_are_told_to_stop_and_notice_that_their_driver_is_gone(shared: SharedFolder) -> None:
    assert not is_over(shared.path, 7)
    shared.give_up(7)
    assert is_over(shared.path, 7)
    assert not is_over(shared.path, 8)
    shared.ask_to_stop()
    assert is_over(shared.path, 8)
    # The next driver deletes the folder of one that was killed.
    again = SharedFolder(shared.suite_folder)
    again.open()
    assert is_over(shared.path, 1)
    assert not is_over(again.path, 1)
    assert [path.name for path in shared.suite_folder.glob(f"{PREFIX}*")] == [again.path.name]


def test_a_file_server_that_restarts_stops_no_run(shared: SharedFolder) -> None:
    """A listing that fails for another reason than a missing folder."""
    too_long = shared.path / ("x" * (os.pathconf(shared.path, "PC_NAME_MAX") + 1))
    assert not is_over(too_long, 1)


def test_a_listed_file_is_seen(tmp_path: Path) -> None:
    assert not is_listed(tmp_path / "run" / "result.json")
    (tmp_path / "run").mkdir()
    assert not is_listed(tmp_path / "run" / "result.json")
    (tmp_path / "run" / "result.json").touch()
    assert is_listed(tmp_path / "run" / "result.json")
