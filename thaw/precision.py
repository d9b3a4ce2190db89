"""Which arithmetic the embedding uses: chosen by measurement where the config says ``auto``."""

from __future__ import annotations

import functools
import time
from typing import Literal

import msgspec
import torch

from thaw.config import AgentConfig
from thaw.policy import IMAGES_AT_ONCE, Policy

WORTHWHILE = 1.2
"""bfloat16 must be this many times as fast: rounding is not taken for less, nor by chance."""


def settle_precision(
    agent: AgentConfig, observation_shape: tuple[int, ...], device: torch.device
) -> AgentConfig:
    """Replace ``precision: auto`` by what is faster on this machine.

    The answer is part of a run's result and belongs into its run.json. It is measured once a
    process: the embedding of a batch and its gradient, in either precision.

    Raises:
        InputError: The network does not fit the observations.
    """
    if agent.precision != "auto":
        return agent
    precision = _faster(agent, observation_shape, device)
    return msgspec.structs.replace(agent, precision=precision)


@functools.cache
def _faster(
    agent: AgentConfig, observation_shape: tuple[int, ...], device: torch.device
) -> Literal["float32", "bfloat16"]:
    is_image = len(observation_shape) == 3
    if not is_image:
        return "float32"  # there is too little to gain
    observations = torch.zeros(1, IMAGES_AT_ONCE, *observation_shape, dtype=torch.uint8)
    seconds = {
        precision: _seconds(agent, precision, observations.to(device))
        for precision in ("float32", "bfloat16")
    }
    return "bfloat16" if seconds["bfloat16"] * WORTHWHILE <= seconds["float32"] else "float32"


def _seconds(
    agent: AgentConfig, precision: Literal["float32", "bfloat16"], observations: torch.Tensor
) -> float:
    """Return how long the embedding of a batch and its gradient take, the best of three."""
    with torch.random.fork_rng(devices=[]):
        policy = Policy(
            tuple(observations.shape[2:]), 1, msgspec.structs.replace(agent, precision=precision)
        ).to(observations.device)
    best = float("inf")
    for _ in range(4):  # the first one warms up
        started = time.perf_counter()
        loss = policy.embed(observations).sum()
        torch.autograd.backward(loss)
        if observations.device.type == "cuda":
            torch.cuda.synchronize(observations.device)
        best = min(best, time.perf_counter() - started)
    return best
