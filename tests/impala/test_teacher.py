"""Kickstarting: the divergence from the teacher, whose LSTM goes on from batch to batch."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
from random_unrolls import random_trajectory

from thaw.config.agent import AgentConfig
from thaw.config.update_rule import TeacherRule
from thaw.impala.learner import Learner
from thaw.impala.teacher import Teacher
from thaw.policy.policy import Policy
from thaw.policy.trajectory import Trajectory
from thaw.training.clocks import acting_copy

CONFIG = AgentConfig(
    embedding="impala_shallow", embedding_size=16, lstm_size=8, fc_size=8, unroll_length=5,
    learning_rate=0.02, learning_rate_schedule="constant",
)  # fmt: skip


def small_policy(seed: int) -> Policy:
    torch.manual_seed(seed)
    policy = Policy((36, 36, 3), 4, CONFIG)
    with torch.no_grad():
        policy.head.policy.weight.mul_(20)
    return policy


def teacher(rule: TeacherRule, seed: int = 1) -> Teacher:
    return Teacher(acting_copy(small_policy(seed)), rule, 3)


def logits_of(policy: Policy, unroll: Trajectory, state: torch.Tensor) -> torch.Tensor:
    assert unroll.observations is not None
    return policy.unroll(
        policy.embed(unroll.observations), unroll.first, unroll.last_actions, unroll.last_rewards,
        state,
    ).logits  # fmt: skip


def joined(first: Trajectory, second: Trajectory) -> Trajectory:
    """Two unrolls of T steps as one of 2 T: the entry between them is the second's entry 0."""
    steps = len(first.actions)
    fields: dict[str, Any] = {}
    for name, tensor in first.tensors().items():
        both = (tensor[:steps], getattr(second, name))
        fields[name] = tensor if name == "state" else torch.cat(both)
    return dataclasses.replace(first, **fields)


def test_the_divergence_equals_the_one_by_hand_over_both_unrolls() -> None:
    unrolls = [random_trajectory(seed=seed) for seed in (0, 1)]
    valid = unrolls[1].valid.clone()
    valid[2, 1] = False
    unrolls[1] = dataclasses.replace(unrolls[1], valid=valid)
    teaches = teacher(TeacherRule(0.7))
    student = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    losses = [float(teaches.loss(unroll, student[k])) for k, unroll in enumerate(unrolls)]
    whole = joined(*unrolls)
    with torch.no_grad():
        theirs = logits_of(teaches.policy, whole, torch.zeros(2, 3, 8))[:-1].double().softmax(-1)
    ours = student.flatten(0, 1).double().softmax(-1)
    divergence = (theirs * (theirs / ours).log()).sum(-1) * whole.valid
    expected = [0.7 * float(part.sum()) for part in (divergence[:5], divergence[5:])]
    assert losses == pytest.approx(expected, rel=1e-4)
    assert losses[0] != pytest.approx(losses[1], rel=1e-2)


def test_the_loss_has_the_divergence_with_the_weight_of_the_moment() -> None:
    totals = {}
    for weight in (None, 0.5):
        student = small_policy(2)
        teaches = None if weight is None else teacher(TeacherRule(weight, 100, 0.1))
        learner = Learner(student, CONFIG, 1000, teaches)
        unroll = random_trajectory()
        alone = teacher(TeacherRule(1.0))
        with torch.no_grad():
            assert unroll.observations is not None
            mine = logits_of(student, unroll, unroll.state)[:-1]
            divergence = float(alone.loss(unroll, mine))
        totals[weight] = float(learner.update(unroll, 50)["total_loss"])
    assert divergence > 1
    assert totals[0.5] - totals[None] == pytest.approx(0.3 * divergence, rel=1e-3)


def test_a_strong_teacher_is_followed() -> None:
    """Without the environment's rewards in its way, the student becomes its teacher."""
    student, unroll = small_policy(2), random_trajectory()
    distances = []
    teaches = teacher(TeacherRule(100.0))
    learner = Learner(student, CONFIG, 1000, teaches)
    for update in range(60):
        teaches.state.zero_()  # the same unroll again
        with torch.no_grad():
            mine = logits_of(student, unroll, unroll.state)[:-1]
        distances.append(float(copy.deepcopy(teaches).loss(unroll, mine)))
        learner.update(unroll, update)
    assert distances[-1] < 0.2 * distances[0]
    before = [p.clone() for p in small_policy(1).parameters()]
    for parameter, expected in zip(teaches.policy.parameters(), before, strict=True):
        assert torch.equal(parameter, expected), "the teacher learns nothing"
