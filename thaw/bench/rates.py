"""Measure rates side by side: every round takes all of them in turn, ratios are within rounds.

All rates are decisions per second, summed over the environments and runs that act at once.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch

from thaw.asynchronous import Asynchronous
from thaw.clocks import Clock, build_clock, empty_unroll
from thaw.collector import Collector
from thaw.config import AgentConfig, Config, RunSpec, Runtime, check_shares
from thaw.cores import num_cores
from thaw.envs import make_env, options_from
from thaw.impala.learner import Learner
from thaw.policy import Policy
from thaw.precision import settle_precision
from thaw.ray_session import check_ray
from thaw.remote_actors import RemoteActors
from thaw.rollout import Actor, VectorEnv
from thaw.train import policy_for
from thaw.update_rules import apply_update_rule
from thaw.words import Flavor, UpdateRule

TRAINED = ("update_all", "freeze_head", "freeze_embedding")
GROUPED = ("update_all", "freeze_embedding")
"""Also measured with the environments in two groups, where their number is even."""
WARM_UP_SECONDS = 1.0
PARTS = ("environment", "act", "learn")
"""The three things that a decision needs, each measured alone."""


class Workload(Config, frozen=True, kw_only=True):
    """What is measured."""

    flavor: Flavor
    agent: AgentConfig
    """With its precision settled."""
    num_envs: int
    environment: dict[str, Any]
    """The family's options, without `num_envs`."""
    device: str = "cpu"
    num_threads: int = 1
    """Of one run alone; packed runs have one each."""
    num_packed: int = 2
    asynchronous: bool = False
    """Also measure the asynchronous clock, each condition with actors of its own."""


def prepare(
    spec: RunSpec,
    device: str,
    num_threads: int | None,
    num_packed: int,
    asynchronous: bool = False,
) -> Workload:
    """Make a workload of a run's description, its precision settled on this machine.

    Raises:
        InputError: The flavor, its options or the network are wrong, or the asynchronous clock
            lacks Ray or environments.
    """
    if asynchronous:
        check_ray(None)
        check_shares(msgspec.structs.replace(spec.agent, clock="asynchronous"), spec.num_envs)
    num_threads = num_threads or num_cores()
    torch.set_num_threads(num_threads)
    env = make_env(spec.flavor, 1, **spec.environment_options)
    shape = env.single_observation_space.shape or ()
    policy_for(env, spec.agent, spec.flavor)
    env.close()
    return Workload(
        flavor=spec.flavor,
        agent=settle_precision(spec.agent, shape, torch.device(device)),
        num_envs=spec.num_envs,
        environment=spec.environment_options,
        device=device,
        num_threads=num_threads,
        num_packed=num_packed,
        asynchronous=asynchronous,
    )


class Rates(NamedTuple):
    """What came out."""

    steps_per_second: dict[str, list[float]]
    """By what was measured, one entry a round. ``environment``, ``act`` and ``learn`` are each
    alone; ``<clock> <condition>`` is whole training, with ``, two groups`` behind it that with
    the environments in two groups; ``packed`` several runs at once."""
    peak_mib: float
    """Of one run's process."""


class Subject(NamedTuple):
    """Something that can be repeated."""

    name: str
    repeat: Callable[[], int] | None
    """Do it once; returns its decisions. None where processes do it."""
    processes: Sequence[Connection] = ()
    condition: str = ""
    """What these are asked for."""


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
    lockstep = _variant(workload, clock="lockstep", env_groups=1)
    overlapped = _variant(workload, clock="overlapped", env_groups=1)
    alone = msgspec.structs.replace(
        lockstep, num_threads=1, environment=workload.environment | _one_thread(workload.flavor)
    )
    with ExitStack() as stack:
        subjects = _subjects(lockstep, stack)

        def elsewhere(
            workload: Workload, names: dict[str, str], num_processes: int = 1
        ) -> list[Subject]:
            conditions = tuple(names.values())
            processes = stack.enter_context(_processes(workload, num_processes, conditions))
            return [Subject(name, None, processes, names[name]) for name in names]

        # The overlapped clock's two thread teams would slow down whoever shares their process.
        others = elsewhere(overlapped, {f"overlapped {c}": c for c in TRAINED})
        if workload.num_envs % 2 == 0:
            for one in (lockstep, overlapped) if workload.device != "cpu" else (lockstep,):
                names = {f"{one.agent.clock} {c}, two groups": c for c in GROUPED}
                others += elsewhere(_variant(one, env_groups=2), names)
        if workload.asynchronous:
            with_actors = _variant(lockstep, clock="asynchronous")
            for condition in TRAINED:  # Ray lets a process have one cluster
                others += elsewhere(with_actors, {f"asynchronous {condition}": condition})
        others += elsewhere(alone, {"packed": "update_all"}, workload.num_packed)
        for subject in subjects:
            assert subject.repeat is not None
            _rate(subject.repeat, WARM_UP_SECONDS, workload.device)
        subjects += others
        found: dict[str, list[float]] = {subject.name: [] for subject in subjects}
        for turn in range(num_rounds):
            shift = turn % len(subjects)  # each goes first once: what follows what is no constant
            for subject in subjects[shift:] + subjects[:shift]:
                if subject.repeat is None:
                    rate = sum(_ask(subject.processes, subject.condition, seconds))
                else:
                    rate = _rate(subject.repeat, seconds, workload.device)
                found[subject.name].append(rate)
                watch(1 / num_rounds / len(subjects))
        return Rates(found, max(_ask(others[-1].processes, "peak MiB")))


# ------------------------------------------------------------------------------------ one run


def _subjects(workload: Workload, stack: ExitStack) -> list[Subject]:
    """Return what is measured in this process."""
    agent, num_envs = workload.agent, workload.num_envs
    env = stack.enter_context(_environment(workload, 0, num_envs))
    actor = Actor(env, _policy(workload, env, "update_all").eval(), seed=0, device=workload.device)
    actions = np.random.default_rng(0).integers(
        0, int(getattr(env.single_action_space, "n", 0)), (64, num_envs)
    )
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
        training = _training(workload, stack, condition)
        subjects.append(Subject(f"lockstep {condition}", training))
    return subjects


def _training(workload: Workload, stack: ExitStack, condition: str) -> Callable[[], int]:
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


def _rate(repeat: Callable[[], int], seconds: float, device: str) -> float:
    """Return decisions per second over at least so many seconds."""
    steps, started = 0, time.perf_counter()
    while True:
        steps += repeat()
        if time.perf_counter() - started >= seconds:
            if device.startswith("cuda"):
                torch.cuda.synchronize(device)
            return steps / (time.perf_counter() - started)


# ------------------------------------------------------------------- runs in processes of their own


@contextmanager
def _processes(
    workload: Workload, count: int, conditions: tuple[str, ...]
) -> Iterator[list[Connection]]:
    """Start processes that train in some conditions, when asked."""
    context = multiprocessing.get_context("spawn")
    ours = []
    for _ in range(count):
        mine, theirs = context.Pipe()
        context.Process(target=_serve, args=(theirs, workload, conditions), daemon=True).start()
        theirs.close()
        ours.append(mine)
    try:
        for connection in ours:
            connection.recv()  # it is warm
        yield ours
    finally:
        for connection in ours:
            connection.close()


def _serve(connection: Connection, workload: Workload, conditions: tuple[str, ...]) -> None:
    """Train for as long as asked, again and again, until nobody asks any more."""
    torch.set_num_threads(workload.num_threads)
    with ExitStack() as stack:
        trainings = {c: _training(workload, stack, c) for c in conditions}
        for training in trainings.values():
            _rate(training, WARM_UP_SECONDS, workload.device)
        connection.send(None)
        while True:
            try:
                condition, seconds = connection.recv()
            except EOFError:
                return
            connection.send(
                peak_mib()
                if condition == "peak MiB"
                else _rate(trainings[condition], seconds, workload.device)
            )


def _ask(connections: Sequence[Connection], what: str, seconds: float = 0.0) -> list[float]:
    """Ask all at once."""
    for connection in connections:
        connection.send((what, seconds))
    return [connection.recv() for connection in connections]


def _variant(workload: Workload, **agent: object) -> Workload:
    """Return a workload with some of the agent's settings changed."""
    return msgspec.structs.replace(workload, agent=msgspec.structs.replace(workload.agent, **agent))


def _one_thread(flavor: Flavor) -> dict[str, int]:
    """Return the option that keeps an environment's engine to one thread, where it has one."""
    has_engine = flavor.family in ("atari", "procgen", "minigrid", "envpool")
    return {"num_threads": 1} if has_engine else {}


def peak_mib() -> float:
    """Return this process's peak memory in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's getrusage would count what the parent had when it forked
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS
