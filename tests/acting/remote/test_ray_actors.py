"""Actors as real processes: they learn, die, hang, and are refused."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorder import agrees
from remote_runs import BATCH_STEPS, ENVS, SPEC, UNROLL, few
from small_runs import changed, rows_of

from thaw.acting.remote.messages import ActorsFailed, ActorsRefused, Delivery
from thaw.acting.remote.ray_actors import RemoteActors
from thaw.config.errors import InputError
from thaw.config.run_spec import RunSpec
from thaw.config.runtime import Runtime
from thaw.files.run_folder import RunFolder
from thaw.policy.policy import Policy
from thaw.policy.trajectory import Trajectory
from thaw.training.progress import Progress, Stopped
from thaw.training.run import execute_run

ray = pytest.importorskip("ray", reason="pip install 'thaw[ray]'")


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """One Ray for the tests to which it does not matter whose it is: starting takes seconds."""
    handler = signal.getsignal(signal.SIGTERM)
    ray.init(
        "local", num_cpus=8, include_dashboard=False, logging_level=logging.ERROR,
        log_to_driver=False, object_store_memory=100 * 2**20,
    )  # fmt: skip
    yield
    ray.shutdown()
    signal.signal(signal.SIGTERM, handler)


def start(spec: RunSpec, **settings: Any) -> RemoteActors:
    return RemoteActors(
        spec, Runtime(**settings), observation_shape=(4,), num_actions=4, store_embeddings=False
    )


def weights_of(policy: Policy) -> dict[str, Any]:
    return {name: tensor.detach().numpy() for name, tensor in policy.parts()}


def acted(policy: Policy, delivery: Delivery) -> bool:
    """Whether these weights chose the actions of an unroll."""
    tensors: dict[str, Any] = {n: torch.from_numpy(a.copy()) for n, a in delivery.unroll.items()}
    return agrees(policy.eval(), Trajectory(**({"embeddings": None} | tensors)))


def process_ids(actors: RemoteActors) -> list[int]:
    asked = [slot.handle.__ray_call__.remote(lambda _: os.getpid()) for slot in actors.slots]
    return [int(process_id) for process_id in ray.get(asked)]


@pytest.mark.slow
def test_five_actors_learn(tmp_path: Path) -> None:
    """With a Ray of the run's own, which ends with it."""
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    was_running = ray.is_initialized()
    result = execute_run(SPEC, RunFolder(tmp_path), Runtime())
    assert ray.is_initialized() == was_running
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert result["steps"] == SPEC.steps
    assert result["evaluation"]["mean_return"] > 7, "chance is 2.5, the best is 10"
    progress = rows_of(tmp_path / "progress.csv")
    assert [int(row["steps"]) for row in progress] == [BATCH_STEPS * (k + 1) for k in range(100)]
    lags = np.array([float(row["mean_policy_lag"]) for row in progress])
    assert lags[0] == 0
    assert 0 < lags.mean() < 4
    largest = np.array([float(row["max_policy_lag"]) for row in progress])
    assert (largest >= lags).all()
    assert {row["actor_restarts"] for row in progress} == {"0.0"}
    fractions = [float(row["learner_wait_fraction"]) for row in progress]
    assert all(0 <= fraction <= 1 for fraction in fractions)
    assert any(float(row["mean_rho"]) != pytest.approx(1, abs=1e-4) for row in progress)
    steps = [int(row["step"]) for row in rows_of(tmp_path / "episodes.csv")]
    assert steps == sorted(steps)
    training = [r for r in rows_of(tmp_path / "episodes.csv") if r["phase"] == "training"]
    # Ten steps are an episode; the unrolls that the learner did not use were dropped with theirs.
    assert SPEC.steps // 10 <= len(training) <= SPEC.steps // 10 + ENVS


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 10

    folder, spec = RunFolder(tmp_path), few(num_updates=12)
    with pytest.raises(Stopped):
        execute_run(spec, folder, Runtime(), should_stop=should_stop)
    saved = folder.saved_steps()
    assert 0 <= saved < spec.steps
    seen: list[Progress] = []
    result = execute_run(spec, folder, Runtime(), watch=seen.append)
    assert seen[0].steps == saved + 4 * UNROLL
    assert result["steps"] == spec.steps
    updates = [int(row["updates"]) for row in rows_of(folder.progress.path)]
    assert updates == list(range(1, 13))


@pytest.mark.usefixtures("ray_here")
def test_weights_arrive_at_the_actors_and_unrolls_at_the_learner() -> None:
    actors = start(few())
    policies = [Policy((4,), 4, SPEC.agent) for _ in range(3)]
    seen = []
    for version, policy in enumerate(policies):
        actors.publish(weights_of(policy), version)
        for _ in range(6):
            delivery = actors.receive()
            assert [k for k, p in enumerate(policies) if acted(p, delivery)] == [delivery.version]
            assert delivery.unroll["observations"].shape == (UNROLL + 1, 2, 4)
            assert delivery.unroll["behavior_logits"].shape == (UNROLL, 2, 4)
            assert delivery.unroll["state"].shape == (2, 2, 16)
            seen.append(delivery.version)
        # What was asked for before is still answered, by an actor that starts late even after the
        # others' new ones: at most two unrolls of each actor.
        assert version in seen[-6:]
        assert sum(old < version for old in seen[-6:]) <= 4
    # The actors are separate processes, with other environments and other random numbers.
    ids = process_ids(actors)
    assert len({*ids, os.getpid()}) == 3
    actors.close()


@pytest.mark.usefixtures("ray_here")
def test_actors_do_not_wait_for_the_learner_but_run_ahead_of_it_a_little_only() -> None:
    actors = start(few())
    actors.publish(weights_of(Policy((4,), 4, SPEC.agent)), 0)
    for _ in range(4):
        actors.receive()
    time.sleep(2)  # the learner learns; meanwhile the second requests were answered, and no more
    counts = [slot.handle.__ray_call__.remote(lambda a: a.actor.num_steps) for slot in actors.slots]
    # Four were taken; up to one of each actor was asked for again while the learner waited.
    assert 40 <= sum(ray.get(counts)) / 2 <= 60 + 2 * UNROLL
    actors.close()


@pytest.mark.usefixtures("ray_here")
def test_a_killed_actor_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    actors = start(few())
    actors.publish(weights_of(Policy((4,), 4, SPEC.agent)), 0)
    actors.receive()
    before = process_ids(actors)
    os.kill(before[0], signal.SIGKILL)
    sizes = []
    while actors.num_restarts == 0:
        actors.publish(weights_of(Policy((4,), 4, SPEC.agent)), 1)
        sizes.append(actors.receive().unroll["actions"].shape)
    assert "actor 0 is replaced" in caplog.text
    after = process_ids(actors)
    assert before[0] != after[0]
    assert before[1] == after[1]
    # The new one brings unrolls, of other random numbers than the first one's.
    environments: set[int] = set()
    deadline = time.monotonic() + 60
    while len(environments) < 4 and time.monotonic() < deadline:
        environments |= {episode.environment for episode in actors.receive().episodes}
    assert environments == {0, 1, 2, 3}
    assert actors.num_restarts == 1
    assert actors.slots[0].num_failures == 0
    actors.close()


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.usefixtures("ray_here")
def test_a_run_outlives_a_hanging_actor(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hang, folder = tmp_path / "hang", RunFolder(tmp_path / "run")
    spec = few(num_updates=1_000_000, hang=str(hang))
    steps: list[int] = []

    def watch(progress: Progress) -> None:
        steps.append(progress.steps)
        if len(steps) == 3:
            hang.touch()

    # Not less: an actor's first unroll is due in that time too, and it imports torch before.
    runtime = Runtime(actor_timeout_seconds=15)
    started = time.monotonic()
    with pytest.raises(Stopped):
        execute_run(
            changed(spec, agent={"learning_rate_schedule": "constant"}),
            folder,
            runtime,
            watch=watch,
            should_stop=lambda: "is replaced: it brought no unroll in 15 seconds" in caplog.text,
        )
    assert not hang.exists()
    assert time.monotonic() - started > 15
    assert folder.saved_steps() == steps[-1] > 10 * 4 * UNROLL, "the other actor went on"


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_actors_that_keep_failing_end_the_run_with_their_error_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    fail = tmp_path / "fail"
    spec, folder = few(num_updates=6, fail=str(fail)), RunFolder(tmp_path / "run")

    def watch(progress: Progress) -> None:
        if progress.steps == 3 * 4 * UNROLL:
            fail.touch()

    with pytest.raises(ActorsFailed) as caught:
        execute_run(spec, folder, Runtime(), watch=watch)
    assert str(caught.value).endswith(
        "failed 3 times in a row, at last: RuntimeError: the camera is broken"
    )
    assert "remote_envs.py" in str(caught.value.__cause__)
    saved = folder.saved_steps()
    assert saved >= 3 * 4 * UNROLL
    fail.unlink()
    seen: list[Progress] = []
    result = execute_run(spec, folder, Runtime(), watch=seen.append)
    assert result["steps"] == spec.steps
    assert seen[0].steps == saved + 4 * UNROLL


@pytest.mark.usefixtures("ray_here")
def test_an_environment_that_only_actors_cannot_make_is_the_user_s_error(tmp_path: Path) -> None:
    spec = few(only_process=os.getpid())
    with pytest.raises(InputError) as caught:
        execute_run(spec, RunFolder(tmp_path), Runtime())
    assert isinstance(caught.value, ActorsRefused)
    assert str(caught.value) == (
        "flavor 'gym/remote_envs:Context-v0' cannot be made: ValueError: this machine has no camera"
    )
