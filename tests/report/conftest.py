from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import pytest

MakeScores = Callable[..., pd.DataFrame]


@pytest.fixture
def make_scores() -> MakeScores:
    """Builds scores of one transfer from condition -> returns by seed (None: missing)."""

    def build(
        returns: Mapping[str, Sequence[float | None]],
        source: str = "catch",
        target: str = "catch@large_ball",
        sem: float | None = None,
    ) -> pd.DataFrame:
        rows = [
            {
                "source": "" if condition in ("random", "scratch", "pretrain") else source,
                "target": source if condition == "pretrain" else target,
                "condition": condition,
                "seed": seed,
                "mean_return": value,
                "sem": sem,
            }
            for condition, values in returns.items()
            for seed, value in enumerate(values)
            if value is not None
        ]
        columns = ["source", "target", "condition", "seed", "mean_return", "sem"]
        return pd.DataFrame(rows, columns=columns)

    return build
