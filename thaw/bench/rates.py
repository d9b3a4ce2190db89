"""Measure rates in rounds: every round measures each rate once; ratios are within rounds.

A rate is decisions per second, summed over all environments and all runs that act at once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import msgspec
import torch

from thaw.bench.processes import TrainingProcesses, training_processes
from thaw.bench.subjects import TRAINED, Subject, subjects_here
from thaw.bench.workload import WARM_UP_SECONDS, Workload, variant
from thaw.envs.families import flavor_spaces, one_engine_thread
from thaw.policy.precision import count_multiplications

GROUPED = ("update_all", "freeze_embedding")
"""Also measured with the environments in two groups, if their number is even."""


class Rates(NamedTuple):
    """Measured rates."""

    steps_per_second: dict[str, list[float]]
    """By name, one entry per round. ``environment``, ``act``, ``learn`` and ``act and learn`` are
    measured alone; ``<clock> <condition>`` is whole training; ``<clock> <condition>, two groups``
    is the same with the environments in two groups; ``packed`` is several runs at once. ``matrix
    product`` is multiplications per second, not decisions."""
    peak_mib: float
    """Peak memory of one run's process."""
    num_multiplications: int = 0
    """In the embedding's convolutions, for one picture; backwards there are twice as many."""


def measure(
    workload: Workload,
    *,
    num_rounds: int,
    seconds: float,
    watch: Callable[[float], None] = lambda amount: None,
) -> Rates:
    """Measure a workload.

    Args:
        workload: The workload.
        num_rounds: Number of measurements of each rate.
        seconds: Shortest time of one measurement, which ends with a whole update.
        watch: Called after each measurement with its fraction of the whole work.

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
    warm_up_seconds = min(seconds, WARM_UP_SECONDS)
    with ExitStack() as stack:
        subjects = subjects_here(lockstep, stack)

        def elsewhere(
            workload: Workload, names: dict[str, str], num_processes: int = 1
        ) -> TrainingProcesses:
            """Measure conditions, by the name of their rate, in other processes."""
            conditions = tuple(names.values())
            processes = stack.enter_context(
                training_processes(workload, num_processes, conditions, warm_up_seconds)
            )
            for name, condition in names.items():
                others.append(Subject(name, partial(processes.steps_per_second, condition)))
            return processes

        others: list[Subject] = []
        # The overlapped clock has twice the threads, which would slow down others in its process.
        elsewhere(overlapped, {f"overlapped {c}": c for c in TRAINED})
        if workload.num_envs % 2 == 0:
            for one in (lockstep, overlapped) if workload.device != "cpu" else (lockstep,):
                names = {f"{one.agent.clock} {c}, two groups": c for c in GROUPED}
                elsewhere(variant(one, env_groups=2), names)
        if workload.asynchronous:
            with_actors = variant(lockstep, clock="asynchronous")
            for condition in TRAINED:  # a process can use only one Ray cluster
                elsewhere(with_actors, {f"asynchronous {condition}": condition})
        packed = elsewhere(alone, {"packed": "update_all"}, workload.num_packed)
        for subject in subjects:
            subject.rate(warm_up_seconds)
        subjects += others
        found: dict[str, list[float]] = {subject.name: [] for subject in subjects}
        for turn in range(num_rounds):
            # Rotate the order, so that no subject always follows the same one.
            shift = turn % len(subjects)
            for subject in subjects[shift:] + subjects[:shift]:
                found[subject.name].append(subject.rate(seconds))
                watch(1 / num_rounds / len(subjects))
        shape = flavor_spaces(workload.flavor, workload.environment).observation_shape
        return Rates(found, packed.peak_mib(), count_multiplications(workload.agent, shape))
