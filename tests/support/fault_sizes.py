"""How many faults the tests in tests/faults try, which ones, and how long they wait."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest

TRIES = int(os.environ.get("FAULT_TRIES", "1"))
"""1 is the sample of `make test`; `make test-faults` says more."""

SEED = int(os.environ.get("FAULT_SEED", "0"))
"""Decides all that is drawn; printed by the tests."""

T = TypeVar("T")


def is_sample() -> bool:
    """Whether a few tries must do."""
    return TRIES <= 1


def tries(sample: int, each: int) -> int:
    """Return how often to try: ``sample`` times, or ``each`` times for each of TRIES."""
    return sample if is_sample() else each * TRIES


def together(name: str) -> list[pytest.MarkDecorator]:
    """Keep tests of the sample in one test process, so that what they share is made once."""
    return [pytest.mark.xdist_group(name)] if is_sample() else []


def generator(*purpose: object) -> random.Random:
    """Return random numbers for one purpose."""
    return random.Random(f"{SEED} {purpose}")  # noqa: S311 - no secret is drawn


def drawn(items: Iterable[T], count: int, *purpose: object) -> list[T]:
    """Draw up to ``count`` items, each once, in their order."""
    items = list(items)
    numbers = generator(*purpose).sample(range(len(items)), min(count, len(items)))
    return [items[number] for number in sorted(numbers)]


def patience(seconds: float) -> float:
    """Return a limit for a machine that other work shares: longer where many processes wait."""
    waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
    return seconds * min(max(1.0, waiting), 6.0)


def wait_until(condition: Callable[[], bool], seconds: float, step: float = 0.05) -> bool:
    """Wait until a condition holds; return whether it did before the time was over."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            return False
        time.sleep(step)
    return True
