"""``thaw export``: runs for TensorBoard and Weights & Biases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from thaw.cli.output import bar, say
from thaw.cli.parsing import Folder, Switch
from thaw.experiment.export.folder import Exporter, Program
from thaw.files.ownership import owned


def export(
    program: Positional[Annotated[Program, tyro.conf.arg(metavar="PROGRAM")]],
    folder: Positional[Folder],
    *,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None,
    follow: Switch = False,
) -> int:
    """Write runs, finished or active, for TensorBoard or Weights & Biases.

    Args:
        program: tensorboard or wandb.
        folder: A suite's folder, the --out of `thaw run`, or a run's folder.
        out: By default DIR/tensorboard or DIR/wandb.
        follow: Go on until all runs are done; add what is new whenever a run saves.
    """
    exporter = Exporter(folder, program, out)
    with owned(exporter.out):  # two at once would append the same points
        with bar(f"runs for {program}", len(exporter.runs), "runs") as advance:
            exported = exporter.export(advance)
        if follow:
            exported = exporter.follow()
    for line in exported.left_out:
        say(line)
    print(
        f"{exported.out}: {exported.num_runs} of {len(exporter.runs)} runs, "
        f"{exported.num_points:,} points"
    )
    return 1 if exported.left_out else 0
