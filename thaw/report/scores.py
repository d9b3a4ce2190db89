"""Reads scores and curves: those of thaw's runs, and those of policies trained elsewhere.

Nothing that a table depends on is guessed. A wrong file is an error of one line: what is wrong,
what is allowed, how to correct it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from os import PathLike
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from thaw.config.errors import InputError, nearest
from thaw.report.csv_file import read_csv
from thaw.report.spec import CONDITION_NAMES, INDEPENDENT_CONDITIONS, ReportSpec


class CsvColumn(NamedTuple):
    """One column of a scores or curves file."""

    name: str
    kind: Literal["text", "integer", "number"]
    meaning: str
    """For error messages and for the page."""
    required: bool = False
    """Whether a file from elsewhere must have the column."""


RUN_IDENTITY = ("source", "target", "condition", "seed")
"""The columns that together identify a run."""

SCORE_COLUMNS = (
    CsvColumn("key", "text", "name of the run's folder"),
    CsvColumn("family", "text", "family of the target's environment"),
    CsvColumn("name", "text", "name of the target's environment in its family"),
    CsvColumn("source", "text", "flavor of the pretraining; empty for a run without pretraining"),
    CsvColumn("target", "text", "flavor in which the run trained and was scored", required=True),
    CsvColumn("condition", "text", "update rule or control, such as update_all", required=True),
    CsvColumn("seed", "integer", "seed of the run", required=True),
    CsvColumn("mean_return", "number", "score: mean return over episodes", required=True),
    CsvColumn("sem", "number", "standard error of mean_return over the run's episodes"),
    CsvColumn("num_episodes", "integer", "number of episodes that mean_return averages"),
    CsvColumn("training_mean_return", "number", "mean return of the last training episodes"),
    CsvColumn("training_sem", "number", "standard error of training_mean_return"),
    CsvColumn("evaluation_mean_return", "number", "mean return of the evaluation episodes"),
    CsvColumn("evaluation_sem", "number", "standard error of evaluation_mean_return"),
    CsvColumn("source_mean_return", "number", "mean return of the final policy on its source"),
    CsvColumn("source_sem", "number", "standard error of source_mean_return"),
    CsvColumn("steps", "integer", "decisions of the agent during training"),
    CsvColumn("frames", "integer", "frames of the environment during training"),
    CsvColumn("seconds", "number", "time that the run took"),
    CsvColumn("clock", "text", "clock on which the run learned"),
    CsvColumn("mean_policy_lag", "number", "mean policy lag in updates"),
    CsvColumn("diverged", "text", "True where the final policy has very large weights"),
)
"""The columns of scores.csv, one row per finished run. Other columns may be there."""

SOURCE_STEP_COLUMNS = (
    *SCORE_COLUMNS,
    CsvColumn("source_step", "integer", "step of the pretraining it started from", required=True),
)
"""The columns of source_steps.csv, one row per finished run that started from a pretraining."""

CURVE_COLUMNS = (
    *(column for column in SCORE_COLUMNS if column.name in ("family", "name", *RUN_IDENTITY)),
    CsvColumn("steps", "integer", "right edge of the bin, in agent steps", required=True),
    CsvColumn("frames", "integer", "right edge of the bin, in frames of the environment"),
    CsvColumn("mean_return", "number", "mean return of the episodes in the bin", required=True),
    CsvColumn("num_episodes", "integer", "number of episodes in the bin"),
)
"""The columns of curves.csv, one row per finished run and bin of training steps."""


class ReturnColumns(NamedTuple):
    """A mean return among the scores, and its standard error over the run's episodes."""

    mean: str
    standard_error: str


ON_TARGET = ReturnColumns("mean_return", "sem")
ON_SOURCE = ReturnColumns("source_mean_return", "source_sem")
EVALUATION = ReturnColumns("evaluation_mean_return", "evaluation_sem")


LARGEST_NUMBER = 1e100
"""Of a return: sums and squares of such numbers are still finite."""
LARGEST_INTEGER = 2**53
"""Up to here every whole number can be written as a float."""


def read_scores(path: str | PathLike[str]) -> pd.DataFrame:
    """Read a scores file, one row per finished run.

    Args:
        path: CSV file with the required columns of :data:`SCORE_COLUMNS` at least.

    Returns:
        The rows, checked as by :func:`check_scores`.

    Raises:
        InputError: The file is missing, empty or wrong; the message names the row.
    """
    scores = check_scores(read_csv(path, _required(SCORE_COLUMNS)), where=str(path))
    if scores.empty:
        raise InputError(f"{path}: no rows; a scores file needs one row per finished run")
    return scores


def read_curves(path: str | PathLike[str]) -> pd.DataFrame:
    """Read a curves file, one row per run and bin.

    Args:
        path: CSV file with the required columns of :data:`CURVE_COLUMNS` at least. It may have
            no rows.

    Raises:
        InputError: As for :func:`read_scores`.
    """
    return check_curves(read_csv(path, _required(CURVE_COLUMNS)), where=str(path))


def check_scores(scores: pd.DataFrame, where: str = "scores") -> pd.DataFrame:
    """Return a copy with text and numbers in the right types; a missing source becomes empty.

    Args:
        scores: One row per run; unknown columns are kept unchanged.
        where: Named at the start of an error.

    Raises:
        InputError: A required column is missing, a value is not a number, or a run is there twice.
    """
    frame = _check(scores, SCORE_COLUMNS, where)
    _check_unique(frame, RUN_IDENTITY, "run", where)
    return frame


def read_source_steps(path: str | PathLike[str]) -> pd.DataFrame:
    """Read a file of scores by the step of the pretraining that each run started from.

    Raises:
        InputError: As for :func:`read_scores`.
    """
    return check_source_steps(read_csv(path, _required(SOURCE_STEP_COLUMNS)), where=str(path))


def check_source_steps(frame: pd.DataFrame, where: str = "source steps") -> pd.DataFrame:
    """Return a checked copy, as :func:`check_scores` does for scores.

    Raises:
        InputError: As for :func:`read_scores`.
    """
    checked = _check(frame, SOURCE_STEP_COLUMNS, where)
    _check_unique(checked, (*RUN_IDENTITY, "source_step"), "run", where)
    return checked


def check_curves(curves: pd.DataFrame, where: str = "curves") -> pd.DataFrame:
    """Return a checked copy of curves, as :func:`check_scores` does for scores.

    Raises:
        InputError: As for :func:`check_scores`.
    """
    frame = _check(curves, CURVE_COLUMNS, where)
    _check_unique(frame, (*RUN_IDENTITY, "steps"), "run and bin", where)
    return frame


def planned_rows(
    frame: pd.DataFrame, spec: ReportSpec, source: str, target: str, condition: str
) -> pd.DataFrame:
    """Return the rows of one condition of one transfer, of the planned seeds only.

    Runs without a source, such as ``random`` and ``scratch``, serve every transfer to their
    target: where a transfer has no rows with its source, it gets the rows without a source.

    Args:
        frame: Scores or curves.
        spec: Names the planned seeds.
        source: Flavor address, empty where it is unknown.
        target: Flavor address.
        condition: Of the transfer.
    """
    here = frame[(frame["target"] == target) & (frame["condition"] == condition)]
    own = here[here["source"] == source]
    rows = own if len(own) else here[here["source"] == ""]
    return rows[rows["seed"].isin(spec.seeds)]


def check_together(scores: pd.DataFrame, curves: pd.DataFrame, where: str = "curves") -> None:
    """Check that each run that has a curve also has a score.

    Args:
        scores: As :func:`read_scores` returns them.
        curves: As :func:`read_curves` returns them.
        where: Named at the start of an error.

    Raises:
        InputError: A run has no score; the message names the row.
    """
    identity = list(RUN_IDENTITY)
    known = set(scores[identity].itertuples(index=False, name=None))
    for row, run in enumerate(curves[identity].itertuples(index=False, name=None), 1):
        if run not in known:
            values = ", ".join(f"{n} '{v}'" for n, v in zip(identity, run, strict=True))
            raise InputError(
                f"{where}: row {row} belongs to a run that has no score ({values}); both files "
                "must name a run in the same way"
            )


def infer_spec(
    scores: pd.DataFrame,
    name: str = "scores",
    normalize: Literal["none", "scratch"] = "none",
    *,
    baseline: str = "scratch",
    paired: bool = False,
    margin: float | None = None,
    bounds: tuple[float, float] | None = None,
) -> ReportSpec:
    """Return a plan that consists of the runs that are there.

    Args:
        scores: As :func:`read_scores` returns them.
        name: The report's title.
        normalize: See :class:`ReportSpec`.
        baseline: The condition that plays the part of training from scratch.
        paired: See :class:`ReportSpec`.
        margin: See :class:`ReportSpec`.
        bounds: See :class:`ReportSpec`.

    Raises:
        InputError: All runs are pretrainings, no run has the baseline's name, or margin or bounds
            are wrong.
    """
    runs = scores[scores["condition"] != "pretrain"]
    if runs.empty:
        raise InputError(
            "the scores hold no run to compare; add rows of conditions such as scratch, "
            "update_all or freeze_embedding"
        )
    present = dict.fromkeys(runs["condition"])
    if baseline not in present and (baseline != "scratch" or normalize != "none"):
        raise InputError(
            f"the scores have no condition '{baseline}'{nearest(baseline, present)} Choose one of "
            f"{', '.join(present)} as the baseline"
        )
    independent = runs["condition"].isin([*INDEPENDENT_CONDITIONS, baseline])
    pairs = list(zip(runs["source"], runs["target"], strict=True))
    moved = dict.fromkeys(
        pair for pair, alone in zip(pairs, independent, strict=True) if pair[0] or not alone
    )
    served = {target for _, target in moved}
    # Random runs on a source tell whether its pretraining learned; alone they are no transfer.
    sources = {source for source, _ in moved}
    compared = set(runs.loc[runs["condition"] != "random", "target"])
    alone = dict.fromkeys(
        pair
        for pair in pairs
        if pair[1] not in served and (pair[1] in compared or pair[1] not in sources)
    )
    known = [condition for condition in CONDITION_NAMES if condition in present]
    return ReportSpec(
        name=name,
        transfers=(*moved, *alone),
        conditions=(*known, *(name for name in present if name not in known)),
        seeds=tuple(int(seed) for seed in sorted(set(runs["seed"]))),
        normalize=normalize,
        baseline=baseline,
        margin=margin,
        bounds=bounds,
        paired=paired,
        inferred=True,
    )


def _check(frame: pd.DataFrame, columns: Sequence[CsvColumn], where: str) -> pd.DataFrame:
    missing = [column for column in columns if column.required and column.name not in frame.columns]
    if missing:
        needed = ", ".join(_required(columns))
        found = [str(name) for name in frame.columns]
        advice = f"Rename or add the column ({missing[0].meaning})"
        if (similar := {name.lower(): name for name in found}.get(missing[0].name)) is not None:
            advice = f"Write '{similar}' in small letters"
        elif len(found) == 1 and (sign := re.search(r"[;\t|]", found[0])):
            advice = f"Separate the values by commas, not by {sign[0]!r}"
        raise InputError(
            f"{where}: column '{missing[0].name}' is missing; needed are {needed}; found "
            f"{', '.join(found) or 'none'}. {advice}"
        )
    checked = frame.reset_index(drop=True).copy()
    if "source" not in checked:
        checked["source"] = ""
    for column in columns:
        if column.name in checked:
            check = _text if column.kind == "text" else _numbers
            checked[column.name] = check(checked[column.name], column, where)
    return checked


def _required(columns: Sequence[CsvColumn]) -> list[str]:
    return [column.name for column in columns if column.required]


def _text(values: pd.Series[Any], column: CsvColumn, where: str) -> pd.Series[Any]:
    """Return a column as text; an empty optional value becomes an empty text."""
    text = values.astype(object).where(values.notna(), "").astype(str).str.strip()
    empty = np.flatnonzero((text == "").to_numpy())
    if column.required and len(empty):
        raise InputError(f"{where}: row {empty[0] + 1}: '{column.name}' is empty; fill it in")
    return text


def _numbers(values: pd.Series[Any], column: CsvColumn, where: str) -> pd.Series[Any]:
    """Return a column as numbers; an empty optional value becomes NaN."""
    text = values.astype(object).where(values.notna(), "").astype(str).str.strip()
    numbers = pd.to_numeric(text.where(text != "", "nan"), errors="coerce").astype(float)
    found = numbers.to_numpy()
    empty = text.str.lower().isin(["", "nan"]).to_numpy()
    wrong = (column.required | ~empty) & ~np.isfinite(found)
    wrong |= np.isfinite(found) & (np.abs(found) > LARGEST_NUMBER)
    kind = f"a number from {-LARGEST_NUMBER:g} to {LARGEST_NUMBER:g}"
    if column.kind == "integer":
        kind = f"a whole number from 0 to {LARGEST_INTEGER:,}"
        is_finite = np.isfinite(found)
        wrong |= is_finite & ((found != np.floor(found)) | (found < 0) | (found > LARGEST_INTEGER))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        hint = "leave out the rows of unfinished runs" if empty[row] else "correct it"
        raise InputError(
            f"{where}: row {row + 1}: {column.name} is '{text.iloc[row]}', but must be {kind}; "
            f"{hint}"
        )
    return numbers.astype(int) if column.kind == "integer" and column.required else numbers


def _check_unique(frame: pd.DataFrame, identity: Sequence[str], what: str, where: str) -> None:
    repeated = np.flatnonzero(frame.duplicated(list(identity)).to_numpy())
    if len(repeated):
        row = int(repeated[0])
        values = ", ".join(f"{name} '{frame[name].iloc[row]}'" for name in identity)
        raise InputError(
            f"{where}: row {row + 1} repeats a {what} ({values}); each may be there once: remove "
            "one or give it another seed"
        )
