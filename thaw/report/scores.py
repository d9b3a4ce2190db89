"""Reads scores and curves: ours, and those of people who trained elsewhere.

A wrong file is answered with one line that says what is wrong, what is allowed and how to mend
it; whatever a table would depend on is never guessed.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from thaw.config.errors import InputError
from thaw.report.spec import CONDITION_NAMES, INDEPENDENT_CONDITIONS, ReportSpec

REQUIRED_SCORES = ("target", "condition", "seed", "mean_return")
REQUIRED_CURVES = ("target", "condition", "seed", "steps", "mean_return")
IDENTITY = ["source", "target", "condition", "seed"]
_INTEGERS = {"seed", "steps", "frames", "num_episodes"}
_OPTIONAL_SCORES = (
    "num_episodes",
    "sem",
    "training_mean_return",
    "training_sem",
    "evaluation_mean_return",
    "evaluation_sem",
    "source_mean_return",
    "source_sem",
    "steps",
    "frames",
    "seconds",
    "mean_policy_lag",
)
_OPTIONAL_CURVES = ("frames", "num_episodes")


def read_scores(path: str | PathLike[str]) -> pd.DataFrame:
    """Read a scores file, one row per finished run.

    Args:
        path: CSV with at least the columns target, condition, seed, mean_return. ``source`` says
            where a policy was pretrained; it is empty for runs that were not.

    Returns:
        The rows, checked as by :func:`check_scores`.

    Raises:
        InputError: The file is absent, empty or wrong; the message names the line or the row.
    """
    scores = check_scores(_read_csv(path), where=str(path))
    if scores.empty:
        raise InputError(f"{path}: no rows; a scores file needs one row per finished run")
    return scores


def read_curves(path: str | PathLike[str]) -> pd.DataFrame:
    """Read a curves file, one row per run and bin.

    Args:
        path: CSV with at least the columns target, condition, seed, steps (the right edge of the
            bin, in agent steps after the transfer) and mean_return. No rows are no error.

    Raises:
        InputError: As of :func:`read_scores`.
    """
    return check_curves(_read_csv(path), where=str(path))


def check_scores(scores: pd.DataFrame, where: str = "scores") -> pd.DataFrame:
    """Return a copy with text and numbers in the right types; a missing source becomes empty.

    Args:
        scores: One row per run; columns that are not ours are kept as they are.
        where: Named at the start of an error.

    Raises:
        InputError: A required column is missing, a value is not a number, or a run stands twice.
    """
    frame = _check(scores, REQUIRED_SCORES, _OPTIONAL_SCORES, where)
    _no_repeats(frame, IDENTITY, "run", where)
    return frame


def check_curves(curves: pd.DataFrame, where: str = "curves") -> pd.DataFrame:
    """Return a checked copy of curves, as :func:`check_scores` does of scores."""
    frame = _check(curves, REQUIRED_CURVES, _OPTIONAL_CURVES, where)
    _no_repeats(frame, [*IDENTITY, "steps"], "run and bin", where)
    return frame


def infer_spec(
    scores: pd.DataFrame,
    name: str = "scores",
    normalize: Literal["none", "scratch"] = "none",
) -> ReportSpec:
    """Take what is there for what was planned.

    Args:
        scores: As :func:`read_scores` returns them.
        name: The report's title.
        normalize: See :class:`ReportSpec`.

    Raises:
        InputError: There is no run but pretrainings.
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
    alone = dict.fromkeys(pair for pair in pairs if pair[1] not in served)
    present = dict.fromkeys(runs["condition"])
    known = [condition for condition in CONDITION_NAMES if condition in present]
    return ReportSpec(
        name=name,
        transfers=(*moved, *alone),
        conditions=(*known, *(name for name in present if name not in known)),
        seeds=tuple(int(seed) for seed in sorted(set(runs["seed"]))),
        normalize=normalize,
    )


def _read_csv(path: str | PathLike[str]) -> pd.DataFrame:
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; give the path of a CSV file")
    try:  # everything as text first, so that no flavor named NA or 1e5 is changed on the way
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except pd.errors.EmptyDataError:
        raise InputError(
            f"{path}: the file is empty; its first line must name the columns, at least "
            f"{', '.join(REQUIRED_SCORES)}"
        ) from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"{path}: not a CSV file in UTF-8 ({reason})") from None
    frame.columns = pd.Index([str(column).strip() for column in frame.columns])
    return frame


def _check(
    frame: pd.DataFrame, required: tuple[str, ...], optional: tuple[str, ...], where: str
) -> pd.DataFrame:
    missing = [column for column in required if column not in frame.columns]
    if missing:
        found = ", ".join(str(column) for column in frame.columns) or "none"
        raise InputError(
            f"{where}: column '{missing[0]}' is missing; needed are {', '.join(required)}; "
            f"found {found}. Rename or add the column"
        )
    checked = frame.reset_index(drop=True).copy()
    for column in ("source", "target", "condition", "family", "name", "key"):
        if column in checked:
            text = checked[column].astype(object)
            checked[column] = text.where(text.notna(), "").astype(str).str.strip()
    if "source" not in checked:
        checked["source"] = ""
    for column in ("target", "condition"):
        empty = np.flatnonzero((checked[column] == "").to_numpy())
        if len(empty):
            raise InputError(f"{where}: row {empty[0] + 1}: '{column}' is empty; fill it in")
    for column in (*required, *optional):
        if column in checked and column not in ("target", "condition"):
            checked[column] = _numbers(checked[column], column in required, where)
    return checked


def _numbers(column: pd.Series[Any], needed: bool, where: str) -> pd.Series[Any]:
    """Return the column as numbers; an empty optional value becomes NaN."""
    name = str(column.name)
    text = column.astype(object).where(column.notna(), "").astype(str).str.strip()
    numbers = pd.to_numeric(text.where(text != "", "nan"), errors="coerce").astype(float)
    values = numbers.to_numpy()
    empty = text.str.lower().isin(["", "nan"]).to_numpy()
    wrong = (needed | ~empty) & ~np.isfinite(values)
    kind = "a number"
    if name in _INTEGERS:
        kind = "a whole number"
        wrong |= np.isfinite(values) & (values != np.floor(values))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        hint = "leave out the rows of unfinished runs" if empty[row] else "correct it"
        raise InputError(
            f"{where}: row {row + 1}: {name} is '{text.iloc[row]}', but must be {kind}; {hint}"
        )
    return numbers.astype(int) if name in _INTEGERS and needed else numbers


def _no_repeats(frame: pd.DataFrame, identity: list[str], what: str, where: str) -> None:
    repeated = np.flatnonzero(frame.duplicated(identity).to_numpy())
    if len(repeated):
        row = int(repeated[0])
        said = ", ".join(f"{key} '{frame[key].iloc[row]}'" for key in identity)
        raise InputError(
            f"{where}: row {row + 1} repeats a {what} ({said}); each may stand once: remove one "
            "or give it another seed"
        )
