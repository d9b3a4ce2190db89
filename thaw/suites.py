"""The built-in suites, as functions that return a Suite."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from thaw.config import AgentConfig, Flavor, ReportConfig, Suite, Transfer

CATCH_VARIANTS = ("large_ball", "small_ball", "small_paddle", "red_background")
"""In the column order of the paper's table 2."""


def catch_quick() -> Suite:
    """Two variants, all six conditions, two seeds: minutes on a laptop.

    Not the paper's numbers: images of 60x40, the shallow network, a narrow LSTM, ten decisions a
    throw, and an optimizer tuned for few updates (docs/decisions.md says what was measured).
    """
    return Suite(
        name="catch-quick",
        transfers=_from_catch("large_ball", "red_background"),
        seeds=2,
        pretrain_steps=160_000,
        transfer_steps=60_000,
        environment={"num_envs": 16, "downsample": 8, "frames_per_step": 16},
        agent=AgentConfig(
            embedding="impala_shallow",
            lstm_size=128,
            fc_size=128,
            discount=0.9,
            lambda_=0.5,
            entropy_cost=0.003,
            learning_rate=2e-3,
            rmsprop_epsilon=1e-5,
        ),
        report=ReportConfig(num_bins=40),
    )


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
