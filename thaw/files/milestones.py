"""The policies that a run keeps on its way: ``milestones/STEP`` in its folder, weights only."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

from thaw.config.errors import InputError
from thaw.files.atomic import as_write_failed, sync
from thaw.files.checksums import CHECKSUMS, checksums
from thaw.files.ownership import Lost

MILESTONES = "milestones"
NEW = ".new-"
"""Begins the name of a folder in which a milestone is being written."""


class Milestones:
    """The milestones of one run.

    Args:
        run: The run's folder.
        check: Called before a file is changed; raises if this process may not.
    """

    def __init__(self, run: Path, check: Callable[[], None] = lambda: None) -> None:
        self.run = run
        self.path = run / MILESTONES
        self._check_owner = check

    def kept(self) -> list[int]:
        """Return the steps of the milestones that are there, in their order."""
        if not self.path.is_dir():
            return []
        return sorted(int(path.name) for path in self.path.iterdir() if path.name.isdecimal())

    def find(self, step: int) -> Path:
        """Return the folder of a milestone.

        Raises:
            InputError: It is not there.
        """
        if step not in self.kept():
            there = ", ".join(map(str, self.kept())) or "none"
            raise InputError(
                f"'{self.run}' keeps no policy of step {step}; its milestones are: {there}"
            )
        return self.path / str(step)

    def keep(self, step: int, files: Mapping[str, bytes]) -> None:
        """Write a milestone as a whole, with its checksums.

        Raises:
            WriteFailed: Disk full, no permission, and the like.
        """
        self._check_owner()
        place = self.path / str(step)
        with as_write_failed(place):
            new = self.path / f"{NEW}{uuid4().hex}"  # no two owners share one
            new.mkdir(parents=True)
            try:
                for name, data in (*files.items(), (CHECKSUMS, checksums(files))):
                    (new / name).write_bytes(data)
                sync([*new.iterdir(), new])
                self._check_owner()  # again: a process may sleep for long while it writes
            except (OSError, Lost):
                shutil.rmtree(new, ignore_errors=True)
                self._check_owner()  # the next owner deletes what this one was writing
                raise
            shutil.rmtree(place, ignore_errors=True)
            new.rename(place)
            sync([self.path, self.run])

    def drop_after(self, steps: int) -> None:
        """Delete milestones of later steps: a run that resumes from there reaches them again.

        What a killed process was writing goes too.
        """
        for left in self.path.glob(f"{NEW}*"):
            self._check_owner()
            shutil.rmtree(left, ignore_errors=True)
        for step in self.kept():
            if step > steps:
                self._check_owner()
                shutil.rmtree(self.path / str(step))
