"""Writes a run as a run of Weights & Biases, by its own package.

Without WANDB_MODE=online nothing leaves the machine: the runs are written as offline runs.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from thaw.config.errors import InputError, install_hint
from thaw.config.strict import to_plain
from thaw.experiment.export.points import RunRecord
from thaw.files.atomic import WriteFailed, as_write_failed

LONGEST_TAG = 64
"""Letters; wandb refuses longer ones."""
LONGEST_PROJECT = 128
NEW = ".new-"
"""Begins the name of a folder in which a run is being written."""


class WandbRuns:
    """Runs of one project of Weights & Biases.

    Args:
        out: The folder of the offline runs: ``out/offline-run-...-HASH`` is one run.
        project: Its name.
        longest_wait_seconds: For wandb's own process to write a run.

    Raises:
        InputError: The package wandb is not installed, or WANDB_MODE is neither offline nor
            online.
    """

    def __init__(self, out: Path, project: str, longest_wait_seconds: float = 60.0) -> None:
        self.mode = os.environ.get("WANDB_MODE", "offline")
        if self.mode not in ("offline", "online"):
            raise InputError(f"WANDB_MODE is '{self.mode}'; it must be offline or online")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # no request without a wish
        try:
            import wandb  # noqa: F401
        except ImportError:
            raise InputError(
                f"this needs the package wandb, which is not installed: {install_hint('wandb')}"
            ) from None
        self.out, self.project = out, project[:LONGEST_PROJECT]
        self.longest_wait_seconds = longest_wait_seconds

    def write(self, run: RunRecord) -> None:
        """Write a run.

        Offline, a new run takes the place of the one before as a whole. Online, the run goes on
        after the last step that the server has. Its id is the hash of its content either way.

        Raises:
            InputError: wandb refuses; for example, nobody is logged in.
            WriteFailed: Disk full, no permission, and the like; or wandb did not write to the end.
        """
        import wandb

        with as_write_failed(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
            new = Path(tempfile.mkdtemp(prefix=NEW, dir=self.out))
        try:
            try:
                self._log(run, new)
            except wandb.Error as error:
                raise InputError(
                    f"wandb says: {' '.join(str(error).split())}; `wandb login` logs in, and "
                    "without WANDB_MODE=online the runs are written as files"
                ) from None
            if self.mode == "offline":
                (written,) = (new / "wandb").glob("offline-run-*")
                self._wait_for(written, run.key)
                with as_write_failed(self.out):
                    self._drop(run.spec.content_hash)
                    written.rename(self.out / written.name)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _log(self, run: RunRecord, folder: Path) -> None:
        import wandb

        spec, online = run.spec, self.mode == "online"
        tags = (spec.condition, f"seed{spec.seed}", str(spec.flavor))
        # What wandb adds by itself would tell of this process, not of the run.
        settings = wandb.Settings(
            console="off", silent=True, disable_git=True, disable_code=True, x_disable_stats=True,
            x_disable_meta=True, x_save_requirements=False,
        )  # fmt: skip
        with wandb.init(
            project=self.project,
            id=spec.content_hash,
            name=run.key,
            group=f"{spec.source} -> {spec.flavor}" if spec.source else str(spec.flavor),
            job_type=spec.condition,
            tags=[tag[:LONGEST_TAG] for tag in tags],
            config=to_plain(spec),
            dir=folder,
            mode="online" if online else "offline",
            resume="allow" if online else None,
            reinit="create_new",
            settings=settings,
        ) as opened:
            begin = opened.step if online else 0
            for point in run.points:
                if point.steps >= begin:
                    moment = {"_timestamp": run.began + point.seconds}
                    opened.log(point.values | moment, step=point.steps)
            if run.scores is not None:
                opened.summary.update(run.scores.values)

    def _wait_for(self, folder: Path, key: str) -> None:
        """Wait until wandb's own process has written a run to its end, often some ms later.

        Raises:
            WriteFailed: It takes too long.
        """
        from thaw.experiment.export.wandb_file import is_whole  # imports wandb

        began = time.monotonic()
        while not any(is_whole(path) for path in folder.glob("run-*.wandb")):
            if time.monotonic() - began > self.longest_wait_seconds:
                raise WriteFailed(
                    f"wandb did not write {key} to its end within {self.longest_wait_seconds:g} s; "
                    "nothing of the export before is lost; try again"
                )
            time.sleep(0.005)

    def keep_only(self, runs: Mapping[str, str]) -> None:
        """Delete other offline runs; what a server has stays there.

        Args:
            runs: The content hash of each run that is still there, by key.
        """
        for left in self.out.glob(f"{NEW}*"):  # by an export that was killed
            shutil.rmtree(left)
        for path in self.out.glob("offline-run-*"):
            if path.name.rpartition("-")[2] not in runs.values():
                shutil.rmtree(path)

    def _drop(self, run_id: str) -> None:
        for path in self.out.glob(f"offline-run-*-{run_id}"):
            shutil.rmtree(path)
