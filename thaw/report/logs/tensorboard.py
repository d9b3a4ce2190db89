"""Event files of TensorBoard, as CleanRL, Stable-Baselines3 and many others write them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from thaw.config.errors import InputError, install_hint
from thaw.report.logs.series import EPISODES, MEANS, Series, make_series, means_or_episodes


def read_events(folder: Path, tag: str | None, last: int | None) -> Series:
    """Read one tag from all event files of a folder.

    Args:
        folder: Of one run; a run that was continued has several files.
        tag: None takes the one that is known to hold returns.
        last: As the user gave it; see :func:`means_or_episodes`.

    Raises:
        InputError: The package is missing, or the tag is.
    """
    try:
        reader: Any = import_module("tensorboard.backend.event_processing.event_accumulator")
        tensor_util: Any = import_module("tensorboard.util.tensor_util")
    except ImportError:
        raise InputError(
            f"{folder}: event files need the package tensorboard: {install_hint('tensorboard')}"
        ) from None
    events = reader.EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    chosen = choose(str(folder), [*tags["scalars"], *tags["tensors"]], tag, "tag")
    is_episodes = means_or_episodes(chosen, last)
    if chosen in tags["scalars"]:
        points = [(event.step, event.value) for event in events.Scalars(chosen)]
    else:  # TensorFlow 2 writes scalars as tensors
        points = [
            (event.step, float(tensor_util.make_ndarray(event.tensor_proto)))
            for event in events.Tensors(chosen)
        ]
    steps, values = zip(*points, strict=True) if points else ((), ())
    return make_series(steps, values, is_episodes, f"{folder} ({chosen})")


def choose(where: str, there: Sequence[str], asked: str | None, what: str) -> str:
    """Return the tag or column that holds the returns.

    Args:
        where: Named at the start of an error.
        there: All of them.
        asked: What the user asked for.
        what: ``tag`` or ``column``.

    Raises:
        InputError: It is not there, or without asking none or several would do.
    """
    shown = ", ".join(there[:20]) or "nothing"
    if asked is not None:
        if asked not in there:
            raise InputError(f"{where}: no {what} '{asked}'; there are {shown}")
        return asked
    known = [name for name in (*EPISODES, *MEANS) if name in there]
    if len(known) == 1:
        return known[0]
    problem = f"several {what}s hold returns" if known else f"no {what} is known to hold returns"
    raise InputError(
        f"{where}: {problem}; choose one with --value: {', '.join(known) if known else shown}"
    )
