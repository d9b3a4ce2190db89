from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from thaw.files.atomic import WriteFailed, check_out, write_atomic


def full_disk(*_: object, **__: object) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_is_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", full_disk)
        with pytest.raises(WriteFailed, match=r"cannot write .*No space left.*the same command"):
            write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def write_often_as_process_7(path: Path, letter: bytes) -> None:
    os.getpid = lambda: 7  # as the first process of a container
    write_often(path, letter)


def test_two_containers_whose_processes_have_the_same_number_write_the_same_file(
    tmp_path: Path,
) -> None:
    path, context = tmp_path / "file", multiprocessing.get_context("fork")
    both = [
        context.Process(target=write_often_as_process_7, args=(path, letter))
        for letter in (b"a", b"b")
    ]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert list(tmp_path.iterdir()) == [path]


def write_often(path: Path, letter: bytes) -> None:
    for _ in range(300):
        write_atomic(path, letter * 100_000)


def test_two_writers_and_a_reader_never_see_a_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"a" * 100_000)
    other = multiprocessing.get_context("fork").Process(target=write_often, args=(path, b"b"))
    other.start()
    try:
        while other.is_alive():
            write_atomic(path, b"a" * 100_000)
            assert path.read_bytes() in (b"a" * 100_000, b"b" * 100_000)
    finally:
        other.join()
    assert other.exitcode == 0
    assert list(tmp_path.iterdir()) == [path]


def test_an_out_that_can_be_made_is_not_made(tmp_path: Path) -> None:
    check_out(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
