"""A run's progress: for the caller, in progress.csv and in episodes.csv."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from thaw.config import Flavor, RunSpec
from thaw.files.run_folder import RunFolder
from thaw.impala.learner import Learner
from thaw.policy.trajectory import EpisodeStats
from thaw.training.clocks import Update

PROGRESS_ROWS = 1000
"""Rows of progress.csv in a whole run: enough for a curve, and a small file."""


class Stopped(Exception):
    """The run was asked to stop; it is saved and continues when it is started again."""


class Progress(NamedTuple):
    """Passed to the ``watch`` callback after every update."""

    steps: int
    total_steps: int
    mean_return: float | None
    """Mean of the most recent training episodes; None before the first."""


Watch = Callable[[Progress], None]


class RunLog:
    """Counts a run's steps, seconds and recent returns, and writes its two CSV files.

    Args:
        spec: The run.
        folder: Its files.
        frames_per_step: Frames of the underlying machine in one decision.
    """

    def __init__(self, spec: RunSpec, folder: RunFolder, frames_per_step: int) -> None:
        self.spec, self.folder, self.frames_per_step = spec, folder, frames_per_step
        self.steps = 0
        """Decisions learned from so far."""
        self.recent_returns: deque[float] = deque(maxlen=spec.evaluation.episodes)
        self.started = time.monotonic()
        self.earlier_seconds = 0.0

    @property
    def frames(self) -> int:
        """Frames of the underlying machine so far."""
        return self.steps * self.frames_per_step

    @property
    def seconds(self) -> float:
        """Wall-clock time of this run so far, earlier sessions included."""
        return self.earlier_seconds + time.monotonic() - self.started

    @property
    def mean_recent_return(self) -> float | None:
        """The mean of the most recent training episodes; None before the first."""
        return float(np.mean(self.recent_returns)) if self.recent_returns else None

    @property
    def progress(self) -> Progress:
        """The progress for the caller."""
        return Progress(self.steps, self.spec.steps, self.mean_recent_return)

    def count(self, update: Update, steps: int) -> None:
        """Count one update; ``steps`` is the run's total after it."""
        self.steps = steps
        self.recent_returns.extend(episode.episode_return for episode in update.episodes)

    def log_update(self, update: Update, learner: Learner) -> None:
        """Append a row to progress.csv."""
        row: dict[str, object] = {name: float(value) for name, value in update.metrics.items()}
        self.folder.progress.append(
            [
                row
                | {
                    "steps": self.steps,
                    "frames": self.frames,
                    "updates": learner.num_updates,
                    "seconds": round(self.seconds, 3),
                    "learning_rate": learner.learning_rate(self.steps - update.num_steps),
                    "mean_return": self.mean_recent_return,
                }
            ]
        )

    def log_episodes(self, episodes: Iterable[EpisodeStats], phase: str, flavor: Flavor) -> None:
        """Append rows to episodes.csv."""
        self.folder.episodes.append(
            {
                "step": episode.step,
                "return": episode.episode_return,
                "length": episode.length_steps,
                "flavor": flavor,
                "phase": phase,
                "truncated": int(episode.truncated),
            }
            for episode in episodes
        )

    def counters(self) -> dict[str, Any]:
        """Return the numbers that a resumed run needs."""
        return {
            "seconds": self.seconds,
            "episodes_bytes": self.folder.episodes.size,
            "episodes_sha256": self.folder.episodes.sha256(),
            "progress_bytes": self.folder.progress.size,
            "progress_sha256": self.folder.progress.sha256(),
            "recent_returns": list(self.recent_returns),
        }

    def restore(self, counters: Mapping[str, Any], steps: int) -> None:
        """Continue from such counters; rows that were written after them are dropped."""
        self.steps = steps
        self.earlier_seconds = counters["seconds"]
        self.recent_returns.extend(counters["recent_returns"])
        self.folder.episodes.cut(counters["episodes_bytes"])
        self.folder.progress.cut(counters["progress_bytes"])

    def restart(self) -> None:
        """Drop all rows: the run starts at its first step."""
        self.folder.episodes.cut(0)
        self.folder.progress.cut(0)
