"""Writes a run as an event file of TensorBoard."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from thaw.config.errors import InputError, install_hint
from thaw.experiment.export.points import Point, RunRecord
from thaw.files.atomic import as_write_failed, write_atomic

EVENTS = "events.out.tfevents.0.thaw"
"""A run has this one file, whose content follows from the run's files alone."""


class EventFiles:
    """TensorBoard's event files of some runs: ``out/KEY/events...``.

    Args:
        out: The folder for ``tensorboard --logdir``.

    Raises:
        InputError: The package tensorboard is not installed.
    """

    def __init__(self, out: Path) -> None:
        try:
            import tensorboard.summary.writer.record_writer  # noqa: F401
        except ImportError:
            raise InputError(
                "event files need the package tensorboard, which is not installed: "
                f"{install_hint('tensorboard')}"
            ) from None
        self.out = out

    def write(self, run: RunRecord) -> None:
        """Make a run's file hold exactly its points.

        What TensorBoard may have read already stays: new points are appended. If the run went
        back, its file is replaced.

        Raises:
            WriteFailed: Disk full, no permission, and the like.
        """
        path, data = self.out / run.key / EVENTS, events(run)
        with as_write_failed(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            there = path.read_bytes() if path.exists() else None
        if there is None or not data.startswith(there):
            write_atomic(path, data)
        elif len(data) > len(there):
            with as_write_failed(path), path.open("ab") as file:
                file.write(data[len(there) :])

    def keep_only(self, runs: Mapping[str, str]) -> None:
        """Delete the files of other runs.

        Args:
            runs: The content hash of each run that is still there, by key.
        """
        for path in self.out.rglob(EVENTS):
            if path.parent.relative_to(self.out).as_posix() not in runs:
                path.unlink(missing_ok=True)


def events(run: RunRecord) -> bytes:
    """Return the content of a run's event file; equal runs have equal bytes.

    The wall time of a point is the begin of the run plus the time that it had run. A longer run
    begins with the bytes of a shorter one.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.summary.writer.record_writer import RecordWriter

    content = io.BytesIO()
    writer = RecordWriter(content)

    def add(point: Point, summary: Summary) -> None:
        event = Event(wall_time=run.began + point.seconds, step=point.steps, summary=summary)
        writer.write(event.SerializeToString(deterministic=True))

    first = Event(wall_time=run.began, file_version="brain.Event:2")
    writer.write(first.SerializeToString(deterministic=True))
    about = hparams_pb(run.labels, trial_id=run.key, start_time_secs=run.began)
    add(Point(0, 0.0, {}), about)
    for point in (*run.points, *([run.scores] if run.scores is not None else [])):
        values = [Summary.Value(tag=t, simple_value=v) for t, v in point.values.items()]
        add(point, Summary(value=values))
    return content.getvalue()
