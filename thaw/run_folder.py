"""The files of one run. Everything is written whole or not at all; CSV files only grow."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from thaw.config import RunSpec
from thaw.plain import InputError, from_plain, to_plain

LOCK = ".lock"
EPISODE_COLUMNS = ("step", "return", "length", "flavor", "phase", "truncated")
PROGRESS_COLUMNS = (
    "steps", "frames", "updates", "seconds", "learning_rate", "mean_return",
    "total_loss", "policy_loss", "baseline_loss", "entropy_loss", "mean_rho", "gradient_norm",
    "mean_policy_lag", "max_policy_lag", "learner_wait_fraction", "actor_restarts",
    "dropped_steps",
)  # fmt: skip


class StoreMismatch(InputError):
    """A folder holds the results of another configuration."""


class WriteFailed(OSError):
    """A file could not be written; what was there before is intact."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an operating system's error while writing into one that says what is safe."""
    try:
        yield
    except WriteFailed:
        raise
    except OSError as error:
        raise WriteFailed(
            f"cannot write {path}: {error.strerror or error}; the files written before are "
            "intact; make room and run the same command to go on"
        ) from error


def check_out(path: Path) -> None:
    """Check that a folder is there or can be made.

    Raises:
        InputError: A file is in the way, or there is no permission to write.
    """
    place = next(place for place in (path, *path.parents) if place.exists())
    if not place.is_dir():
        raise InputError(f"--out {path}: '{place}' is a file; give a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"--out {path}: no permission to write in '{place}'; choose another")


def check_not_foreign(path: Path, mark: str) -> None:
    """Check that a folder is absent, empty or marked as ours.

    Raises:
        StoreMismatch: It holds other files, which might be lost.
    """
    if path.is_dir() and not (path / mark).exists():
        # What may be there if an earlier thaw was killed before it could write the mark.
        others = {file.name for file in path.iterdir()} - {LOCK, mark + ".tmp", "error.txt"}
        if others:
            raise StoreMismatch(
                f"{path} is not empty and holds no {mark}; choose a new or an empty folder"
            )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process, making it if need be.

    Raises:
        InputError: Another process works in it.
        WriteFailed: It cannot be made.
    """
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"another thaw works in {folder} already; wait for it or choose another --out"
            ) from None
        yield


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a kill leaves either the old one or the new one.

    Raises:
        WriteFailed: Disk full, no permission, and the like.
    """
    temporary = path.with_name(path.name + ".tmp")
    with explained(path):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: Path, content: object) -> None:
    """Write indented JSON, atomically."""
    write_atomic(path, json.dumps(content, indent=2).encode() + b"\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        InputError: Missing or broken file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is broken ({error}); delete it to make it again") from None


TAIL_BYTES = 4096
"""More than a row of any log has."""


class CsvLog:
    """An append-only CSV file that can be cut back to what a checkpoint has seen."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = tuple(columns)

    def append(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Append rows, and the header first if the file is new.

        Raises:
            WriteFailed: Disk full, no permission, and the like.
        """
        with explained(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerows(rows)

    def last(self) -> dict[str, str]:
        """Return the newest row that is whole; empty without one."""
        if not self.path.exists():
            return {}
        with self.path.open("rb") as file:
            header = file.readline()
            file.seek(max(len(header), self.size - TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]  # behind the last line end: half a row, or none
        if not lines:
            return {}
        text = [header.decode(), lines[-1].decode()]
        return next(csv.DictReader(text), {})

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def cut(self, size: int) -> None:
        """Forget all rows behind the first ``size`` bytes."""
        if self.path.exists():
            os.truncate(self.path, min(size, self.size))


class RunFolder:
    """``DIR/runs/<key>``: one run's files; ``result.json`` is written last and means done."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoint = self.path / "checkpoint"
        self.episodes = CsvLog(self.path / "episodes.csv", EPISODE_COLUMNS)
        self.progress = CsvLog(self.path / "progress.csv", PROGRESS_COLUMNS)
        self.error_log = self.path / "error.txt"

    def begin(self, spec: RunSpec) -> None:
        """Create the folder for a run, or check that it is this run's.

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
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        plain = to_plain(spec) | {"content_hash": spec.content_hash}
        write_json(self.path / "run.json", plain)

    def content_hash(self) -> str:
        """Return the hash stored in run.json.

        Raises:
            InputError: Missing or broken file.
        """
        plain = read_json(self.path / "run.json")
        if not isinstance(plain, dict) or not isinstance(plain.get("content_hash"), str):
            raise InputError(f"{self.path / 'run.json'} is not a run's description")
        return str(plain["content_hash"])

    def spec(self) -> RunSpec:
        """Read back what the run is.

        Raises:
            InputError: Missing, broken or edited run.json.
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
        """Return the steps that the checkpoint stands at; 0 without one."""
        checkpoint = self.find_checkpoint()
        path = checkpoint / "training_state.json" if checkpoint else None
        if path is None or not path.exists():
            return 0
        return int(read_json(path)["learned_steps"])

    def progress_so_far(self) -> tuple[int, float | None]:
        """Return the steps that a run under way stands at, and the mean of its last returns."""
        row = self.progress.last()
        mean_return = row.get("mean_return")
        steps = int(row["steps"]) if row else self.saved_steps()
        return steps, float(mean_return) if mean_return else None

    @property
    def is_done(self) -> bool:
        """Whether result.json is there."""
        return (self.path / "result.json").exists()

    def result(self) -> dict[str, Any]:
        """Read result.json.

        Raises:
            InputError: Missing or broken file.
        """
        result = read_json(self.path / "result.json")
        if not isinstance(result, dict) or "mean_return" not in result:
            raise InputError(f"{self.path / 'result.json'} is not a result; delete it")
        return result

    def finish(self, result: Mapping[str, object]) -> None:
        """Declare the run done."""
        self.error_log.unlink(missing_ok=True)
        write_json(self.path / "result.json", dict(result))

    def fail(self, text: str) -> None:
        """Keep a failed run's traceback; where nothing can be written, its message must do."""
        with suppress(OSError):
            self.path.mkdir(parents=True, exist_ok=True)
            self.error_log.write_text(text, encoding="utf-8")

    def replace_checkpoint(self, files: Mapping[str, bytes]) -> None:
        """Swap in a new checkpoint as a whole.

        The files are written beside the old checkpoint first; a kill or a full disk at any
        moment leaves the old one or the new one, found by :meth:`find_checkpoint`.

        Raises:
            WriteFailed: Disk full, no permission, and the like.
        """
        new, old = self.path / "checkpoint.new", self.path / "checkpoint.old"
        with explained(self.checkpoint):
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
        """Return the newest whole checkpoint's folder, or None."""
        for candidate in (self.checkpoint, self.path / "checkpoint.old"):
            if candidate.exists():
                return candidate
        return None


def encode_json(content: object) -> bytes:
    """Encode JSON with sorted keys, for files that are compared."""
    return msgspec.json.encode(content, order="deterministic")
