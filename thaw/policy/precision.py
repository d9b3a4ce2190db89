"""Which arithmetic the embedding uses: chosen by measurement where the config says ``auto``."""

from __future__ import annotations

import functools
import time
from typing import Literal

import msgspec
import torch

from thaw.config.agent import AgentConfig
from thaw.policy.policy import IMAGES_AT_ONCE, Policy

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
    exact, rough = _seconds(agent, observation_shape, device)
    return "bfloat16" if rough * WORTHWHILE <= exact else "float32"


def _seconds(
    agent: AgentConfig, observation_shape: tuple[int, ...], device: torch.device
) -> tuple[float, float]:
    """Return how long the embedding of a batch and its gradient take in float32 and bfloat16.

    What else the machine does must not decide: on a CPU one thread's own time is counted, the
    two take turns, and the best of each counts.
    """
    images = torch.zeros(1, IMAGES_AT_ONCE, *observation_shape, dtype=torch.uint8, device=device)
    with torch.random.fork_rng(devices=[]):
        policies = [
            Policy(observation_shape, 1, msgspec.structs.replace(agent, precision=word)).to(device)
            for word in ("float32", "bfloat16")
        ]
    best = [float("inf"), float("inf")]
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(6):  # the first ones warm up
            for which, policy in enumerate(policies):
                best[which] = min(best[which], _time_once(policy, images))
    finally:
        torch.set_num_threads(num_threads)
    return best[0], best[1]


def _time_once(policy: Policy, images: torch.Tensor) -> float:
    on_gpu = images.device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.thread_time
    started = clock()
    torch.autograd.backward(policy.embed(images).sum())
    if on_gpu:
        torch.cuda.synchronize(images.device)
    return clock() - started
