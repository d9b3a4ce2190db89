from __future__ import annotations

import os

import pytest

from thaw.config.runtime import num_cores
from thaw.experiment.estimate import Estimate, estimate
from thaw.experiment.plan import plan
from thaw.experiment.suites import load_suite


def of(*overrides: str, workers: int | None = 2) -> Estimate:
    return estimate(plan(load_suite("catch-paper", overrides)), (60, 40, 3), workers)


def test_time_grows_with_steps_seeds_and_fewer_workers() -> None:
    assert of(workers=1).hours == pytest.approx(2 * of().hours)
    assert of("seeds=10").hours == pytest.approx(2 * of("seeds=5").hours)
    assert of("pretrain_steps=10_000_000").hours > of().hours
    assert of("agent.embedding=impala_shallow").hours < of().hours


def test_disk_grows_with_runs_and_weights() -> None:
    assert of("seeds=10").disk_mib == pytest.approx(2 * of("seeds=5").disk_mib)
    assert of("agent.lstm_size=512").disk_mib > of().disk_mib


def test_an_embedding_of_ones_own_is_taken_for_the_large_one() -> None:
    assert of("agent.embedding=my_module:my_network").hours == of().hours


def test_by_default_every_core_works() -> None:
    assert of(workers=None).num_workers == num_cores()
    assert 1 <= num_cores() <= (os.cpu_count() or 1)


def test_observations_without_a_picture_are_cheap() -> None:
    vectors = estimate(plan(load_suite("catch-paper")), (8,), 2)
    assert 0 < vectors.hours < of().hours


def test_the_environment_and_the_evaluations_count() -> None:
    def atari(*overrides: str) -> float:
        return estimate(plan(load_suite("atari-quick", overrides)), (42, 42, 4), 2).hours

    planned, catch = plan(load_suite("atari-quick")), plan(load_suite("catch-quick"))
    catch_hours = estimate(catch, (42, 42, 4), 2).hours
    assert atari() / planned.total_steps > 2 * catch_hours / catch.total_steps
    assert atari("evaluation.episodes=1000") > 2 * atari()
    assert atari("evaluation.episodes=1000", "evaluation.source=false") < atari(
        "evaluation.episodes=1000"
    )
