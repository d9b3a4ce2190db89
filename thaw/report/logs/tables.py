"""CSV files: one run, or many with columns that name them, and the exports of Weights & Biases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from thaw.config.errors import InputError
from thaw.report.csv_file import read_csv
from thaw.report.logs.pattern import FIELDS, REQUIRED, Pattern, RunName
from thaw.report.logs.series import Series, make_series, means_or_episodes
from thaw.report.logs.tensorboard import choose

STEPS = ("steps", "step", "global_step", "timesteps", "time/total_timesteps", "_step", "Step")
"""Names of columns that hold the steps of the agent; the first that is there is taken."""

_EXPORTED = re.compile(r"(.+) - (.+?)(__MIN|__MAX)?")
"""A column of an export of a chart of Weights & Biases: ``RUN - METRIC``, and its bounds."""


def is_wandb(header: str) -> bool:
    """Whether the first line of a CSV file is that of an exported chart."""
    return " - " in header and "__MIN" in header


def read_table(path: Path, options: Mapping[str, Any]) -> Series | dict[RunName, Series]:
    """Read a CSV file of one run, or of runs that its columns name.

    Args:
        path: The file.
        options: ``value``, ``step`` and ``last``, as the user gave them.

    Returns:
        The runs by name, if the file has the columns target, condition and seed.

    Raises:
        InputError: A column is missing, or a value is no number.
    """
    frame = read_csv(path, ["step", "return"])
    columns = list(frame.columns)
    value = choose(str(path), columns, options["value"], "column")
    step = _steps(path, columns, options["step"])
    is_episodes = means_or_episodes(value, options["last"])
    if not set(REQUIRED) <= set(columns):
        return _series(frame, step, value, is_episodes, str(path))
    names = [name for name in FIELDS if name in columns]
    runs = {}
    for identity, rows in frame.groupby(names, sort=False):
        found = dict(zip(names, map(str, identity), strict=True))
        if not re.fullmatch(r"\d{1,15}", found["seed"]):
            raise InputError(f"{path}: seed is '{found['seed']}', but must be a whole number")
        run = RunName(
            found.get("source", ""), found["target"], found["condition"], int(found["seed"])
        )
        runs[run] = _series(rows, step, value, is_episodes, f"{path} ({run})")
    return runs


def read_wandb(path: Path, pattern: Pattern, options: Mapping[str, Any]) -> dict[RunName, Series]:
    """Read an exported chart, which has a column for each run.

    Args:
        path: The file.
        pattern: Must fit the names of the runs.
        options: As of :func:`read_table`.

    Raises:
        InputError: No run's name fits, two are the same, or a choice is open.
    """
    frame = read_csv(path, ["Step"])
    found = {column: _EXPORTED.fullmatch(column) for column in frame.columns}
    columns = {
        column: match
        for column, match in found.items()
        if match and not match[3] and not match[2].startswith("_")  # such as _step
    }
    metrics = list(dict.fromkeys(match[2] for match in columns.values()))
    if not metrics:
        raise InputError(
            f"{path}: no column has the values of a run; an export of a chart has a column "
            "'RUN - METRIC' for each run, beside RUN - METRIC__MIN and RUN - METRIC__MAX"
        )
    metric = (
        choose(str(path), metrics, options["value"], "metric") if len(metrics) > 1 else metrics[0]
    )
    is_episodes = means_or_episodes(metric, options["last"])
    step = _steps(path, [c for c in frame.columns if c not in columns], options["step"])
    runs: dict[RunName, Series] = {}
    for column, match in columns.items():
        if match[2] != metric:
            continue
        run = pattern.name(match[1])
        if run is None:
            raise InputError(
                f"{path}: --pattern '{pattern.text}' does not fit the run '{match[1]}'; in an "
                "export of Weights & Biases it must fit the names of the runs"
            )
        if run in runs:
            raise InputError(f"{path}: two runs are named alike ({run}); remove one")
        rows = frame[frame[column].str.strip() != ""]
        runs[run] = _series(rows, step, column, is_episodes, f"{path} ({match[1]})")
    return runs


def _steps(path: Path, columns: list[str], asked: str | None) -> str:
    """Return the column that holds the steps.

    Raises:
        InputError: There is none.
    """
    known = [asked] if asked is not None else STEPS
    found = [name for name in known if name in columns]
    if not found:
        raise InputError(
            f"{path}: no column of steps ({', '.join(known)}); name one with --step; there are "
            f"{', '.join(columns[:20])}"
        )
    return found[0]


def _series(frame: pd.DataFrame, step: str, value: str, is_episodes: bool, where: str) -> Series:
    """Return the rows of one run that have a value."""
    rows = frame[frame[value].str.strip() != ""]  # loggers leave out what a row does not have
    numbers = {
        name: pd.to_numeric(rows[name], errors="coerce").to_numpy(float) for name in (step, value)
    }
    return make_series(numbers[step], numbers[value], is_episodes, where)
