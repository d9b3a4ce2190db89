"""The subjects of a measurement: environment, acting and learning alone; whole training."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
import torch

from thaw.acting.actor import Actor
from thaw.acting.collector import Collector
from thaw.bench.workload import Workload
from thaw.config import Runtime, UpdateRule
from thaw.envs.families import make_env, options_from
from thaw.envs.spaces import Spaces, VectorEnv
from thaw.impala.learner import Learner
from thaw.policy import Policy
from thaw.policy.update_rules import apply_update_rule
from thaw.training.build import build_clock, make_training_envs, policy_for
from thaw.training.clocks import Lockstep, empty_unroll

TRAINED = ("update_all", "freeze_head", "freeze_embedding")
"""The conditions whose whole training is measured."""
PARTS = ("environment", "act", "learn", "act and learn")
"""What a decision needs, each measured alone. ``act and learn`` is what lockstep does where the
embedding trains: it learns from the embeddings of acting (:mod:`thaw.training.clocks`)."""
PRODUCT_SIZE = 1024
"""Side of the matrices whose product shows what the processor can do at best."""
MANY_STEPS = 10**12
"""A budget that no measurement reaches, so that the learning rate stays the same."""


class Subject(NamedTuple):
    """Something whose rate is measured."""

    name: str
    rate: Callable[[float], float]
    """Takes the shortest time in seconds; returns decisions (or multiplications) per second."""


def subjects_here(workload: Workload, stack: ExitStack) -> list[Subject]:
    """Return the subjects that are measured in this process; the stack closes them."""
    agent, num_envs = workload.agent, workload.num_envs
    options = options_from(workload.flavor, workload.environment, 0)
    env = make_env(workload.flavor, num_envs, drawn_on=workload.device, **options)
    stack.callback(env.close)
    actor = Actor(env, _policy(workload, env, "update_all").eval(), seed=0, device=workload.device)
    num_actions = Spaces.of(env, workload.flavor).num_actions
    actions = np.random.default_rng(0).integers(0, num_actions, (64, num_envs))
    turn = 0

    def step_environment() -> int:
        nonlocal turn
        turn += 1
        env.step(actions[turn % len(actions)])
        return num_envs

    def act() -> int:
        actor.invalidate()
        actor.decide()
        return num_envs

    def evaluate() -> int:
        actor.step()
        return num_envs

    learner = Learner(_policy(workload, env, "update_all"), agent, MANY_STEPS)
    collector = Collector([actor])
    unroll = empty_unroll(collector, learner, with_embeddings=False)
    collector.collect(unroll, agent.discount)

    def learn() -> int:
        learner.update(unroll, 0)
        return agent.unroll_length * num_envs

    repeated = {
        "environment": step_environment,
        "act": act,
        "learn": learn,
        "act and learn": acting_and_learning(workload, env),
        "freeze_all": evaluate,
        "matrix product": matrix_product(workload),
    }
    for condition in TRAINED:
        repeated[f"lockstep {condition}"] = training_update(workload, stack, condition)
    return [Subject(name, rate_of(repeat, workload.device)) for name, repeat in repeated.items()]


def acting_and_learning(workload: Workload, env: VectorEnv) -> Callable[[], int]:
    """Return a function that acts for one unroll, without steps of the environment, and learns."""
    agent, num_envs = workload.agent, workload.num_envs
    learner = Learner(_policy(workload, env, "update_all"), agent, MANY_STEPS)

    def make_collector(policy: Policy) -> Collector:
        return Collector([Actor(env, policy, seed=0, device=workload.device)])

    clock = Lockstep(make_collector, learner)
    clock.update(last=False)
    (actor,) = clock.collector.actors

    def act_and_learn() -> int:
        actor.begin_unroll()
        for _ in range(agent.unroll_length):
            actor.invalidate()
            actor.decide()
        if clock.keeps_graph:
            actor.invalidate()
            actor.embeddings(bootstrap=True)
        learner.update(clock.unroll, 0, clock.collector.take_graph())
        return agent.unroll_length * num_envs

    return act_and_learn


def matrix_product(workload: Workload) -> Callable[[], int]:
    """Return a function that multiplies two matrices and returns its number of multiplications."""
    dtype = torch.bfloat16 if workload.agent.precision == "bfloat16" else torch.float32
    shape = (PRODUCT_SIZE, PRODUCT_SIZE)
    left, right = (torch.rand(shape, dtype=dtype, device=workload.device) for _ in range(2))

    def multiply() -> int:
        torch.mm(left, right)
        return PRODUCT_SIZE**3

    return multiply


def training_update(workload: Workload, stack: ExitStack, condition: str) -> Callable[[], int]:
    """Return a function that makes one update of whole training; the stack ends it."""
    spec = workload.spec
    envs = make_training_envs(spec, workload.device)
    for env in envs:
        stack.callback(env.close)
    learner = Learner(_policy(workload, envs[0], condition), workload.agent, MANY_STEPS)
    clock = build_clock(spec, Runtime(), envs, learner)
    stack.callback(clock.close)
    return lambda: clock.update(last=False).num_steps


def _policy(workload: Workload, env: VectorEnv, condition: str) -> Policy:
    """Build a policy under a condition's rule, as if pretrained."""
    torch.manual_seed(0)
    policy = policy_for(env, workload.agent, workload.flavor)
    source = {name: tensor.detach().clone() for name, tensor in policy.parts()}
    apply_update_rule(policy, UpdateRule(condition), source)
    return policy.to(workload.device)


def rate_of(repeat: Callable[[], int], device: str) -> Callable[[float], float]:
    """Return a function that repeats work and measures its rate.

    Args:
        repeat: Does the work once and returns its number of decisions.
        device: Device of the work; the measurement waits until a GPU has finished.

    Returns:
        A function that takes the shortest time in seconds and returns decisions per second.
    """

    def rate(seconds: float) -> float:
        steps, started = 0, time.perf_counter()
        while True:
            steps += repeat()
            if time.perf_counter() - started >= seconds:
                if device.startswith("cuda"):
                    torch.cuda.synchronize(device)
                return steps / (time.perf_counter() - started)

    return rate
