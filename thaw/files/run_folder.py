"""The files of one run."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from thaw.config.agent import complete_agent
from thaw.config.errors import InputError
from thaw.config.run_spec import RunSpec, content_hash_of
from thaw.config.strict import from_plain, to_plain
from thaw.files.atomic import (
    StoreMismatch,
    as_write_failed,
    check_not_foreign,
    check_out,
    indented_json,
    read_json,
    sync,
    write_files,
    write_json,
)
from thaw.files.checksums import CHECKSUMS, Damaged, check_files, checksums
from thaw.files.counters import Counters, read_counters
from thaw.files.csv_log import CsvLog
from thaw.files.milestones import Milestones
from thaw.files.ownership import Lost, Ownership, owned

EPISODE_COLUMNS = ("step", "return", "length", "flavor", "phase", "truncated")

PROGRESS_COLUMNS = (
    "steps", "frames", "updates", "seconds", "learning_rate", "mean_return",
    "total_loss", "policy_loss", "baseline_loss", "entropy_loss", "mean_rho", "gradient_norm",
    "mean_policy_lag", "max_policy_lag", "learner_wait_fraction", "actor_restarts",
    "dropped_steps",
)  # fmt: skip

LOG = "log.txt"
"""What a run's process prints."""

RESULT_NUMBERS = {"mean_return", "steps", "frames", "seconds"}
"""What every result.json has."""

LOGGER = logging.getLogger(__name__)


class RunFolder:
    """The files of one run: ``DIR/runs/<key>`` in the folder of a suite.

    ``result.json`` is written last and says that the run is done.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.owner: Ownership | None = None  # asked before everything that a run writes
        self.is_lost = False  # whether another process has taken the folder from this one

    @contextmanager
    def owned(
        self, *, wait_seconds: float = 0.0, should_stop: Callable[[], bool] | None = None
    ) -> Iterator[None]:
        """Own the folder; see :func:`thaw.files.ownership.owned`."""
        try:
            with owned(self.path, wait_seconds=wait_seconds, should_stop=should_stop) as self.owner:
                for left in self.path.glob("checkpoint.new*"):  # by an owner that was killed
                    shutil.rmtree(left, ignore_errors=True)
                yield
        finally:
            self.owner = None

    def check_owner(self) -> None:
        """Check that no other process has taken the folder; raises Lost if one has."""
        try:
            if self.owner is not None:
                self.owner.check()
        except Lost:
            self.is_lost = True
            raise

    @cached_property
    def checkpoint(self) -> Path:
        """The folder of the newest checkpoint."""
        return self.path / "checkpoint"

    @cached_property
    def episodes(self) -> CsvLog:
        """One row for each episode."""
        return CsvLog(self.path / "episodes.csv", EPISODE_COLUMNS, self.check_owner)

    @cached_property
    def progress(self) -> CsvLog:
        """A row every few updates."""
        return CsvLog(self.path / "progress.csv", PROGRESS_COLUMNS, self.check_owner)

    @cached_property
    def milestones(self) -> Milestones:
        """The policies kept on the way."""
        return Milestones(self.path, self.check_owner)

    @cached_property
    def error_log(self) -> Path:
        """The traceback of a run that failed."""
        return self.path / "error.txt"

    def begin(self, spec: RunSpec) -> None:
        """Create the folder for a run, or check that it belongs to this run.

        Raises:
            StoreMismatch: It belongs to another configuration, or holds other files.
            Damaged: Its run.json is broken, missing or was edited.
            WriteFailed: It cannot be created.
        """
        if (self.path / "run.json").exists():
            if self.content_hash() != spec.content_hash:
                raise StoreMismatch(
                    f"{self.path} holds a run of another configuration (see its run.json); "
                    "choose another --out, or delete that folder"
                )
            self.spec()  # notices an edited run.json that kept its hash
            return
        check_out(self.path)
        if self.is_done or any(checkpoint.exists() for checkpoint in self.checkpoints):
            raise Damaged(f"{self.path / 'run.json'} is missing; {self._do_again}")
        check_not_foreign(self.path, "run.json")
        with as_write_failed(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        plain = to_plain(spec) | {"content_hash": spec.content_hash}
        write_json(self.path / "run.json", plain)

    def content_hash(self) -> str:
        """Return the hash stored in run.json.

        Raises:
            Damaged: Missing or broken file.
        """
        return str(self._description()["content_hash"])

    def spec(self) -> RunSpec:
        """Read the run's specification from run.json.

        Raises:
            Damaged: Missing, broken or edited run.json.
        """
        path = self.path / "run.json"
        plain = self._description()
        content_hash = plain.pop("content_hash")
        completed = plain | {"agent": complete_agent(plain.get("agent"))}
        try:
            spec = from_plain(completed, RunSpec, str(path))
        except InputError as error:
            raise Damaged(f"{error}; {self._do_again}") from None
        # Of the text as it was written: an earlier thaw did not have all of today's settings.
        if content_hash_of(plain) != content_hash:
            raise Damaged(
                f"{path} was edited: its content_hash does not fit; undo that, or {self._do_again}"
            )
        return spec

    def _description(self) -> dict[str, Any]:
        """Read run.json as it is."""
        path = self.path / "run.json"
        try:
            plain = read_json(path)
        except InputError as error:
            raise Damaged(f"{error}; {self._do_again}") from None
        if not isinstance(plain, dict) or not isinstance(plain.get("content_hash"), str):
            raise Damaged(f"{path} is not a run's description; {self._do_again}")
        return plain

    @property
    def _do_again(self) -> str:
        return f"delete the folder {self.path} to do this run again from its beginning"

    def saved_counters(self) -> Counters | None:
        """Return what the newest readable checkpoint has counted; None without one."""
        for checkpoint in self.checkpoints:
            with suppress(InputError):
                return read_counters(checkpoint)
        return None

    def saved_steps(self) -> int:
        """Return the steps that the newest readable checkpoint stands at; 0 without one."""
        counters = self.saved_counters()
        return counters.learned_steps if counters is not None else 0

    def progress_so_far(self) -> tuple[int, float | None]:
        """Return the steps that a run under way stands at, and the mean of its last returns."""
        try:
            row = self.progress.last()
            mean_return = row.get("mean_return")
            return int(row["steps"]), float(mean_return) if mean_return else None
        except (KeyError, ValueError, TypeError):  # no row yet, or a damaged one
            return self.saved_steps(), None

    @property
    def is_done(self) -> bool:
        """Whether result.json exists."""
        return (self.path / "result.json").exists()

    def result(self) -> dict[str, Any]:
        """Read result.json.

        Raises:
            Damaged: Missing or broken file, or one that is not as it was written.
        """
        path, advice = self.path / "result.json", "delete it and run the same command again"
        try:
            check_files(self.path, ["result.json"])
            result = read_json(path)
        except InputError as error:
            raise Damaged(f"{error}; {advice}") from None
        if not isinstance(result, dict) or not result.keys() >= RESULT_NUMBERS:
            raise Damaged(f"{path} is not a result; {advice}")
        for name in RESULT_NUMBERS:
            number = result[name]
            if name == "mean_return" and number is None:  # no episode ended
                continue
            if not isinstance(number, int | float) or not math.isfinite(number):
                raise Damaged(f"{path} is not a result: {name} is {number}; {self._do_again}")
        return result

    def finish(self, result: Mapping[str, object], more: Mapping[str, bytes] | None = None) -> None:
        """Declare the run done: more files, the checksums of what a report reads, result.json."""
        self.check_owner()
        self.error_log.unlink(missing_ok=True)
        data = indented_json(dict(result))
        logs = [log.path for log in (self.episodes, self.progress) if log.path.exists()]
        files = {log.name: log.read_bytes() for log in logs} | {"result.json": data}
        write_files(
            self.path,
            {**(more or {}), CHECKSUMS: checksums(files), "result.json": data},
            also=logs,
            check=self.check_owner,
        )

    def fail(self, text: str) -> None:
        """Write a failed run's traceback to error.txt, if that is possible and allowed."""
        with suppress(Lost):
            self.check_owner()
        if self.is_lost:
            return
        with suppress(OSError):  # the caller reports the failure as well
            self.path.mkdir(parents=True, exist_ok=True)
            self.error_log.write_text(text, encoding="utf-8")

    @property
    def checkpoints(self) -> tuple[Path, Path]:
        """The places of the newest checkpoint and of the one before it."""
        return self.checkpoint, self.path / "checkpoint.old"

    def replace_checkpoint(self, files: Mapping[str, bytes]) -> None:
        """Swap in a new checkpoint as a whole; the one before it stays as checkpoint.old.

        The files and their checksums are written to a new folder first. A kill, a full disk or a
        power loss at any moment leaves a whole checkpoint, found by :meth:`find_checkpoint`.

        Raises:
            WriteFailed: Disk full, no permission, and the like.
        """
        self.check_owner()
        new, (_, old) = self._new_checkpoint, self.checkpoints
        with as_write_failed(self.checkpoint):
            try:
                shutil.rmtree(new, ignore_errors=True)
                new.mkdir(parents=True)
                for name, data in (*files.items(), (CHECKSUMS, checksums(files))):
                    (new / name).write_bytes(data)
                # The logs too: a checkpoint must not know of rows that a power loss takes.
                sync([*new.iterdir(), new, self.episodes.path, self.progress.path])
                self.check_owner()  # again: a process may sleep for long while it writes
            except (OSError, Lost):
                shutil.rmtree(new, ignore_errors=True)
                self.check_owner()  # the next owner deletes what this one was writing
                raise
            if self.checkpoint.exists():
                self._drop(old)
                self.checkpoint.rename(old)
            new.rename(self.checkpoint)
            sync([self.path])

    @property
    def _new_checkpoint(self) -> Path:
        """Where a checkpoint is written: each owner has another place."""
        owner = f".{self.owner.name}" if self.owner is not None else ""
        return self.path / f"checkpoint.new{owner}"

    def find_checkpoint(self) -> Path | None:
        """Return the newest whole checkpoint's folder to resume from; None if there is none yet.

        A damaged checkpoint is deleted, with a warning, if the one before it is whole. Only call
        this while the folder is locked.

        Raises:
            Damaged: All checkpoints that are there are damaged.
        """
        there = [checkpoint for checkpoint in self.checkpoints if checkpoint.is_dir()]
        damage: list[str] = []
        for checkpoint in there:
            try:
                check_files(checkpoint)
                self._check_logs(checkpoint)
            except InputError as error:
                damage.append(str(error))
                continue
            if damage:
                LOGGER.warning("%s; this run goes on from %s", damage[0], checkpoint)
                self._drop(self.checkpoint)
            return checkpoint
        if there:
            raise self.cannot_resume("; ".join(dict.fromkeys(damage)))
        return None

    def _drop(self, checkpoint: Path) -> None:
        """Delete a checkpoint, if it is there; renamed first, since half of one must not count."""
        dropped = self.path / "checkpoint.dropped"
        shutil.rmtree(dropped, ignore_errors=True)
        if checkpoint.exists():
            checkpoint.rename(dropped)
            shutil.rmtree(dropped, ignore_errors=True)

    def cannot_resume(self, reason: str) -> Damaged:
        """Return the error for a run whose checkpoints are all damaged: it says what helps."""
        there = " and ".join(str(path) for path in self.checkpoints if path.exists())
        return Damaged(
            f"{reason}; delete {there}, and the same command starts this run again from its "
            "beginning"
        )

    def _check_logs(self, checkpoint: Path) -> None:
        """Check that the logs still hold what a checkpoint has seen.

        Raises:
            InputError: A log or training_state.json is damaged.
        """
        if not (checkpoint / "training_state.json").exists():  # a policy that does not train
            return
        counters = read_counters(checkpoint)
        self.episodes.check(counters.episodes_bytes, counters.episodes_sha256)
        self.progress.check(counters.progress_bytes, counters.progress_sha256)
