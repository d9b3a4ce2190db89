from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from thaw.config.errors import InputError
from thaw.config.run_spec import RunSpec
from thaw.config.strict import from_plain
from thaw.config.update_rule import UpdateRule
from thaw.files.atomic import StoreMismatch, WriteFailed
from thaw.files.checksums import CHECKSUMS, Damaged
from thaw.files.run_folder import RunFolder


def spec(**changes: object) -> RunSpec:
    plain: dict[str, object] = {
        "condition": "scratch",
        "flavor": "catch",
        "update_rule": UpdateRule("scratch"),
        "seed": 0,
        "steps": 10,
    }
    return from_plain(plain | changes, RunSpec, "test")


def full_disk(*_: object, **__: object) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_begin_writes_what_spec_reads(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "deep" / "run")
    folder.begin(spec())
    assert folder.spec() == spec()
    assert folder.content_hash() == spec().content_hash
    folder.begin(spec())  # the same run may go on
    assert not folder.is_done


def test_a_folder_of_another_configuration_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin(spec())
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(StoreMismatch, match=r"another configuration .*choose another --out"):
        folder.begin(spec(steps=11))
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_foreign_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreMismatch, match=r"not empty and holds no run.json"):
        RunFolder(tmp_path).begin(spec())
    for place in (tmp_path / "thesis.tex", tmp_path / "thesis.tex" / "below"):
        with pytest.raises(InputError, match=r"thesis.tex' is a file; give a folder"):
            RunFolder(place).begin(spec())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_a_kill_before_run_json_left_is_no_foreign_folder(tmp_path: Path) -> None:
    for name in (".lock", ".run.json.17.tmp", "error.txt"):
        (tmp_path / name).touch()
    RunFolder(tmp_path).begin(spec())
    assert RunFolder(tmp_path).spec() == spec()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "run.json is broken"),
        ("{", "run.json is broken"),
        ("[]", "is not a run's description"),
        ("{}", "is not a run's description"),
    ],
)
def test_a_broken_run_json_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=said):
        RunFolder(tmp_path).begin(spec())


def test_an_edited_run_json_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin(spec())
    plain = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(plain | {"steps": 1_000_000}))
    for ask in (folder.spec, lambda: folder.begin(spec())):
        with pytest.raises(Damaged, match=r"was edited.*delete the folder"):
            ask()


def test_result_json_means_done_and_must_be_a_result(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin(spec())
    folder.fail("Traceback\nValueError: once")
    result = {"mean_return": 1.0, "steps": 10, "frames": 40, "seconds": 0.5}
    folder.finish(result)
    assert folder.is_done
    assert folder.result() == result
    assert not folder.error_log.exists()
    (tmp_path / CHECKSUMS).unlink()  # as an older thaw left it
    assert folder.result() == result
    for text in ("", "{", "[1]", "{}", json.dumps(result | {"mean_return": math.inf})):
        (tmp_path / "result.json").write_text(text)
        with pytest.raises(Damaged, match=r"result.json .*delete (it|the folder)"):
            folder.result()


def test_a_failure_that_cannot_be_written_down_is_no_second_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    RunFolder(tmp_path / "file" / "run").fail("ValueError: once")


def test_a_checkpoint_is_replaced_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    assert folder.find_checkpoint() is None
    assert folder.saved_steps() == 0
    folder.replace_checkpoint({"a": b"1", "gone": b"1", "training_state.json": b"{}"})
    folder.replace_checkpoint({"a": b"2", "training_state.json": b'{"learned_steps": 40}'})
    names = {path.name for path in folder.checkpoint.iterdir()}
    assert names == {"a", "training_state.json", CHECKSUMS}
    assert folder.saved_steps() == 40
    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", full_disk)
        with pytest.raises(WriteFailed):
            folder.replace_checkpoint({"a": b"3"})
    assert (folder.checkpoint / "a").read_bytes() == b"2"
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint", "checkpoint.old"}


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.replace_checkpoint({"a": b"1"})
    folder.checkpoint.rename(tmp_path / "checkpoint.old")  # as the kill leaves it
    found = folder.find_checkpoint()
    assert found is not None
    assert (found / "a").read_bytes() == b"1"
    folder.replace_checkpoint({"a": b"2"})
    assert (folder.checkpoint / "a").read_bytes() == b"2"


def test_a_full_disk_leaves_the_previous_json_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    result = {"mean_return": 1.0, "steps": 1, "frames": 1, "seconds": 1.0}
    folder.finish(result)
    monkeypatch.setattr("thaw.files.atomic.uuid4", lambda: UUID(int=0))
    (tmp_path / f".result.json.{os.getpid()}-{'0' * 12}.tmp").symlink_to("/dev/full")
    with pytest.raises(WriteFailed, match=r"cannot write .*result.json: No space left"):
        folder.finish(result | {"mean_return": 2.0})
    assert json.loads((tmp_path / "result.json").read_text()) == result
