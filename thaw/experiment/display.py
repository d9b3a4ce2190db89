"""Shows how a suite advances: bars on a terminal, one line for each finished run elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from thaw.config.errors import printable
from thaw.experiment.plan import PlannedRun
from thaw.experiment.signals import drop_dead_terminal

EVALUATION_STEPS = 5_000
"""The share of scoring in a run's size, so that the time left is not too short."""


class RateColumn(ProgressColumn):
    """The rate in decisions per second."""

    def render(self, task: Task) -> Text:
        """Return the rate, or nothing while it is unknown."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} steps/s" if speed else "", style="progress.data.speed")


class Display:
    """Shows runs done, rate, time left and last returns on a terminal, one line a run elsewhere.

    The bar of all runs counts steps that were made before. The rate, and so the time left, does
    not: it is about what happens now.

    Args:
        runs: All runs of the suite; of a race those that it has asked for.
        done: Keys of the runs that are done already.
        at_most: How many runs a race may ask for; None without a race.
    """

    def __init__(
        self, runs: Iterable[PlannedRun], done: Iterable[str], at_most: int | None = None
    ) -> None:
        self.at_most = at_most
        self.sizes = {run.key: run.spec.steps + EVALUATION_STEPS for run in runs}
        done = set(done) & self.sizes.keys()
        self.console = Console(stderr=True)
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            RateColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console,
            disable=not self.console.is_terminal,
            refresh_per_second=4,
        )
        self.num_done, self.num_runs = len(done), len(self.sizes)
        self.width = max(map(len, self.sizes))
        self.total = self.bars.add_task(
            "",
            total=max(1, sum(self.sizes.values())),
            completed=sum(self.sizes[key] for key in done),
            note="",
        )
        self.tasks: dict[str, TaskID] = {}
        self.counted: dict[str, int] = {}
        self._describe()

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self.bars.stop()
        except OSError:
            drop_dead_terminal()

    def print(self, line: str) -> None:
        """Print a line above the bars, as it is: an error's text may look like markup."""
        try:
            line = printable(line)
            self.bars.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)
        except OSError:  # the terminal was closed; the runs go on
            drop_dead_terminal()

    def add(self, runs: Iterable[PlannedRun], done: Iterable[str]) -> None:
        """Count more runs, which a race has asked for; some may be done already."""
        done = set(done)
        for run in runs:
            size = run.spec.steps + EVALUATION_STEPS
            self.sizes[run.key] = size
            self.width = max(self.width, len(run.key))
            self.num_runs += 1
            total = self.bars.tasks[self.total].total or 0
            self.bars.update(self.total, total=total + size)
            if run.key in done:
                self.num_done += 1
                self._count_as_earlier(size)
        self._describe()

    def start(self, run: PlannedRun, steps: int = 0) -> None:
        """Add a bar for a run that starts.

        Args:
            run: The run.
            steps: How many it had made before; they count as done, but not for the rate.
        """
        self.tasks[run.key] = self.bars.add_task(
            run.key, total=self.sizes[run.key], completed=steps, note="", start=True
        )
        self._count_as_earlier(steps - self.counted.get(run.key, 0))
        self.counted[run.key] = steps

    def update(
        self, run: PlannedRun, steps: int, mean_return: float | None, where: str = ""
    ) -> None:
        """Show the steps of a run so far, the mean of its most recent returns, and its place."""
        shown = "" if mean_return is None else f"return {mean_return:.2f}"
        note = "  ".join(filter(None, (shown, where)))
        self.bars.update(self.tasks[run.key], completed=steps, note=note)
        self._count(run.key, steps)

    def finish(self, run: PlannedRun, kind: str, content: Any) -> None:
        """Show how a run ended.

        Args:
            run: The run; its bar goes.
            kind: done, failed or stopped.
            content: The result of a run that is done, the error of one that failed.
        """
        self.bars.remove_task(self.tasks.pop(run.key))
        if kind == "done":
            self.num_done += 1
            self._count(run.key, self.sizes[run.key])
            result = content["mean_return"]
            shown = "" if result is None else f"return {result:8.2f}  "
            self.print(
                f"[{self.num_done}/{self.num_runs}] {run.key:{self.width}}  {shown}"
                f"{content['seconds']:6.0f} s"
            )
        elif kind == "failed":
            self.print(f"FAILED {run.key}: {content}")
        self._describe()

    def _count(self, key: str, steps: int) -> None:
        # Unlike advance(), update() leaves a negative number, of lost steps, out of the rate.
        self.bars.update(self.total, advance=steps - self.counted[key])
        self.counted[key] = steps

    def _count_as_earlier(self, steps: int) -> None:
        """Advance the bar of all runs, but not the rate; Progress has no method that does so."""
        self.bars.tasks[self.total].completed += steps

    def _describe(self) -> None:
        most = "" if self.at_most is None else f" (at most {self.at_most})"
        description = f"{self.num_done} of {self.num_runs} runs{most}"
        self.bars.update(self.total, description=description)
