"""Reads scores and curves: those of thaw's runs, and those of policies trained elsewhere.

Nothing that a table depends on is guessed. A wrong file is an error of one line: what is wrong,
what is allowed, how to correct it.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from thaw.config.errors import InputError
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
    scores = check_scores(_read_csv(path, SCORE_COLUMNS), where=str(path))
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
    return check_curves(_read_csv(path, CURVE_COLUMNS), where=str(path))


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


def infer_spec(
    scores: pd.DataFrame,
    name: str = "scores",
    normalize: Literal["none", "scratch"] = "none",
) -> ReportSpec:
    """Return a plan that consists of the runs that are there.

    Args:
        scores: As :func:`read_scores` returns them.
        name: The report's title.
        normalize: See :class:`ReportSpec`.

    Raises:
        InputError: All runs are pretrainings.
    """
    runs = scores[scores["condition"] != "pretrain"]
    if runs.empty:
        raise InputError(
            "the scores hold no run to compare; add rows of conditions such as scratch, "
            "update_all or freeze_embedding"
        )
    independent = runs["condition"].isin(INDEPENDENT_CONDITIONS)
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
    present = dict.fromkeys(runs["condition"])
    known = [condition for condition in CONDITION_NAMES if condition in present]
    return ReportSpec(
        name=name,
        transfers=(*moved, *alone),
        conditions=(*known, *(name for name in present if name not in known)),
        seeds=tuple(int(seed) for seed in sorted(set(runs["seed"]))),
        normalize=normalize,
    )


def _read_csv(path: str | PathLike[str], columns: Sequence[CsvColumn]) -> pd.DataFrame:
    required = [column for column in columns if column.required]
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; give the path of a CSV file")
    _check_shape(path)
    try:  # all values as text first: pandas would read a flavor named NA or 1e5 as a number
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except pd.errors.EmptyDataError:
        raise InputError(
            f"{path}: the file is empty; its first line must name the columns, at least "
            f"{', '.join(column.name for column in required)}"
        ) from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"{path}: not a CSV file in UTF-8 ({reason}); save it as one") from None
    frame.columns = pd.Index([str(column).strip() for column in frame.columns])
    return frame


def _check_shape(path: str | PathLike[str]) -> None:
    """Check that a file's columns have different names and that no row is longer than its header.

    pandas would rename the second of two equal columns, and shift a row that is too long.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = [name.strip() for name in next(rows, [])]
            repeated = next((name for name in header if header.count(name) > 1), None)
            if repeated is not None:
                raise InputError(f"{path}: two columns are named '{repeated}'; remove one of them")
            for number, row in enumerate(rows, 1):
                if len(row) > len(header):
                    raise InputError(
                        f"{path}: row {number} has {len(row)} values, but there are {len(header)} "
                        "columns; remove the extra values, or put a value with a comma in quotes"
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8 ({error}); save it as one") from None


def _check(frame: pd.DataFrame, columns: Sequence[CsvColumn], where: str) -> pd.DataFrame:
    required = [column for column in columns if column.required]
    missing = [column for column in required if column.name not in frame.columns]
    if missing:
        needed = ", ".join(column.name for column in required)
        found = ", ".join(str(name) for name in frame.columns) or "none"
        raise InputError(
            f"{where}: column '{missing[0].name}' is missing; needed are {needed}; found {found}. "
            f"Rename or add the column ({missing[0].meaning})"
        )
    checked = frame.reset_index(drop=True).copy()
    if "source" not in checked:
        checked["source"] = ""
    for column in columns:
        if column.name in checked:
            check = _text if column.kind == "text" else _numbers
            checked[column.name] = check(checked[column.name], column, where)
    return checked


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
