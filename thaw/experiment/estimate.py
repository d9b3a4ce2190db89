"""Estimates the time and disk that a suite needs."""

from __future__ import annotations

from typing import NamedTuple

from thaw.config.runtime import num_cores
from thaw.experiment.plan import Plan

STEP_SECONDS = {"impala_shallow": 70e-6, "nature": 70e-6, "impala_deep": 250e-6, "mlp": 50e-6}
"""One decision and its share of an update, without the part that grows with the image. Measured on
one core of the machine in docs/performance.md; right within a factor of two."""
PIXEL_SECONDS = {"impala_shallow": 0.05e-6, "nature": 0.1e-6, "impala_deep": 0.45e-6, "mlp": 0.0}
"""For each pixel of a decision's image, whatever its number of channels."""
SIMILAR = {"flatten": "mlp", "mlp_branches": "mlp", "nature_branches": "nature"}
"""Embeddings that take about as long as another one, which was measured."""
ENVIRONMENT_SECONDS = {"atari": 300e-6, "minigrid": 40e-6}
"""One decision of the environment itself on that core, by family; elsewhere it hardly counts."""
START_SECONDS = 0.4
"""Time to start and save one run."""
EPISODE_BYTES = 30
"""One row of episodes.csv."""
STEPS_PER_EPISODE = {"atari": 500, "catch": 40}
"""Decisions, by family."""
OTHER_STEPS_PER_EPISODE = 100
"""A guess."""
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
    evaluation = planned.suite.evaluation
    num_evaluated = evaluation.episodes * (1 + evaluation.source)
    seconds = num_episodes = 0.0
    for planned_run in planned.runs:
        run = planned_run.spec
        environment_seconds = ENVIRONMENT_SECONDS.get(run.flavor.family, 0.0)
        episode_steps = STEPS_PER_EPISODE.get(run.flavor.family, OTHER_STEPS_PER_EPISODE)
        seconds += START_SECONDS + run.steps * (step_seconds + environment_seconds)
        # Acting takes about half of a step's time, learning the other half.
        seconds += num_evaluated * episode_steps * (step_seconds / 2 + environment_seconds)
        num_episodes += run.steps / episode_steps
    num_parameters = 20 * (pixels * agent.embedding_size // 64)
    if agent.head == "lstm" or agent.branches.lstm != "none":
        num_parameters += 4 * agent.lstm_size * (agent.lstm_size + agent.embedding_size)
    num_bytes = (
        num_episodes * EPISODE_BYTES
        + len(planned.runs) * num_parameters * PARAMETER_BYTES * KEPT_CHECKPOINTS
    )
    return Estimate(seconds / workers / 3600, num_bytes / 2**20, workers)
