"""What does not decide a result: device, threads, folders, how often to save."""

from __future__ import annotations

import os

from thaw.config.strict import Config, NonNegativeFloat, Positive, PositiveFloat


class Runtime(Config, frozen=True, kw_only=True):
    """What does not decide a result and is not hashed."""

    device: str = "cpu"
    num_threads: Positive = 1
    checkpoint_seconds: NonNegativeFloat = 60.0
    """A kill costs at most this much work."""
    actor_timeout_seconds: PositiveFloat = 300.0
    """An actor of the asynchronous clock that brings no unroll for so long, the time in which it
    starts included, is replaced."""
    ray_address: str | None = None
    """Ray cluster of those actors; None: the environment's RAY_ADDRESS, else this machine."""


def num_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
