"""Finds the logs below folders, reads them, and makes scores.csv and curves.csv of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from thaw.config.errors import InputError
from thaw.report.logs.baselines import read_evaluations, read_monitors
from thaw.report.logs.pattern import Pattern, RunName
from thaw.report.logs.series import Series, score
from thaw.report.logs.tables import is_wandb, read_table, read_wandb
from thaw.report.logs.tensorboard import read_events
from thaw.report.scores import check_curves, check_scores

Kind = Literal["monitor", "evaluations", "tensorboard", "wandb", "csv"]
KINDS: tuple[Kind, ...] = get_args(Kind)

NUM_BINS = 40
"""Of a curve of episodes; means are points of the curve as they are."""

SAME_LENGTH = 0.75
"""Runs that are shorter than this share of the longest one may not have finished."""


class Collected(NamedTuple):
    """The runs that were found, as :mod:`thaw.report.scores` reads them."""

    scores: pd.DataFrame
    curves: pd.DataFrame
    kind: Kind
    left_out: tuple[str, ...]
    """Files of that kind that do not fit the pattern."""

    @property
    def notes(self) -> list[str]:
        """What a user should know of these runs, in lines."""
        lines = []
        if self.left_out:
            such = ", ".join(self.left_out[:3])
            lines.append(f"{len(self.left_out)} files do not fit the pattern, such as {such}")
        for target, steps in self.scores.groupby("target")["steps"]:
            low, high = int(steps.min()), int(steps.max())
            if low < SAME_LENGTH * high:
                lines.append(f"the runs of '{target}' end between {low:,} and {high:,} steps")
        return lines


class _File(NamedTuple):
    path: Path
    relative: str
    """To the folder that the user gave."""
    kind: Kind


def collect_scores(
    places: Sequence[Path],
    pattern: str,
    *,
    kind: Kind | None = None,
    value: str | None = None,
    step: str | None = None,
    last: int | None = None,
    fixed: Mapping[str, str] | None = None,
) -> Collected:
    """Read the logs of many runs.

    Args:
        places: Folders, which are searched to any depth, or files.
        pattern: Where a path has the run's target, condition and seed, relative to its place.
        kind: Which logs to read; None where there is one kind only.
        value: Tag or column that holds the returns; None takes one with a known name.
        step: Column that holds the steps; None takes one with a known name.
        last: How many of a run's last values give its score; None takes 100 episodes, or the last
            mean.
        fixed: Target or condition, where all runs have the same.

    Raises:
        InputError: No file fits, a log is broken, or a choice is open.
    """
    shape = Pattern(pattern, dict(fixed or {}))
    files = [file for place in places for file in _files(place)]
    kind = _kind(files, kind, places)
    files = [file for file in files if file.kind == kind]
    options = {"value": value, "step": step, "last": last}
    runs: dict[RunName, tuple[Series, str]] = {}
    left_out: list[str] = []
    for run, series, where in _read(files, kind, shape, options, left_out):
        if run in runs:
            raise InputError(
                f"{where} and {runs[run][1]} are the same run ({run}); remove one, or let the "
                "pattern tell them apart"
            )
        runs[run] = series, where
    if not runs:
        raise InputError(
            f"--pattern '{pattern}' fits none of {len(files)} files, such as "
            f"{', '.join(file.relative for file in files[:3])}"
        )
    read = {run: series for run, (series, _) in runs.items()}
    scores, curves = _scores(read, last), _curves(read)
    check_scores(scores)
    check_curves(curves)
    return Collected(scores, curves, kind, tuple(left_out))


def _files(place: Path) -> Iterator[_File]:
    """Yield the logs at a place.

    Raises:
        InputError: There is no such place, or the file is no log.
    """
    if place.is_file():
        if (kind := _kind_of(place)) is None:
            raise InputError(
                f"{place}: unknown format; known are monitor.csv, evaluations.npz, event files of "
                "TensorBoard, and CSV files with the ending .csv"
            )
        yield _File(place, place.name, kind)
        return
    if not place.is_dir():
        raise InputError(f"{place}: no such file or folder")
    for path in sorted(place.rglob("*")):
        if path.is_file() and (kind := _kind_of(path)) is not None:
            yield _File(path, path.relative_to(place).as_posix(), kind)


def _kind_of(path: Path) -> Kind | None:
    """Return what a file is, by its name and, if it is a CSV file, its first line."""
    if path.name.startswith("events.out.tfevents."):
        return "tensorboard"
    if path.name == "evaluations.npz":
        return "evaluations"
    if path.suffix != ".csv":
        return None
    if path.name.endswith("monitor.csv"):
        return "monitor"
    with path.open(encoding="utf-8", errors="replace") as file:
        return "wandb" if is_wandb(file.readline()) else "csv"


def _kind(files: Sequence[_File], asked: Kind | None, places: Sequence[Path]) -> Kind:
    """Return the one kind of logs to read.

    Raises:
        InputError: There is none, or a choice is open.
    """
    there = {kind: sum(file.kind == kind for file in files) for kind in KINDS}
    found = [kind for kind, count in there.items() if count]
    where = ", ".join(map(str, places))
    if asked is not None:
        if asked not in found:
            raise InputError(f"{where}: no logs of the kind '{asked}'; found {_kinds(there)}")
        return asked
    if len(found) != 1:
        advice = "choose one with --kind" if found else f"known are {', '.join(KINDS)}"
        raise InputError(f"{where}: found {_kinds(there)}; {advice}")
    return found[0]


def _kinds(there: Mapping[Kind, int]) -> str:
    return ", ".join(f"{count} of '{kind}'" for kind, count in there.items() if count) or "no logs"


def _read(
    files: Sequence[_File],
    kind: Kind,
    pattern: Pattern,
    options: Mapping[str, Any],
    left_out: list[str],
) -> Iterator[tuple[RunName, Series, str]]:
    """Yield each run with where it was found; paths that do not fit are added to ``left_out``."""
    folders: dict[tuple[RunName, Path], list[Path]] = {}
    for file in files:
        named = pattern.name(file.relative)
        table: Series | dict[RunName, Series] | None = None
        if kind == "wandb":
            table = read_wandb(file.path, pattern, options)
        elif kind == "csv":
            table = read_table(file.path, options)
        if isinstance(table, dict):
            for run, series in table.items():
                yield run, series, str(file.path)
        elif named is None:
            left_out.append(file.relative)
        elif table is not None:
            yield named, table, str(file.path)
        else:
            folders.setdefault((named, file.path.parent), []).append(file.path)
    for (run, folder), paths in folders.items():
        if kind == "monitor":
            yield run, read_monitors(paths), str(folder)
        elif kind == "evaluations":
            yield run, read_evaluations(paths[0]), str(folder)
        else:
            yield run, read_events(folder, options["value"], options["last"]), str(folder)


def _scores(runs: Mapping[RunName, Series], last: int | None) -> pd.DataFrame:
    """Return one row per run."""
    rows = []
    for run, series in runs.items():
        mean, sem, number = score(series, last)
        rows.append({
            **run._asdict(),
            "mean_return": mean,
            "sem": sem,
            "num_episodes": number or None,
            "steps": int(series.steps[-1]),
        })  # fmt: skip
    frame = pd.DataFrame(rows).astype({"num_episodes": "Int64"})
    return _sorted(frame, ["source", "target", "condition", "seed"])


def _curves(runs: Mapping[RunName, Series]) -> pd.DataFrame:
    """Return one row per run and point: means as they are, episodes in bins of steps.

    The runs of a target share the edges of their bins, so that their curves have common points.
    """
    longest: dict[str, float] = {}
    for run, series in runs.items():
        longest[run.target] = max(longest.get(run.target, 1.0), series.steps[-1])
    frames = []
    for run, series in runs.items():
        steps = series.steps
        if series.is_episodes:
            width = math.ceil(longest[run.target] / NUM_BINS)
            steps = np.maximum(np.ceil(steps / width), 1) * width
        points = pd.DataFrame({"steps": steps.astype(int), "mean_return": series.values})
        means = points.groupby("steps", as_index=False)["mean_return"].mean()
        frames.append(pd.DataFrame({name: [x] * len(means) for name, x in run._asdict().items()}))
        frames[-1][["steps", "mean_return"]] = means
    return _sorted(pd.concat(frames), ["source", "target", "condition", "seed", "steps"])


def _sorted(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Sort rows, and leave out the source where no run has one."""
    ordered = frame.sort_values(by, ignore_index=True)
    return ordered if (ordered["source"] != "").any() else ordered.drop(columns="source")
