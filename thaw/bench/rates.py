"""Measure rates side by side: every round takes all of them in turn, ratios are within rounds.

All rates are decisions per second, summed over the environments and runs that act at once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

import msgspec
import torch

from thaw.bench.processes import ask, serving
from thaw.bench.subjects import TRAINED, Subject, steps_per_second, subjects_here
from thaw.bench.workload import WARM_UP_SECONDS, Workload, variant
from thaw.envs.families import one_engine_thread

GROUPED = ("update_all", "freeze_embedding")
"""Also measured with the environments in two groups, where their number is even."""


class Rates(NamedTuple):
    """What came out."""

    steps_per_second: dict[str, list[float]]
    """By what was measured, one entry a round. ``environment``, ``act`` and ``learn`` are each
    alone; ``<clock> <condition>`` is whole training, with ``, two groups`` behind it that with
    the environments in two groups; ``packed`` several runs at once."""
    peak_mib: float
    """Of one run's process."""


def measure(
    workload: Workload,
    *,
    num_rounds: int,
    seconds: float,
    watch: Callable[[float], None] = lambda amount: None,
) -> Rates:
    """Measure a workload.

    Args:
        workload: What.
        num_rounds: How often each rate is measured.
        seconds: Of each measurement, at least; whole updates are timed.
        watch: Told the share of the work that is done, between measurements.

    Raises:
        InputError: The flavor, its options or the network are wrong.
    """
    torch.set_num_threads(workload.num_threads)
    lockstep = variant(workload, clock="lockstep", env_groups=1)
    overlapped = variant(workload, clock="overlapped", env_groups=1)
    alone = msgspec.structs.replace(
        lockstep,
        num_threads=1,
        environment=workload.environment | one_engine_thread(workload.flavor),
    )
    with ExitStack() as stack:
        subjects = subjects_here(lockstep, stack)

        def elsewhere(
            workload: Workload, names: dict[str, str], num_processes: int = 1
        ) -> list[Subject]:
            conditions = tuple(names.values())
            processes = stack.enter_context(serving(workload, num_processes, conditions))
            return [Subject(name, None, processes, names[name]) for name in names]

        # The overlapped clock's two thread teams would slow down whoever shares their process.
        others = elsewhere(overlapped, {f"overlapped {c}": c for c in TRAINED})
        if workload.num_envs % 2 == 0:
            for one in (lockstep, overlapped) if workload.device != "cpu" else (lockstep,):
                names = {f"{one.agent.clock} {c}, two groups": c for c in GROUPED}
                others += elsewhere(variant(one, env_groups=2), names)
        if workload.asynchronous:
            with_actors = variant(lockstep, clock="asynchronous")
            for condition in TRAINED:  # Ray lets a process have one cluster
                others += elsewhere(with_actors, {f"asynchronous {condition}": condition})
        others += elsewhere(alone, {"packed": "update_all"}, workload.num_packed)
        for subject in subjects:
            assert subject.repeat is not None
            steps_per_second(subject.repeat, WARM_UP_SECONDS, workload.device)
        subjects += others
        found: dict[str, list[float]] = {subject.name: [] for subject in subjects}
        for turn in range(num_rounds):
            shift = turn % len(subjects)  # each goes first once: what follows what is no constant
            for subject in subjects[shift:] + subjects[:shift]:
                if subject.repeat is None:
                    rate = sum(ask(subject.processes, subject.condition, seconds))
                else:
                    rate = steps_per_second(subject.repeat, seconds, workload.device)
                found[subject.name].append(rate)
                watch(1 / num_rounds / len(subjects))
        return Rates(found, max(ask(others[-1].processes, "peak MiB")))
