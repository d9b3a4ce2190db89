"""The built-in suites, as functions that return a Suite."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from thaw.config import AgentConfig, Flavor, ReportConfig, Suite, Transfer

CATCH_VARIANTS = ("large_ball", "small_ball", "small_paddle", "red_background")
"""In the column order of the paper's table 2."""


def catch_quick() -> Suite:
    """Two variants, all six conditions, two seeds: minutes on a laptop.

    Not the paper's numbers: images of 30x20, the shallow network, a narrow LSTM and half as many
    decisions a throw.
    """
    return Suite(
        name="catch-quick",
        transfers=_from_catch("large_ball", "red_background"),
        seeds=2,
        pretrain_steps=120_000,
        transfer_steps=80_000,
        environment={"num_envs": 32, "downsample": 16, "frames_per_step": 8},
        agent=AgentConfig(
            embedding="impala_shallow", lstm_size=128, fc_size=128, learning_rate=1e-3,
            discount=0.95,
        ),
        report=ReportConfig(num_bins=40),
    )  # fmt: skip


def catch_paper() -> Suite:
    """The paper's Catch experiment: table 2 and figure 5 (Dean, Toyama, Precup 2022)."""
    return Suite(
        name="catch-paper",
        transfers=_from_catch(*CATCH_VARIANTS),
        seeds=5,
        pretrain_steps=5_000_000,
        transfer_steps=5_000_000,
        environment={"num_envs": 32},
        report=ReportConfig(paper="table2", num_bins=200),
    )


def _from_catch(*variants: str) -> tuple[Transfer, ...]:
    return tuple(
        Transfer(source=Flavor("catch"), target=Flavor(f"catch@{variant}")) for variant in variants
    )


BUILT_IN: Mapping[str, Callable[[], Suite]] = {
    "catch-quick": catch_quick,
    "catch-paper": catch_paper,
}
