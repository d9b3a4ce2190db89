"""What tests share: a command line, one finished tiny suite, and scores made to order."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest
from command_line import TINY, Say, Spoken, thaw_command
from filelock import FileLock

from thaw.experiment.signals import STOP_SIGNALS

# `nohup` ignores SIGHUP, and a shell's `&` SIGINT; every process of a test would inherit that.
for signum, handler in (
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGINT, signal.default_int_handler),
):
    if signal.getsignal(signum) == signal.SIG_IGN:
        signal.signal(signum, handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the files with the longest tests first, and make each file's own fixtures once only.

    pytest-xdist would make a fixture of a module in every process that gets one of its tests.
    pytest has no public way to ask which fixtures a test uses, with their scopes.
    """
    for item in items:
        fixtures = item._fixtureinfo.name2fixturedefs.values()  # type: ignore[attr-defined]
        shared = any(fixture[-1].scope == "module" for fixture in fixtures)
        if shared and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    first = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in first)


MakeScores = Callable[..., pd.DataFrame]


@pytest.fixture
def say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Say]:
    """Run a command in this process, in an empty working folder: faster than a new one."""
    from thaw.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    handlers = {s: signal.getsignal(s) for s in STOP_SIGNALS}

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
    """The folder of the tiny suite, run to its end by the command; only read it.

    The first process of pytest-xdist that needs it makes it for all of them.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    root = shared / "finished"
    with FileLock(shared / "finished.lock"):
        if not (root / "spoken.err").exists():
            root.mkdir()
            (root / "tiny.yaml").write_text(TINY)
            spoken = thaw_command("run", "tiny.yaml", "--out", "new/folders/suite", cwd=root)
            assert spoken.status == 0, spoken.err
            (root / "spoken.out").write_text(spoken.out)
            (root / "spoken.err").write_text(spoken.err)
    return root / "new" / "folders" / "suite"


@pytest.fixture
def make_scores() -> MakeScores:
    """Builds scores of one transfer from condition -> returns by seed (None: missing)."""

    def build(
        returns: Mapping[str, Sequence[float | None]],
        source: str = "catch",
        target: str = "catch@large_ball",
        sem: float | None = None,
    ) -> pd.DataFrame:
        rows = [
            {
                "source": "" if condition in ("random", "scratch", "pretrain") else source,
                "target": source if condition == "pretrain" else target,
                "condition": condition,
                "seed": seed,
                "mean_return": value,
                "sem": sem,
            }
            for condition, values in returns.items()
            for seed, value in enumerate(values)
            if value is not None
        ]
        columns = ["source", "target", "condition", "seed", "mean_return", "sem"]
        return pd.DataFrame(rows, columns=columns)

    return build
