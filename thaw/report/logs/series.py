"""The returns of one run over its steps, whatever file they come from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from thaw.config.errors import InputError
from thaw.report.statistics import FloatArray

LAST_EPISODES = 100
"""Of training episodes, so many at the end give the score; as in thaw's own runs."""

EPISODES = (
    "charts/episodic_return",  # CleanRL
    "episodic_return",
    "episode_return",
    "episode_reward",
    "return",
)
"""Names of tags and columns whose values are the returns of single episodes."""

MEANS = (
    "eval/mean_reward",  # Stable-Baselines3, of its evaluations
    "rollout/ep_rew_mean",  # of its last 100 training episodes
    "mean_return",
    "mean_reward",
)
"""Names of tags and columns whose values are means over episodes already."""


class Series(NamedTuple):
    """Q values of one run, in the order of their steps.

    Attributes:
        steps: [Q] decisions of the agent before each value.
        values: [Q] returns.
        is_episodes: Whether each value is the return of one episode; else it is a mean.
        num_episodes: Episodes in the last mean, 0 where it is not known.
        sem: Standard error of the last mean, NaN where it is not known.
    """

    steps: FloatArray
    values: FloatArray
    is_episodes: bool
    num_episodes: int = 0
    sem: float = float("nan")


class Score(NamedTuple):
    """How well a run ended."""

    mean_return: float
    sem: float
    num_episodes: int
    """0 where it is not known."""


def make_series(steps: Any, values: Any, is_episodes: bool, where: str) -> Series:
    """Sort values by their steps.

    Raises:
        InputError: There is none, or one is not a finite number.
    """
    steps, values = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    if not len(values):
        raise InputError(f"{where}: no value in it; leave the run out, or let it finish")
    wrong = ~(np.isfinite(steps) & np.isfinite(values))
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"{where}: value {place + 1} is {values[place]} at step {steps[place]}; both must be "
            "finite numbers"
        )
    order = np.argsort(steps, kind="stable")
    return Series(steps[order], values[order], is_episodes)


def means_or_episodes(name: str, last: int | None) -> bool:
    """Return whether the values of a tag or column are single episodes.

    Raises:
        InputError: Its name does not say so, and the user has not.
    """
    if name in EPISODES or name in MEANS:
        return name in EPISODES
    if last is None:
        raise InputError(
            f"'{name}': say with --last how many of its last values give the score: 1 if each is a "
            "mean already, 100 if each is one episode"
        )
    return last > 1


def score(series: Series, last: int | None) -> Score:
    """Average the end of a run.

    Args:
        series: Of the run.
        last: How many values; None takes 100 episodes, or the last mean.
    """
    number = last or (LAST_EPISODES if series.is_episodes else 1)
    values = series.values[-number:]
    mean = float(values.mean())
    if not series.is_episodes:
        alone = len(values) == 1
        return Score(mean, series.sem if alone else np.nan, series.num_episodes if alone else 0)
    sem = float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else np.nan
    return Score(mean, sem, len(values))
