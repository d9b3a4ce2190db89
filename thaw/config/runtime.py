"""Settings that do not decide a result: device, threads, timeouts, how often to save."""

from __future__ import annotations

import os
from pathlib import Path

from thaw.config.strict import Config, NonNegativeFloat, Positive, PositiveFloat

STALL_SECONDS = 600.0


class Runtime(Config, frozen=True, kw_only=True):
    """Settings that do not decide a result; they are not hashed."""

    device: str = "cpu"
    num_threads: Positive = 1
    checkpoint_seconds: NonNegativeFloat = 60.0
    """Seconds between checkpoints; a killed run loses at most this much work."""
    actor_timeout_seconds: PositiveFloat = 300.0
    """An actor of the asynchronous clock that delivers no unroll for this long is replaced; the
    time in which it starts counts."""
    stall_seconds: PositiveFloat = STALL_SECONDS
    """A run that makes no progress for this long is ended, and in a suite started once more; the
    time in which it starts counts. Progress is an update or a step of an evaluation."""
    ray_address: str | None = None
    """Ray cluster of these actors, and of a suite's runs if Ray executes them; None: the variable
    RAY_ADDRESS, else this machine."""
    runs_per_gpu: Positive = 1
    """How many runs share one GPU, if Ray executes them; each can take its share of the memory."""


def num_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_mib() -> float:
    """Return this process's peak memory in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's getrusage would count what the parent had
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS
