"""Draws flavors side by side, as in figures 2 and 4 of the paper."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from thaw.config.flavor import Flavor
from thaw.config.run_spec import split_environment
from thaw.config.suite import Suite
from thaw.experiment.screens import screen_after


def draw_gallery(suite: Suite, out: Path, *, num_steps: int, seed: int = 0) -> None:
    """Draw one row for each source flavor: the source, then its targets.

    Args:
        suite: The suite.
        out: A .png file.
        num_steps: How many random decisions, the same in every flavor, come before the picture.
        seed: Seeds the environments and the decisions.

    Raises:
        InputError: A flavor or an option is unknown.
        OSError: The file cannot be written.
    """
    _, options = split_environment(suite.environment)
    rows: dict[Flavor, list[Flavor]] = {}
    for transfer in suite.transfers:
        rows.setdefault(transfer.source, [transfer.source]).append(transfer.target)
    num_columns = max(len(row) for row in rows.values())
    figure = Figure(figsize=(2.2 * num_columns, 3.6 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), num_columns, squeeze=False)
    for axes, flavors in zip(grid, rows.values(), strict=True):
        for axis in axes:
            axis.axis("off")
        for axis, flavor in zip(axes, flavors, strict=False):
            axis.imshow(screen_after(flavor, options, num_steps, seed))
            axis.set_title(str(flavor), fontsize=9)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
