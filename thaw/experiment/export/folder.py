"""Exports the runs in a folder, once or again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from thaw.config.errors import InputError
from thaw.experiment.export.event_file import EventFiles
from thaw.experiment.export.points import RunRecord, read_run
from thaw.experiment.export.wandb_runs import WandbRuns
from thaw.experiment.suite_folder import SuiteFolder
from thaw.files.atomic import check_out
from thaw.files.run_folder import RunFolder

Program = Literal["tensorboard", "wandb"]

POLL_SECONDS = 5.0
"""Between two looks at the runs' folders; a run saves once a minute."""


class Writer(Protocol):
    """Writes runs for another program."""

    def write(self, run: RunRecord) -> None:
        """Write a run, or what is new of it."""

    def keep_only(self, runs: Mapping[str, str]) -> None:
        """Delete what was written of other runs; ``runs`` has content hashes by key."""


class Exported(NamedTuple):
    """What was exported."""

    out: Path
    num_runs: int
    num_points: int
    left_out: tuple[str, ...]
    """One line for each damaged run."""


class Exporter:
    """The runs of a suite's folder, or the one of a run's folder, for another program.

    Args:
        folder: The folder; it is only read, unless ``out`` is in it.
        program: Which one.
        out: By default a folder named as the program, in ``folder``.

    Raises:
        InputError: Not such a folder, or the program's package is not installed.
    """

    def __init__(self, folder: Path, program: Program, out: Path | None = None) -> None:
        if (folder / "run.json").is_file():
            project = "thaw"
            self.runs = {folder.resolve().name: RunFolder(folder)}
        else:
            suite_folder = SuiteFolder(folder)
            planned = suite_folder.plan()
            if suite_folder.is_published:
                raise InputError(f"'{folder}' is published: it has tables, but no runs to export")
            project = planned.suite.name
            self.runs = {run.key: suite_folder.run_folder(run) for run in planned.runs}
        self.out = out if out is not None else folder / program
        check_out(self.out)
        self.writer: Writer = (
            EventFiles(self.out) if program == "tensorboard" else WandbRuns(self.out, project)
        )
        self._seen: dict[str, object] = {}
        self._num_points: dict[str, int] = {}
        self._left_out: dict[str, str] = {}

    @property
    def is_done(self) -> bool:
        """Whether all runs are."""
        return all(folder.is_done for folder in self.runs.values())

    def export(self, watch: Callable[[float], None] = lambda amount: None) -> Exported:
        """Export every run of which something is new since the last call.

        Args:
            watch: Called with 1 after each run.

        Raises:
            InputError: The other program refuses.
            WriteFailed: Disk full and the like.
        """
        hashes = {}
        for key, folder in self.runs.items():
            state = _state(folder)
            if state is not None and state != self._seen.get(key):
                self._export_run(key, folder)
                self._seen[key] = state
            if state is not None and key not in self._left_out:
                hashes[key] = folder.content_hash()
            watch(1)
        self.writer.keep_only(hashes)
        points = sum(self._num_points.get(key, 0) for key in hashes)
        return Exported(self.out, len(hashes), points, tuple(self._left_out.values()))

    def _export_run(self, key: str, folder: RunFolder) -> None:
        self._left_out.pop(key, None)
        try:
            run = read_run(folder, key)
        except InputError as error:
            self._left_out[key] = f"{key} is left out: {' '.join(str(error).split())}"
            return
        self.writer.write(run)
        self._num_points[key] = len(run.points)

    def follow(self) -> Exported:
        """Export what is new, again and again, until all runs are done."""
        while True:
            was_done = self.is_done  # asked before the files are read
            exported = self.export()
            if was_done:
                return exported
            time.sleep(POLL_SECONDS)


def _state(folder: RunFolder) -> object | None:
    """Return what changes whenever more of a run is final; None before it has begun."""
    files = ("run.json", "checkpoint/training_state.json", "result.json")
    state: list[tuple[int, int, int] | None] = []
    for name in files:
        try:
            stat = (folder.path / name).stat()
        except FileNotFoundError:
            state.append(None)
        else:
            state.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return state if state[0] is not None else None
