"""The files of one run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from thaw.config.errors import InputError
from thaw.config.run_spec import RunSpec
from thaw.config.strict import from_plain, to_plain
from thaw.files.atomic import (
    StoreMismatch,
    as_write_failed,
    check_not_foreign,
    check_out,
    read_json,
    write_atomic,
    write_json,
)
from thaw.files.csv_log import CsvLog

EPISODE_COLUMNS = ("step", "return", "length", "flavor", "phase", "truncated")

PROGRESS_COLUMNS = (
    "steps", "frames", "updates", "seconds", "learning_rate", "mean_return",
    "total_loss", "policy_loss", "baseline_loss", "entropy_loss", "mean_rho", "gradient_norm",
    "mean_policy_lag", "max_policy_lag", "learner_wait_fraction", "actor_restarts",
    "dropped_steps",
)  # fmt: skip


class RunFolder:
    """The files of one run; ``result.json`` is written last and says that the run is done.

    Args:
        path: The folder, ``DIR/runs/<key>`` in the folder of a suite.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoint = self.path / "checkpoint"
        self.episodes = CsvLog(self.path / "episodes.csv", EPISODE_COLUMNS)
        self.progress = CsvLog(self.path / "progress.csv", PROGRESS_COLUMNS)
        self.error_log = self.path / "error.txt"

    def begin(self, spec: RunSpec) -> None:
        """Create the folder for a run, or check that it belongs to this run.

        Raises:
            StoreMismatch: It belongs to another configuration, or holds other files.
            WriteFailed: It cannot be created.
        """
        if (self.path / "run.json").exists():
            if self.content_hash() != spec.content_hash:
                raise StoreMismatch(
                    f"{self.path} holds a run of another configuration (see its run.json); "
                    "choose another --out, or delete that folder"
                )
            self.error_log.unlink(missing_ok=True)
            return
        check_out(self.path)
        check_not_foreign(self.path, "run.json")
        with as_write_failed(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        plain = to_plain(spec) | {"content_hash": spec.content_hash}
        write_json(self.path / "run.json", plain)

    def content_hash(self) -> str:
        """Return the hash stored in run.json.

        Raises:
            InputError: The file is missing or broken.
        """
        plain = read_json(self.path / "run.json")
        if not isinstance(plain, dict) or not isinstance(plain.get("content_hash"), str):
            raise InputError(f"{self.path / 'run.json'} is not a run's description")
        return str(plain["content_hash"])

    def spec(self) -> RunSpec:
        """Read the run's specification from run.json.

        Raises:
            InputError: The file is missing, broken or edited.
        """
        path = self.path / "run.json"
        plain = read_json(path)
        if not isinstance(plain, dict):
            raise InputError(f"{path} is not a run's description")
        content_hash = plain.pop("content_hash", None)
        spec = from_plain(plain, RunSpec, str(path))
        if spec.content_hash != content_hash:
            raise InputError(f"{path} was edited: its content_hash does not fit")
        return spec

    def saved_steps(self) -> int:
        """Return the number of steps at the last checkpoint; 0 without a checkpoint."""
        checkpoint = self.find_checkpoint()
        path = checkpoint / "training_state.json" if checkpoint else None
        if path is None or not path.exists():
            return 0
        return int(read_json(path)["learned_steps"])

    def progress_so_far(self) -> tuple[int, float | None]:
        """Return the steps so far and the mean of the last returns, None if there is none yet."""
        row = self.progress.last()
        mean_return = row.get("mean_return")
        steps = int(row["steps"]) if row else self.saved_steps()
        return steps, float(mean_return) if mean_return else None

    @property
    def is_done(self) -> bool:
        """Whether result.json exists."""
        return (self.path / "result.json").exists()

    def result(self) -> dict[str, Any]:
        """Read result.json.

        Raises:
            InputError: The file is missing or broken.
        """
        result = read_json(self.path / "result.json")
        if not isinstance(result, dict) or "mean_return" not in result:
            raise InputError(f"{self.path / 'result.json'} is not a result; delete it")
        return result

    def finish(self, result: Mapping[str, object]) -> None:
        """Write result.json, which says that the run is done.

        Raises:
            WriteFailed: Disk full, no permission, and the like.
        """
        self.error_log.unlink(missing_ok=True)
        write_json(self.path / "result.json", dict(result))

    def fail(self, text: str) -> None:
        """Write a failed run's traceback to error.txt, if that is possible."""
        with suppress(OSError):  # the caller reports the failure as well
            self.path.mkdir(parents=True, exist_ok=True)
            self.error_log.write_text(text, encoding="utf-8")

    def replace_checkpoint(self, files: Mapping[str, bytes]) -> None:
        """Replace the whole checkpoint at once.

        The new files are first written to a folder next to the old checkpoint. After a kill or a
        full disk at any moment, :meth:`find_checkpoint` finds the complete old or new checkpoint.

        Args:
            files: The content of each file, by name.

        Raises:
            WriteFailed: Disk full, no permission, and the like.
        """
        new, old = self.path / "checkpoint.new", self.path / "checkpoint.old"
        with as_write_failed(self.checkpoint):
            try:
                shutil.rmtree(new, ignore_errors=True)
                new.mkdir(parents=True)
                for name, data in files.items():
                    write_atomic(new / name, data)
            except OSError:
                shutil.rmtree(new, ignore_errors=True)
                raise
            if self.checkpoint.exists():
                shutil.rmtree(old, ignore_errors=True)
                self.checkpoint.rename(old)
            new.rename(self.checkpoint)
            shutil.rmtree(old, ignore_errors=True)

    def find_checkpoint(self) -> Path | None:
        """Return the folder of the newest complete checkpoint, or None."""
        for candidate in (self.checkpoint, self.path / "checkpoint.old"):
            if candidate.exists():
                return candidate
        return None


def origin_of(policy_file: Path) -> RunSpec | None:
    """Return the run whose folder holds a policy file; None for a file outside of any run.

    Raises:
        InputError: The run's run.json is broken or edited.
    """
    for folder in (policy_file.parent, policy_file.parent.parent):
        if (folder / "run.json").is_file():
            return RunFolder(folder).spec()
    return None
