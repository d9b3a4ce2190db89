"""Checksums name the file that is not as it was written; renames reach the disk."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from thaw.config.errors import InputError
from thaw.files.atomic import write_atomic
from thaw.files.checksums import CHECKSUMS, Damaged, check_files, checksums
from thaw.files.csv_log import CsvLog
from thaw.files.run_folder import RunFolder

FILES = {"a.bin": bytes(range(200)), "b.json": b"{}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in (*FILES.items(), (CHECKSUMS, checksums(FILES))):
        (tmp_path / name).write_bytes(data)
    return tmp_path


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_what_was_written_passes_and_so_does_a_folder_without_checksums(folder: Path) -> None:
    check_files(folder)
    (folder / CHECKSUMS).unlink()
    flip_a_bit(folder / "a.bin")
    check_files(folder)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flip_a_bit, "a.bin is damaged: its SHA-256"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "a.bin is damaged: it has 199"),
        (lambda path: path.write_bytes(b""), "a.bin is damaged: it has 0 bytes, 200 were written"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "a.bin is damaged: it has 201"),
        (Path.unlink, "a.bin is missing"),
        (lambda path: (path.unlink(), path.mkdir()), "a.bin (cannot be read|is damaged)"),
    ],
)
def test_every_damage_names_its_file(
    folder: Path, damage: Callable[[Path], object], said: str
) -> None:
    damage(folder / "a.bin")
    with pytest.raises(Damaged, match=said) as caught:
        check_files(folder)
    assert "\n" not in str(caught.value)
    check_files(folder, ["b.json"])


def test_damaged_checksums_name_themselves(folder: Path) -> None:
    whole = (folder / CHECKSUMS).read_bytes()
    for position in range(0, len(whole) - 1, 3):
        data = bytearray(whole)
        data[position] ^= 1
        (folder / CHECKSUMS).write_bytes(data)
        with pytest.raises(Damaged, match=rf"{CHECKSUMS} is damaged"):
            check_files(folder)
    for text in (b"", b"[]", b"{}", b'{"files": 1, "sha256": 2}', b"\0" * 50, whole[:-20]):
        (folder / CHECKSUMS).write_bytes(text)
        with pytest.raises(Damaged, match=rf"{CHECKSUMS} is damaged"):
            check_files(folder)


def test_a_stranger_s_checksums_read_nothing_elsewhere(folder: Path) -> None:
    (folder / CHECKSUMS).write_bytes(checksums({"../secret": b"1"}))
    with pytest.raises(Damaged, match=r"'../secret' is not the entry of a file"):
        check_files(folder)


def test_a_log_is_checked_up_to_what_its_checkpoint_has_seen(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "log.csv", ("step", "return"))
    log.append([{"step": 1, "return": 0.5}, {"step": 2, "return": 1.5}])
    size, sha256 = log.size, log.sha256()
    log.append([{"step": 3, "return": 2.5}])
    assert log.sha256() == CsvLog(log.path, log.columns).sha256(), "the hash follows the rows"
    log.check(size, sha256)
    log.check(size, None)
    log.check(0, None)
    whole = log.path.read_bytes()
    for data, expected, said in (
        (whole[: size - 1], sha256, "it has .* bytes, its checkpoint was saved after"),
        (b"", sha256, "it has 0 bytes"),
        (whole.replace(b"1.5", b"7.5"), sha256, "are not those that were written"),
        (whole[:5] + bytes(4) + whole[9:], sha256, "are not those that were written"),
        (whole.replace(b"2,1.5\n3", b"2,1.55\n"), None, "a row is cut in two"),
    ):
        log.path.write_bytes(data)
        with pytest.raises(Damaged, match=rf"log.csv is damaged: .*{said}"):
            log.check(size, expected)
    log.path.unlink()
    with pytest.raises(Damaged, match=r"log.csv is damaged: it has 0 bytes"):
        log.check(size, sha256)
    log.path.write_bytes(whole)
    log.cut(size)
    assert log.sha256() == sha256


def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder(tmp_path)
    folder.replace_checkpoint({"a": b"1"})
    folder.replace_checkpoint({"a": b"2"})
    assert folder.find_checkpoint() == folder.checkpoint
    assert not caplog.messages
    flip_a_bit(folder.checkpoint / "a")
    old = tmp_path / "checkpoint.old"
    assert folder.find_checkpoint() == old
    assert caplog.messages == [
        f"{folder.checkpoint / 'a'} is damaged: its SHA-256 is not that of what was written; this "
        f"run goes on from {old}"
    ]
    # The next save must keep the whole one.
    folder.replace_checkpoint({"a": b"3"})
    assert (old / "a").read_bytes() == b"1"
    for checkpoint in folder.checkpoints:
        flip_a_bit(checkpoint / "a")
    with pytest.raises(InputError, match="is damaged") as caught:
        folder.find_checkpoint()
    assert f"delete {folder.checkpoint} and {old}, and the same command" in str(caught.value)
    assert folder.checkpoint.exists()


def test_files_and_renames_reach_the_disk_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, rename, replace = os.fsync, Path.rename, Path.replace

    def named(path: Path | str) -> str:
        """Without the random letters of a temporary file."""
        return re.sub(r"-[0-9a-f]{12}\.tmp$", ".tmp", Path(path).name)

    def note_fsync(opened: int) -> None:
        events.append(f"sync {named(os.readlink(f'/proc/self/fd/{opened}'))}")
        fsync(opened)

    def note_rename(self: Path, target: Path) -> Path:
        events.append(f"rename {named(self)} {named(target)}")
        return rename(self, target)

    def note_replace(self: Path, target: Path) -> Path:
        events.append(f"rename {named(self)} {named(target)}")
        return replace(self, target)

    folder = RunFolder(tmp_path)
    folder.replace_checkpoint({"a": b"1"})
    folder.episodes.append([])
    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "rename", note_rename)
    monkeypatch.setattr(Path, "replace", note_replace)
    write_atomic(tmp_path / "file", b"1")
    own = f"{os.getpid()}.tmp"
    assert events == [f"sync .file.{own}", f"rename .file.{own} file", f"sync {tmp_path.name}"]
    events.clear()
    folder.replace_checkpoint({"a": b"2"})
    # At the same time, in any order: the files, their folder, and the logs that they know of.
    assert sorted(events[:4]) == [
        "sync a", "sync checkpoint.new", f"sync {CHECKSUMS}", "sync episodes.csv"
    ]  # fmt: skip
    assert events[4:] == [
        "rename checkpoint checkpoint.old",
        "rename checkpoint.new checkpoint",
        f"sync {tmp_path.name}",
    ]
    events.clear()
    folder.finish({"mean_return": 1.0})
    assert sorted(events[:3]) == [
        f"sync .{CHECKSUMS}.{own}", f"sync .result.json.{own}", "sync episodes.csv"
    ]  # fmt: skip
    assert events[3:] == [
        f"rename .{CHECKSUMS}.{own} {CHECKSUMS}",
        f"rename .result.json.{own} result.json",
        f"sync {tmp_path.name}",
    ]
