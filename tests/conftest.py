"""What the tests of the experiment half share: a command line, and one finished tiny suite."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import TINY, Say, Spoken, thaw_command


@pytest.fixture
def say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Say]:
    """Run a command in this process, in an empty working folder: faster than a new one."""
    from thaw.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: object) -> Spoken:
        capfd.readouterr()
        status = main([str(argument) for argument in arguments])
        return Spoken(status, *capfd.readouterr())

    yield run
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A suite file in the working folder."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny suite, run to its end by the command; only read it."""
    root = tmp_path_factory.mktemp("finished")
    (root / "tiny.yaml").write_text(TINY)
    spoken = thaw_command("run", "tiny.yaml", "--out", "new/folders/suite", cwd=root)
    assert spoken.status == 0, spoken.err
    (root / "spoken.out").write_text(spoken.out)
    (root / "spoken.err").write_text(spoken.err)
    return root / "new" / "folders" / "suite"
