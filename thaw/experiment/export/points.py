"""What a run gives to other programs: its points, its scores, and what it is.

Only what is final counts. A run that was killed goes on from its checkpoint and drops what it
logged after that. So of a run that is not done, only the rows that its checkpoint has seen are
taken.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from thaw.config import RunSpec
from thaw.experiment.results import check_finished, unreadable_logs
from thaw.files.run_folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

TAGS = {
    "mean_return": "charts/mean_return",
    "learning_rate": "charts/learning_rate",
    "total_loss": "losses/total_loss",
    "policy_loss": "losses/policy_loss",
    "baseline_loss": "losses/baseline_loss",
    "entropy_loss": "losses/entropy_loss",
    "gradient_norm": "losses/gradient_norm",
    "mean_rho": "losses/mean_rho",
    "mean_policy_lag": "clock/mean_policy_lag",
    "max_policy_lag": "clock/max_policy_lag",
    "learner_wait_fraction": "clock/learner_wait_fraction",
    "actor_restarts": "clock/actor_restarts",
    "dropped_steps": "clock/dropped_steps",
    "seconds": "time/seconds",
    "frames": "time/frames",
    "updates": "time/updates",
}
"""The name of each column of progress.csv; ``steps`` is the x axis."""


class Point(NamedTuple):
    """What happened up to one moment of a run."""

    steps: int
    """Decisions of the agent."""
    seconds: float
    """Time that the run had taken."""
    values: dict[str, float]
    """Finite numbers, by name."""


class RunRecord(NamedTuple):
    """A run as far as it is final."""

    key: str
    """The run's folder below ``runs/``."""
    spec: RunSpec
    began: float
    """When, in seconds since 1970."""
    points: tuple[Point, ...]
    """One for each row of progress.csv, and one for what came after the last row."""
    scores: Point | None
    """Of a run that is done."""

    @property
    def labels(self) -> dict[str, str | int]:
        """What tells this run from the others of its suite."""
        spec = self.spec
        return {
            "condition": spec.condition,
            "seed": spec.seed,
            "source": str(spec.source or ""),
            "target": str(spec.flavor),
            "update_rule": str(spec.update_rule or ""),
            "steps": spec.steps,
        }


def read_run(folder: RunFolder, key: str) -> RunRecord:
    """Read what is final of a run that has begun.

    Raises:
        InputError: A file of the run is damaged.
    """
    spec = folder.spec()
    began = (folder.path / "run.json").stat().st_mtime
    if folder.is_done:
        check_finished(folder)
        result = folder.result()
        progress_bytes = episodes_bytes = None
    else:
        result = None
        counters = folder.saved_counters()
        progress_bytes = counters.progress_bytes if counters is not None else 0
        episodes_bytes = counters.episodes_bytes if counters is not None else 0
    try:
        progress = _read_log(folder.progress.path, progress_bytes)
        episodes = _read_log(folder.episodes.path, episodes_bytes)
        points = tuple(_points(progress, episodes, result))
    except (OSError, ValueError, KeyError, TypeError) as error:  # pandas has one for each damage
        raise unreadable_logs(folder, error) from None
    return RunRecord(key, spec, began, points, None if result is None else _scores(result))


def _read_log(path: Path, num_bytes: int | None) -> pd.DataFrame | None:
    """Read the first bytes of a log; None reads all. Without a row there is no table."""
    import pandas as pd

    if num_bytes == 0 or not path.is_file():
        return None
    with path.open("rb") as file:
        data = file.read() if num_bytes is None else file.read(num_bytes)
    return pd.read_csv(io.BytesIO(data[: data.rfind(b"\n") + 1]))


def _points(
    progress: pd.DataFrame | None, episodes: pd.DataFrame | None, result: dict[str, Any] | None
) -> Iterator[Point]:
    """Yield a point for each row; it holds the episodes that ended since the row before."""
    rows: list[dict[Any, Any]] = [] if progress is None else progress.to_dict("records")
    before: dict[Any, Any] = {"steps": 0, "seconds": 0.0}
    taken = 0
    training = None if episodes is None else episodes[episodes["phase"] == "training"]
    end: dict[Any, Any] | None = None
    if result is not None and result["steps"] > (rows[-1]["steps"] if rows else 0):
        end = {name: result[name] for name in ("steps", "seconds", "frames")}
        rows.append(end)
    for row in rows:
        values = {tag: row[name] for name, tag in TAGS.items() if name in row}
        seconds = row["seconds"] - before["seconds"]
        if seconds > 0 and row is not end:  # the end counts the time of scoring too
            values["time/steps_per_second"] = (row["steps"] - before["steps"]) / seconds
        if training is not None:
            ended = int(training["step"].searchsorted(row["steps"], side="right"))
            if ended > taken:
                here = training.iloc[taken:ended]
                values["charts/episode_return"] = here["return"].mean()
                values["charts/episode_length"] = here["length"].mean()
            taken = max(taken, ended)
            values["charts/episodes"] = taken
        yield Point(int(row["steps"]), float(row["seconds"]), _finite(values))
        before = row


def _scores(result: dict[str, Any]) -> Point:
    """Return the final scores; a run without a kind of evaluation has none of its scores."""
    values = {"score/mean_return": result["mean_return"]}
    for kind in ("training", "evaluation", "source_evaluation"):
        if (score := result.get(kind)) is not None:
            values[f"score/{kind}/mean_return"] = score["mean_return"]
            values[f"score/{kind}/sem"] = score["sem"]
    return Point(int(result["steps"]), float(result["seconds"]), _finite(values))


def _finite(values: dict[str, Any]) -> dict[str, float]:
    """Return the values that are finite numbers."""
    return {
        name: float(value)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    }
