"""Estimates the time and disk that a suite needs."""

from __future__ import annotations

from typing import NamedTuple

from thaw.config.runtime import num_cores
from thaw.experiment.plan import Plan

STEP_SECONDS = {"impala_shallow": 120e-6, "nature": 120e-6, "impala_deep": 250e-6, "mlp": 200e-6}
"""One decision and its share of an update, without the part that grows with the image. Measured on
one core of the machine in docs/performance.md; right within a factor of two."""
PIXEL_SECONDS = {"impala_shallow": 0.05e-6, "nature": 0.1e-6, "impala_deep": 0.45e-6, "mlp": 0.0}
"""For each pixel of a decision's image, whatever its number of channels."""
SIMILAR = {"flatten": "mlp", "mlp_branches": "mlp", "nature_branches": "nature"}
"""Embeddings that take about as long as another one, which was measured."""
START_SECONDS = 4.0
"""Time to start, score and save one run."""
EPISODE_BYTES = 30
"""One row of episodes.csv."""
STEPS_PER_EPISODE = 100
"""A guess; Catch has 39, Atari has hundreds."""
PARAMETER_BYTES = 8
"""One weight and its optimizer state."""
KEPT_CHECKPOINTS = 2
"""The newest and the one before it."""


class Estimate(NamedTuple):
    """A rough estimate."""

    hours: float
    disk_mib: float
    num_workers: int


def estimate(
    planned: Plan, observation_shape: tuple[int, ...], num_workers: int | None
) -> Estimate:
    """Estimate time and disk from measured figures.

    Args:
        planned: The suite's runs.
        observation_shape: Shape of one observation; images are [height, width, channels].
        num_workers: How many runs execute at once; None is one on each core.
    """
    workers = num_workers or num_cores()
    agent = planned.suite.agent
    pixels = observation_shape[0] * observation_shape[1] if len(observation_shape) == 3 else 0
    kind = SIMILAR.get(agent.embedding, agent.embedding)
    kind = kind if kind in STEP_SECONDS else "impala_deep"
    step_seconds = STEP_SECONDS[kind] + PIXEL_SECONDS[kind] * pixels
    seconds = planned.total_steps * step_seconds + len(planned.runs) * START_SECONDS
    num_parameters = 20 * (pixels * agent.embedding_size // 64)
    if agent.head == "lstm" or agent.branches.lstm != "none":
        num_parameters += 4 * agent.lstm_size * (agent.lstm_size + agent.embedding_size)
    num_bytes = (
        planned.total_steps / STEPS_PER_EPISODE * EPISODE_BYTES
        + len(planned.runs) * num_parameters * PARAMETER_BYTES * KEPT_CHECKPOINTS
    )
    return Estimate(seconds / workers / 3600, num_bytes / 2**20, workers)
