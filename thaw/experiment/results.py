"""Scores and curves of a suite, derived from its run folders."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from thaw.config import RunSpec
from thaw.config.errors import InputError
from thaw.experiment.plan import Plan, PlannedRun
from thaw.experiment.suite_folder import SuiteFolder
from thaw.files.atomic import WriteFailed, write_atomic
from thaw.files.checksums import Damaged, check_files
from thaw.files.run_folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

RUN_COLUMNS = ("family", "name", "source", "target", "condition", "seed")

SCORE_COLUMNS = (
    "key", *RUN_COLUMNS, "mean_return", "sem", "num_episodes",
    "training_mean_return", "training_sem", "evaluation_mean_return", "evaluation_sem",
    "source_mean_return", "source_sem", "steps", "frames", "seconds", "clock", "mean_policy_lag",
    "diverged",
)  # fmt: skip

CURVE_COLUMNS = (*RUN_COLUMNS, "steps", "frames", "mean_return", "num_episodes")

SOURCE_STEPS_FILE = "source_steps.csv"
"""Of a suite whose conditions start from milestones too."""

RUNS_FILE = "runs.jsonl.gz"
"""In a published folder: what its runs say about themselves. It has no run folders."""

CURVES_FILE = "curves.csv.gz"
"""In a published folder: its curves, packed."""


class Results(NamedTuple):
    """What a report is made from."""

    scores: pd.DataFrame
    """One row per finished run, SCORE_COLUMNS."""
    curves: pd.DataFrame
    """One row per finished run and bin of training steps, CURVE_COLUMNS."""
    left_out: tuple[str, ...] = ()
    """One line for each run that counts as finished but is damaged, or has no score."""
    source_steps: pd.DataFrame | None = None
    """Where conditions start from milestones too: one row per finished run that started from a
    pretraining, SCORE_COLUMNS and source_step. No other table has the runs from milestones."""


def load_results(path: str | Path) -> Results:
    """Return the scores and curves of a suite's folder, derived again from its runs.

    Raises:
        InputError: Not a suite's folder, or a broken file in it.
    """
    folder = SuiteFolder(path)
    results = derive_results(folder, folder.plan())
    with suppress(WriteFailed):  # a folder that may only be read
        write_results(folder, results)
    return results


def write_results(folder: SuiteFolder, results: Results) -> None:
    """Write scores.csv and curves.csv; a published folder keeps those it has.

    Raises:
        WriteFailed: Disk full, no permission, and the like.
    """
    if folder.is_published:
        return
    write_atomic(folder.path / "scores.csv", results.scores.to_csv(index=False).encode())
    write_atomic(folder.path / "curves.csv", results.curves.to_csv(index=False).encode())
    by_step = folder.path / SOURCE_STEPS_FILE
    if results.source_steps is not None:
        write_atomic(by_step, results.source_steps.to_csv(index=False).encode())
    else:
        by_step.unlink(missing_ok=True)


def derive_results(folder: SuiteFolder, planned: Plan) -> Results:
    """Derive scores and curves from the run folders, or read those of a published folder.

    A damaged run is left out; the others are not disturbed.

    Args:
        folder: The suite's folder.
        planned: The runs of its suite.

    Raises:
        InputError: The folder's suite.yaml is broken.
    """
    import pandas as pd

    if folder.is_published:
        from thaw.report.scores import read_scores, read_source_steps

        path = folder.path
        by_step = path / SOURCE_STEPS_FILE
        return Results(
            read_scores(path / "scores.csv"),
            _published_curves(path),
            source_steps=read_source_steps(by_step) if by_step.is_file() else None,
        )
    score_rows: list[dict[str, Any]] = []
    curve_rows: list[dict[str, Any]] = []
    by_source_step: list[dict[str, Any]] = []
    left_out: list[str] = []
    for run in planned.runs:
        run_folder = folder.run_folder(run)
        if not run_folder.is_done:
            continue
        try:
            score, curve = _rows(run, run_folder, planned.suite.report.num_bins)
        except InputError as error:
            left_out.append(f"{run.key} is left out: {' '.join(str(error).split())}")
            continue
        if score["mean_return"] is None:
            left_out.append(
                f"{run.key} is left out: no training episode ended within its {score['steps']:,} "
                "steps; give it more, or score by evaluations (evaluation.score: evaluation)"
            )
            continue
        if run.source_key is not None:
            step = run.spec.source_step or planned.suite.pretrain_steps
            by_source_step.append(score | {"source_step": step})
        if not run.spec.source_step:  # what follows is about the final policy
            score_rows.append(score)
            curve_rows.extend(curve)
    source_steps = None
    if planned.suite.earlier_steps:
        columns = [*SCORE_COLUMNS, "source_step"]
        source_steps = pd.DataFrame(by_source_step, columns=columns)
    scores = pd.DataFrame(score_rows, columns=list(SCORE_COLUMNS))
    curves = pd.DataFrame(curve_rows, columns=list(CURVE_COLUMNS))
    return Results(scores, curves, tuple(left_out), source_steps)


def _published_curves(folder: Path) -> pd.DataFrame:
    """Read the curves of a published folder; those of an earlier thaw are not packed.

    Raises:
        InputError: They are missing or damaged.
    """
    import pandas as pd

    from thaw.report.scores import check_curves, read_curves

    path = folder / CURVES_FILE
    if not path.is_file():
        return read_curves(folder / "curves.csv")
    try:
        curves = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise Damaged(f"{path} is damaged ({error}); publish the suite again") from None
    return check_curves(curves, str(path))


def published_records(folder: Path) -> list[dict[str, Any]]:
    """Return what each run of a published folder says about itself.

    Raises:
        InputError: The file is missing or damaged.
    """
    path = folder / RUNS_FILE
    try:
        lines = gzip.decompress(path.read_bytes()).splitlines()
        return [json.loads(line) for line in lines]
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise Damaged(f"{path} is damaged ({error}); publish the suite again") from None


def _rows(
    run: PlannedRun, folder: RunFolder, num_bins: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a finished run's row of scores and its rows of curves.

    Raises:
        InputError: A file of the run is damaged.
    """
    check_finished(folder)
    try:
        return score_row(run, folder), list(_curve(run.spec, folder, num_bins))
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:  # pandas has one for each damage
        raise unreadable_logs(folder, error) from None


def check_finished(folder: RunFolder) -> None:
    """Check the files of a finished run from which tables are made.

    Raises:
        InputError: One is damaged; the message says what helps.
    """
    folder.spec()
    try:
        check_files(folder.path)
    except InputError as error:
        folder.result()  # a damaged result.json has its own advice
        raise Damaged(f"{error}; {_do_again(folder)}") from None
    for log in (folder.episodes, folder.progress):  # pandas skips zeros that a checksum would find
        if log.path.is_file() and b"\0" in log.path.read_bytes():
            raise Damaged(f"{log.path} is damaged: it has zero bytes; {_do_again(folder)}")


def unreadable_logs(folder: RunFolder, error: Exception) -> Damaged:
    """Return the error for a run whose logs are not the tables that they should be."""
    logs = f"{folder.episodes.path} or {folder.progress.path.name}"
    return Damaged(f"{logs} cannot be read ({error}); {_do_again(folder)}")


def _do_again(folder: RunFolder) -> str:
    return f"delete the folder {folder.path} to do this run again from its beginning"


def score_row(run: PlannedRun, folder: RunFolder) -> dict[str, Any]:
    """Return a finished run's row of scores.

    Raises:
        InputError: Its result.json is damaged.
    """
    result = folder.result()
    row = _run_columns(run.spec) | {"key": run.key}
    for name in ("mean_return", "sem", "num_episodes", "steps", "frames", "seconds"):
        row[name] = result.get(name)
    row["diverged"] = bool(result.get("diverged"))
    if run.spec.steps:
        row["clock"] = run.spec.agent.clock
        row["mean_policy_lag"] = _mean_policy_lag(folder)
    for column, part in (
        ("training", "training"),
        ("evaluation", "evaluation"),
        ("source", "source_evaluation"),
    ):
        summary = result.get(part) or {}
        row[f"{column}_mean_return"] = summary.get("mean_return")
        row[f"{column}_sem"] = summary.get("sem")
    return row


def _mean_policy_lag(folder: RunFolder) -> float | None:
    """Average the policy lag, in updates, over the rows of progress.csv."""
    import pandas as pd

    path = folder.progress.path
    if not path.is_file():  # a run of fewer steps than an unroll
        return None
    mean = pd.read_csv(path, usecols=["mean_policy_lag"])["mean_policy_lag"].mean()
    return None if pd.isna(mean) else round(float(mean), 4)


def _curve(spec: RunSpec, folder: RunFolder, num_bins: int) -> Iterator[dict[str, Any]]:
    """Average the training episodes within each of ``num_bins`` equal ranges of steps."""
    import numpy as np
    import pandas as pd

    if spec.steps == 0:
        return
    episodes = pd.read_csv(folder.episodes.path)
    episodes = episodes[episodes["phase"] == "training"]
    result = folder.result()
    frames_per_step = result["frames"] / max(1, result["steps"])
    width = spec.steps / num_bins
    # The last batch may go beyond the budget; its episodes belong to the last bin.
    bins = np.clip(np.ceil(episodes["step"] / width).astype(int), 1, num_bins)
    for right_edge, returns in episodes["return"].groupby(bins):
        steps = round(int(str(right_edge)) * width)
        yield _run_columns(spec) | {
            "steps": steps,
            "frames": round(steps * frames_per_step),
            "mean_return": returns.mean(),
            "num_episodes": len(returns),
        }


def _run_columns(spec: RunSpec) -> dict[str, Any]:
    flavor = spec.flavor
    return {
        "family": flavor.family,
        "name": flavor.name,
        "source": str(spec.source or ""),
        "target": str(flavor),
        "condition": spec.condition,
        "seed": spec.seed,
    }
