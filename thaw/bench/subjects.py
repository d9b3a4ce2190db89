"""What is measured: environment, acting and learning alone, and whole training."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np
import torch

from thaw.acting.actor import Actor
from thaw.acting.collector import Collector
from thaw.acting.remote.ray_actors import RemoteActors
from thaw.bench.workload import Workload
from thaw.config.run_spec import RunSpec
from thaw.config.runtime import Runtime
from thaw.config.update_rule import UpdateRule
from thaw.envs.families import make_env, options_from
from thaw.envs.spaces import Spaces, VectorEnv
from thaw.impala.learner import Learner
from thaw.policy.policy import Policy
from thaw.policy.update_rules import apply_update_rule
from thaw.training.asynchronous import Asynchronous
from thaw.training.build import build_clock, policy_for
from thaw.training.clocks import Clock, empty_unroll

TRAINED = ("update_all", "freeze_head", "freeze_embedding")

PARTS = ("environment", "act", "learn")
"""The three things that a decision needs, each measured alone."""


class Subject(NamedTuple):
    """Something that can be repeated."""

    name: str
    repeat: Callable[[], int] | None
    """Do it once; returns its decisions. None where processes do it."""
    processes: Sequence[Connection] = ()
    condition: str = ""
    """What these are asked for."""


def subjects_here(workload: Workload, stack: ExitStack) -> list[Subject]:
    """Return what is measured in this process."""
    agent, num_envs = workload.agent, workload.num_envs
    env = stack.enter_context(_environment(workload, 0, num_envs))
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
        actor.look_again()
        actor.decide()
        return num_envs

    learner = Learner(_policy(workload, env, "update_all"), agent, 10**12)
    collector = Collector([actor])
    unroll = empty_unroll(collector, learner)
    collector.collect(unroll, agent.discount)

    def learn() -> int:
        learner.update(unroll, 0)
        return agent.unroll_length * num_envs

    def evaluate() -> int:
        actor.step()
        return num_envs

    subjects = [
        Subject("environment", step_environment),
        Subject("act", act),
        Subject("learn", learn),
        Subject("freeze_all", evaluate),
    ]
    for condition in TRAINED:
        training = training_update(workload, stack, condition)
        subjects.append(Subject(f"lockstep {condition}", training))
    return subjects


def training_update(workload: Workload, stack: ExitStack, condition: str) -> Callable[[], int]:
    """Return one update of whole training."""
    agent = workload.agent
    group_size = workload.num_envs // agent.env_groups
    envs = [
        stack.enter_context(_environment(workload, first, group_size))
        for first in range(0, workload.num_envs, group_size)
    ]
    learner = Learner(_policy(workload, envs[0], condition), agent, 10**12)

    def act(policy: Policy) -> Collector:
        return Collector(
            [Actor(e, policy, seed=g, device=workload.device) for g, e in enumerate(envs)]
        )

    clock: Clock
    if agent.clock == "asynchronous":
        clock = _asynchronous(workload, learner)
    else:
        clock = build_clock(agent, act, learner)
    stack.callback(clock.close)
    return lambda: clock.update(last=False).num_steps


def _asynchronous(workload: Workload, learner: Learner) -> Asynchronous:
    """Start actors in processes of their own."""
    spec = RunSpec(
        condition="pretrain",
        flavor=workload.flavor,
        update_rule=UpdateRule("scratch"),
        seed=0,
        steps=1,
        environment=workload.environment | {"num_envs": workload.num_envs},
        agent=workload.agent,
    )
    actors = RemoteActors(
        spec,
        Runtime(),
        observation_shape=learner.policy.observation_shape,
        num_actions=learner.policy.num_actions,
        store_embeddings=learner.policy.embedding_frozen,
    )
    return Asynchronous(actors, learner, workload.num_envs)


@contextmanager
def _environment(workload: Workload, first: int, num_envs: int) -> Iterator[VectorEnv]:
    """Make so many of the workload's environments, from a number on."""
    options = options_from(workload.flavor, workload.environment, first)
    env = make_env(workload.flavor, num_envs, drawn_on=workload.device, **options)
    try:
        yield env
    finally:
        env.close()


def _policy(workload: Workload, env: VectorEnv, condition: str) -> Policy:
    """Build a policy under a condition's rule, as if pretrained."""
    torch.manual_seed(0)
    policy = policy_for(env, workload.agent, workload.flavor)
    source = {name: tensor.detach().clone() for name, tensor in policy.parts()}
    apply_update_rule(policy, UpdateRule(condition), source)
    return policy.to(workload.device)


def steps_per_second(repeat: Callable[[], int], seconds: float, device: str) -> float:
    """Return decisions per second over at least so many seconds."""
    steps, started = 0, time.perf_counter()
    while True:
        steps += repeat()
        if time.perf_counter() - started >= seconds:
            if device.startswith("cuda"):
                torch.cuda.synchronize(device)
            return steps / (time.perf_counter() - started)
