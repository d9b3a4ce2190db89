"""Actors as real processes: they learn, die, hang, are refused, and end with their run."""

from __future__ import annotations

import csv
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from command_line import TINY, thaw_command, thaw_process
from recorder import agrees

from thaw.acting.remote.messages import ActorsFailed, ActorsRefused, Delivery
from thaw.acting.remote.ray_actors import RemoteActors
from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.run_spec import EvaluationConfig, RunSpec
from thaw.config.runtime import Runtime
from thaw.config.update_rule import UpdateRule
from thaw.files.run_folder import RunFolder
from thaw.policy.policy import Policy
from thaw.training.progress import Progress, Stopped
from thaw.training.run import execute_run
from thaw.trajectory import Trajectory

ray = pytest.importorskip("ray", reason="pip install 'thaw[ray]'")

UNROLL, ENVS, ACTORS = 10, 10, 5
BATCH_STEPS = UNROLL * ENVS
SPEC = RunSpec(
    condition="pretrain",
    flavor=Flavor("gym/remote_envs:Context-v0"),
    update_rule=UpdateRule("scratch"),
    seed=0,
    steps=100 * BATCH_STEPS,
    environment={"num_envs": ENVS},
    agent=AgentConfig(
        embedding="mlp", embedding_size=32, lstm_size=16, fc_size=16, unroll_length=UNROLL,
        clock="asynchronous", learning_rate=0.01, discount=0.0,
    ),
    evaluation=EvaluationConfig(episodes=100),
)  # fmt: skip
SMALL = ("--set", "environment.downsample=16", "--set", "environment.frames_per_step=8")


def changed(spec: RunSpec, agent: dict[str, Any] | None = None, **changes: Any) -> RunSpec:
    if agent is not None:
        changes["agent"] = msgspec.structs.replace(spec.agent, **agent)
    return msgspec.structs.replace(spec, **changes)


def few(num_actors: int = 2, num_updates: int = 10, **environment: Any) -> RunSpec:
    return changed(
        SPEC,
        agent={"actors": num_actors},
        steps=num_updates * 4 * UNROLL,
        environment={"num_envs": 4} | environment,
        evaluation=EvaluationConfig(episodes=4),
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


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


# ------------------------------------------------------------------------------- a whole run


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
    # Ten steps are an episode; the unrolls that nobody learned from were dropped with theirs.
    assert SPEC.steps // 10 <= len(training) <= SPEC.steps // 10 + ENVS


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


# ------------------------------------------------------------------------------- what arrives


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
    # The actors are processes of their own, with other environments and other random numbers.
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


# ------------------------------------------------------------------------- deaths and the like


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


# --------------------------------------------------------------------------------- wrong input


def test_without_ray_the_error_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"needs Ray: pip install 'thaw\[ray\]'") as caught:
        execute_run(few(), RunFolder(tmp_path / "run"), Runtime())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
    lockstep = changed(few(num_updates=1), agent={"clock": "lockstep"})
    assert execute_run(lockstep, RunFolder(tmp_path / "run"), Runtime())["steps"] > 0


def test_an_address_at_which_nobody_listens_is_found_out_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # but does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(InputError, match=f"no Ray cluster answers at '{address}'"):
            execute_run(few(), RunFolder(tmp_path / "run"), Runtime(ray_address=address))
    assert time.monotonic() - started < 10
    assert not (tmp_path / "run").exists()


def test_wrong_input_is_one_line_and_status_2(tmp_path: Path) -> None:
    asynchronous = ("train", "catch", "--out", "run", "--steps", "100", *SMALL)
    for settings, message in (
        (
            ("agent.clock=asynchronous", "environment.num_envs=4"),
            "agent.actors is 5 and environment.num_envs 4; each actor needs an environment",
        ),
        (("agent.clock=asynchronous", "agent.actors=0"), "agent.actors: expected a whole number"),
        (("agent.clock=asynchronos",), "did you mean 'asynchronous'?"),
    ):
        pairs = [word for setting in settings for word in ("--set", setting)]
        spoken = thaw_command(*asynchronous, *pairs, cwd=tmp_path)
        assert spoken.status == 2, spoken
        assert message in spoken.err
        assert spoken.err.count("\n") == 1
        assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------- no process is left


def descendants(mark: str, place: Path) -> list[int]:
    """Every process that inherited a mark in its environment, or writes in a folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            files = [os.readlink(file) for file in (folder / "fd").iterdir()]
            is_there = any(file.startswith(str(place)) for file in files)
            if is_there or mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def tmp_path_of_few_letters() -> Path:
    """Ray's sockets lie in it, and their paths may have 107 letters."""
    return Path(tempfile.mkdtemp(dir="/tmp"))


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_all_processes_end_with_the_run(tmp_path: Path, signum: signal.Signals) -> None:
    mark = f"mark-{uuid.uuid4()}"
    command = (
        "train", "catch", "--out", "run", "--steps", "1_000_000", *SMALL, "--set",
        "agent.clock=asynchronous", "--set", "agent.actors=2", "--set", "environment.num_envs=4",
        "--set", "agent.embedding=impala_shallow",
    )  # fmt: skip
    folder = tmp_path_of_few_letters()
    with thaw_process(*command, cwd=tmp_path, THAW_TEST=mark, TMPDIR=str(folder)) as process:
        progress = tmp_path / "run" / "progress.csv"
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and not (progress.exists() and len(rows_of(progress))):
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        assert len(descendants(mark, folder)) > 6, "Ray has seven, and there are two actors"
        # Ctrl-C reaches every process of the group, Ray's too.
        send = os.killpg if signum == signal.SIGINT else os.kill
        send(process.pid, signum)
        _, err = process.communicate(timeout=60)
    if signum == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 128 + signum
        assert err == "saved in run; the same command continues\n"
        assert RunFolder(tmp_path / "run").saved_steps() > 0
        assert list(folder.glob("thaw-ray-*")) == []
    deadline = time.monotonic() + 20
    while descendants(mark, folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert descendants(mark, folder) == []
    assert list(folder.glob("thaw-ray-*")) == []
    shutil.rmtree(folder)


@pytest.mark.slow
def test_two_asynchronous_runs_of_a_suite_work_at_the_same_time(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(
        TINY.replace("seeds: 1", "seeds: 2").replace("pretrain_steps: 400", "pretrain_steps: 4000")
    )
    spoken = thaw_command(
        "run", "tiny.yaml", "--out", "suite", "--workers", "2", "--set", "conditions=[update_all]",
        "--set", "agent.clock=asynchronous", "--set", "agent.actors=2", cwd=tmp_path,
    )  # fmt: skip
    assert spoken.status == 0, spoken.err
    for seed in (0, 1):
        for run in ("catch/pretrain", "catch@large_ball/update_all"):
            folder = RunFolder(tmp_path / "suite" / "runs" / run / f"seed{seed}")
            assert folder.is_done
            assert rows_of(folder.progress.path)[-1]["mean_policy_lag"]
