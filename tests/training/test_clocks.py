from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from counting_env import make_counting_env
from gymnasium.vector import AutoresetMode
from recorder import STEPS, Recorder, agrees, make_config, make_policy

from thaw.acting.actor import Actor
from thaw.acting.collector import Collector
from thaw.config import AgentConfig, Flavor, RunSpec, Runtime
from thaw.config.update_rule import UpdateRule
from thaw.impala.learner import Learner
from thaw.policy.policy import Policy
from thaw.policy.trajectory import EmbeddingGraph, Trajectory
from thaw.training.build import build_clock
from thaw.training.clocks import Clock, Lockstep, Overlapped, acting_copy, synchronize

CLOCKS = [Lockstep, Overlapped]
Tensors = dict[str, torch.Tensor]
MakeCollector = Callable[[Policy], Collector]


def make_collector(
    mode: AutoresetMode = AutoresetMode.SAME_STEP, on_step: Callable[[], None] = lambda: None
) -> MakeCollector:
    return lambda policy: Collector(
        [Actor(make_counting_env(mode=mode, on_step=on_step), policy, seed=1)]
    )


def record(kind: type[Lockstep] | type[Overlapped], num_updates: int = 6) -> Recorder:
    config = make_config()
    learner = Recorder(make_policy(config), config)
    clock = kind(make_collector(), learner)
    for update in range(num_updates):
        clock.update(last=update == num_updates - 1)
    clock.close()
    return learner


def test_lockstep_learns_with_the_weights_that_acted() -> None:
    learner = record(Lockstep)
    for k, trajectory in enumerate(learner.trajectories):
        for j, policy in enumerate(learner.policies):
            assert agrees(policy, trajectory) == (j == k), (k, j)


def test_overlapped_acts_with_the_weights_of_exactly_one_update_ago() -> None:
    learner = record(Overlapped)
    # Unroll 0 is collected before anything is learned, and unroll 1 during update 0.
    for k, trajectory in enumerate(learner.trajectories):
        for j, policy in enumerate(learner.policies):
            assert agrees(policy, trajectory) == (j == max(0, k - 1)), (k, j)


@pytest.mark.parametrize("kind", CLOCKS)
def test_no_step_is_lost_or_learned_from_twice(kind: type[Lockstep] | type[Overlapped]) -> None:
    learner = record(kind)
    for b in (0, 1):
        led_to = [t.rewards[:, b] - t.actions[:, b] / 16 for t in learner.trajectories]
        np.testing.assert_array_equal(torch.cat(led_to), np.arange(1, 6 * STEPS + 1))
    # The learning rate goes by the steps that were learned from before.
    assert learner.steps == [2 * STEPS * k for k in range(6)]


@pytest.mark.parametrize("kind", CLOCKS)
def test_after_the_announced_last_update_nothing_was_collected_in_vain(
    kind: type[Lockstep] | type[Overlapped],
) -> None:
    config = make_config()
    clock = kind(make_collector(), Learner(make_policy(config), config, 100))
    for update in range(4):
        clock.update(last=update == 3)
    clock.close()
    assert clock.collector.num_steps == clock.learned_steps == 4 * 2 * STEPS
    assert not [name for name in clock.get_state() if name.startswith("clock/")]


def test_overlapped_is_one_unroll_ahead_between_updates() -> None:
    config = make_config()
    clock = Overlapped(make_collector(), Learner(make_policy(config), config, 100))
    clock.update(last=False)
    assert (clock.learned_steps, clock.collector.num_steps) == (2 * STEPS, 4 * STEPS)
    clock.close()


@pytest.mark.parametrize("kind", CLOCKS)
def test_every_episode_is_reported_once(kind: type[Lockstep] | type[Overlapped]) -> None:
    config = make_config()
    clock = kind(make_collector(), Learner(make_policy(config), config, 100))
    episodes = []
    for update in range(6):
        episodes += clock.update(last=update == 5).episodes
    clock.close()
    # Environment 0 plays 3, 1, 4, ... and environment 1 plays 2, 5, ...; 30 steps of each.
    for b, cycle in enumerate(([3, 1, 4], [2, 5])):
        lengths = [e.length_steps for e in episodes if e.environment == b]
        assert lengths == (cycle * 10)[: len(lengths)]
        assert 30 - max(cycle) < sum(lengths) <= 30


@pytest.mark.parametrize("kind", CLOCKS)
def test_rows_spent_on_resets_are_not_counted_as_learned(
    kind: type[Lockstep] | type[Overlapped],
) -> None:
    config = make_config()
    learner = Recorder(make_policy(config), config)
    clock = kind(make_collector(AutoresetMode.NEXT_STEP), learner)
    updates = [clock.update(last=False) for _ in range(5)]
    clock.close()
    valid = [int(trajectory.valid.sum()) for trajectory in learner.trajectories]
    assert [update.num_steps for update in updates] == valid
    assert clock.learned_steps == sum(valid) < 5 * 2 * STEPS


class MeetingLearner(Learner):
    """Does not return from an update before the actor has taken a step during it."""

    def __init__(self, policy: Policy, config: AgentConfig, meeting: threading.Barrier) -> None:
        super().__init__(policy, config, 100)
        self.meeting = meeting
        self.threads: list[str] = []

    def update(
        self, trajectory: Trajectory, steps: int, graph: EmbeddingGraph | None = None
    ) -> Tensors:
        metrics = super().update(trajectory, steps, graph)
        self.threads.append(threading.current_thread().name)
        self.meeting.wait()
        return metrics


def test_overlapped_acts_and_learns_at_the_same_time() -> None:
    """Actor and learner wait for each other in mid-update; one after the other, none arrives."""
    meeting = threading.Barrier(2, timeout=10)
    num_steps = 0
    acting_threads = []

    def on_step() -> None:
        nonlocal num_steps
        num_steps += 1
        in_first_unroll = num_steps <= 2 * STEPS
        if not in_first_unroll and num_steps % (2 * STEPS) == STEPS:  # in the middle of an unroll
            acting_threads.append(threading.current_thread().name)
            meeting.wait()

    config = make_config()
    learner = MeetingLearner(make_policy(config), config, meeting)
    clock = Overlapped(make_collector(on_step=on_step), learner)
    for _ in range(3):
        clock.update(last=False)
    clock.close()
    assert len(acting_threads) == len(learner.threads) == 3
    assert not set(acting_threads) & set(learner.threads)


def test_lockstep_does_not() -> None:
    meeting = threading.Barrier(2, timeout=0.2)
    config = make_config()
    clock = Lockstep(make_collector(), MeetingLearner(make_policy(config), config, meeting))
    with pytest.raises(threading.BrokenBarrierError):
        clock.update(last=False)


def test_an_error_of_the_actor_s_thread_is_the_caller_s() -> None:
    num_steps = 0

    def on_step() -> None:
        nonlocal num_steps
        num_steps += 1
        if num_steps > 2 * STEPS:
            raise OSError("the emulator is gone")

    config = make_config()
    learner = Learner(make_policy(config), config, 100)
    clock = Overlapped(make_collector(on_step=on_step), learner)
    with pytest.raises(OSError, match="the emulator is gone"):
        clock.update(last=False)
    clock.close()


# --------------------------------------------------------------------------- save and restore


def saved(clock: Clock, learner: Learner) -> dict[str, Tensors]:
    parts = {
        "policy": dict(learner.policy.parts()),
        "optimizer": learner.state_tensors(),
        "clock": clock.get_state(),
    }
    return {part: {n: t.detach().clone() for n, t in ts.items()} for part, ts in parts.items()}


def restored(
    kind: type[Lockstep] | type[Overlapped], mode: AutoresetMode, state: dict[str, Tensors]
) -> tuple[Lockstep | Overlapped, Learner]:
    config = make_config()
    learner = Learner(make_policy(config), config, 1000)
    clock = kind(make_collector(mode), learner)
    learner.policy.load_state_dict(state["policy"])
    learner.load_state_tensors(state["optimizer"], 0)
    clock.set_state(state["clock"])
    return clock, learner


@pytest.mark.parametrize("kind", CLOCKS)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
# Resets take rows, so the update that should have been the last one may not be: "last" twice.
@pytest.mark.parametrize("last", [(False, False, False, False), (False, True, True, True)])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_restored_between_two_updates_it_goes_on_bit_for_bit(
    kind: type[Lockstep] | type[Overlapped], mode: AutoresetMode, last: tuple[bool, ...], at: int
) -> None:
    config = make_config()
    learner = Learner(make_policy(config), config, 1000)
    clock: Lockstep | Overlapped = kind(make_collector(mode), learner)
    for k in range(at):
        clock.update(last=last[k])
    other_clock, other_learner = restored(kind, mode, saved(clock, learner))
    for k in range(at, 4):
        expected = clock.update(last=last[k]).metrics
        found = other_clock.update(last=last[k]).metrics
        for name, value in expected.items():
            assert torch.equal(found[name], value), name
    clock.close()
    other_clock.close()
    parts = zip(learner.policy.parts(), other_learner.policy.parts(), strict=True)
    for (name, ours), (_, theirs) in parts:
        assert torch.equal(ours, theirs), name


# -------------------------------------------------------------------------------------- pieces


def test_the_config_names_the_clock() -> None:
    for name, kind in (("lockstep", Lockstep), ("overlapped", Overlapped)):
        config = make_config(clock=name)
        learner = Learner(make_policy(config), config, 100)
        spec = RunSpec(
            condition="pretrain", flavor=Flavor("catch"), update_rule=UpdateRule("scratch"),
            seed=0, steps=100, agent=config,
        )  # fmt: skip
        clock = build_clock(spec, Runtime(), [make_counting_env()], learner)
        assert type(clock) is kind
        clock.close()


def test_the_acting_policy_is_a_copy_that_does_not_train() -> None:
    policy = make_policy(make_config()).train()
    acting = acting_copy(policy)
    assert not any(module.training for module in acting.modules())
    assert not any(parameter.requires_grad for parameter in acting.parameters())
    assert policy.training
    assert all(parameter.requires_grad for parameter in policy.parameters())
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(1)
    for (name, ours), (_, theirs) in zip(policy.parts(), acting.parts(), strict=True):
        assert not torch.equal(ours, theirs), name
    synchronize(acting, policy)
    for (name, ours), (_, theirs) in zip(policy.parts(), acting.parts(), strict=True):
        assert torch.equal(ours, theirs), name
