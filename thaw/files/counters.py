"""What a checkpoint has counted: how far its run is, and how much of its logs belongs to it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from thaw.files.atomic import read_json
from thaw.files.checksums import Damaged


class Counters(msgspec.Struct):
    """What a run's folder needs to know of training_state.json; the rest is the training's."""

    learned_steps: int
    episodes_bytes: int = 0
    """The run resumes with so much of episodes.csv. Later rows are dropped then."""
    episodes_sha256: str | None = None
    progress_bytes: int = 0
    progress_sha256: str | None = None


def read_counters(checkpoint: Path) -> Counters:
    """Read the counters of a checkpoint's folder.

    Raises:
        InputError: training_state.json is missing or broken.
        Damaged: It has other content.
    """
    path = checkpoint / "training_state.json"
    try:
        return msgspec.convert(read_json(path), Counters)
    except msgspec.ValidationError as error:
        raise Damaged(f"{path} is damaged: {error}") from None
