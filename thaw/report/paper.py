"""The numbers in the tables of Dean, Toyama and Precup (2022), and how thaw reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper.

    Attributes:
        citation: Paper and table.
        metric: The metric that it shows, one of :mod:`thaw.report.metrics`.
        targets: ``name@variant`` of each column, in the paper's order, without the family.
        conditions: One for each row, in the paper's order.
        remark: How to read the printed table.
        values: The numbers of each condition's row, in the order of ``targets``; NaN where the
            paper prints NaN.
    """

    citation: str
    metric: str
    targets: tuple[str, ...]
    conditions: tuple[str, ...]
    remark: str
    values: Mapping[str, tuple[float, ...]]

    def column(self, target: str) -> int | None:
        """Return the index of a flavor's column, in any family; None if there is none."""
        name = target.rpartition("/")[2]
        return self.targets.index(name) if name in self.targets else None

    def value(self, condition: str, target: str) -> float | None:
        """Return the printed number (NaN for a printed NaN); None where the paper has none."""
        column = self.column(target)
        if column is None or condition not in self.values:
            return None
        return self.values[condition][column]


TABLE_1 = PaperTable(
    citation="Dean, Toyama, Precup 2022, table 1",
    metric="normalized_by_scratch",
    targets=(
        "breakout@m12d0",
        "freeway@m1d1",
        "freeway@m1d0",
        "freeway@m4d0",
        "hero@m1d0",
        "hero@m2d0",
        "space_invaders@m1d1",
        "space_invaders@m1d0",
        "space_invaders@m9d0",
    ),
    conditions=("random", "freeze_embedding", "freeze_head", "update_all"),
    remark=(
        "The game names in the paper's header are shifted by one: m1d1, printed under Breakout, "
        "belongs to Freeway, and Space Invaders owns the last three columns. Only this reading "
        "gives nine transfers and agrees with the paper's text on Hero mode 1 (3.017 and 1.631) "
        "and Space Invaders difficulty 1 (1.845 and 0.524). The NaN of freeze head on Freeway "
        "m4d0 is the paper's own."
    ),
    values={
        "random": (0.026, 0, 0, 0, 0.020, 0.024, 0.119, 0.141, 0.282),
        "freeze_embedding": (2.974, 0, 0, 0, 3.017, 0.892, 0.524, 1.508, 1.111),
        "freeze_head": (2.846, 0, 0, float("nan"), 1.631, 0.654, 1.845, 2.641, 1.404),
        "update_all": (4.418, 0, 0, 0, 4.188, 0.814, 2.923, 3.967, 1.644),
    },
)

TABLE_2 = PaperTable(
    citation="Dean, Toyama, Precup 2022, table 2",
    metric="return",
    targets=(
        "catch@large_ball",
        "catch@small_ball",
        "catch@small_paddle",
        "catch@red_background",
    ),
    conditions=("freeze_embedding", "freeze_head", "update_all", "freeze_all"),
    remark=(
        "Mean return of the last 100 episodes over 5 seeds; of freeze all, the first 100 after "
        "the transfer. A return is +1 or -1, so one value has a standard error of up to 0.045: "
        "0.348 and 0.328 are a tie. The paper does not state the ball and paddle sizes."
    ),
    values={
        "freeze_embedding": (0.348, 0.768, 0.664, 0.432),
        "freeze_head": (0.524, 0.832, 0.436, 0.436),
        "update_all": (0.328, 0.784, 0.636, 0.688),
        "freeze_all": (-0.444, 0.064, 0.444, 0.100),
    },
)

PAPER_TABLES: Mapping[str, PaperTable] = {"table1": TABLE_1, "table2": TABLE_2}
