"""The files of Stable-Baselines3: ``monitor.csv`` and ``evaluations.npz``."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from thaw.config.errors import InputError
from thaw.report.logs.series import Series, make_series


def read_monitors(paths: Sequence[Path]) -> Series:
    """Read the training episodes of one run, whose environments have a file each.

    The first line of a file has the time of its start; the rows have return ``r``, length ``l`` and
    time ``t`` of an episode. Sorted by time, their lengths add up to the steps of the run. Where a
    training was continued in the same file, ``t`` starts again at 0 and is added to the last one.

    Raises:
        InputError: A file is not what ``Monitor`` writes.
    """
    frames = []
    for path in paths:
        try:
            with path.open(encoding="utf-8") as file:
                start = float(json.loads(file.readline().lstrip("#"))["t_start"])
                frame = pd.read_csv(file, usecols=["r", "l", "t"]).astype(float)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{path}: not a monitor.csv of Stable-Baselines3 ({reason}); its first line is "
                '#{"t_start": ...}, its columns are r, l and t'
            ) from None
        before = frame["t"].shift(fill_value=0.0)
        sessions = before.where(frame["t"] < before, 0.0).cumsum()
        frames.append(frame.assign(t=frame["t"] + start + sessions))
    episodes = pd.concat(frames).sort_values("t", kind="stable")
    return make_series(episodes["l"].cumsum(), episodes["r"], True, str(paths[0]))


def read_evaluations(path: Path) -> Series:
    """Read the evaluations of one run: E of them, with some episodes each.

    Raises:
        InputError: The file is not what ``EvalCallback`` writes.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            steps, results = file["timesteps"], np.asarray(file["results"], dtype=float)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: not an evaluations.npz of Stable-Baselines3 ({reason}); it has the arrays "
            "timesteps [E] and results [E, episodes]"
        ) from None
    if results.ndim != 2 or len(steps) != len(results) or not results.size:
        raise InputError(
            f"{path}: results has the shape {list(results.shape)}, timesteps {list(steps.shape)}; "
            "they must be [E, episodes] and [E]"
        )
    series = make_series(steps, results.mean(axis=1), False, str(path))
    last = results[int(np.argsort(steps, kind="stable")[-1])]
    sem = float(last.std(ddof=1) / len(last) ** 0.5) if len(last) > 1 else float("nan")
    return series._replace(num_episodes=len(last), sem=sem)
