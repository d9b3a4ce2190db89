"""Build the parts of a run: environments, policy, actors and clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from thaw.acting.actor import Actor
from thaw.acting.collector import Collector
from thaw.acting.remote.ray_actors import RemoteActors
from thaw.config import AgentConfig, Flavor, RunSpec, Runtime, UpdateRule
from thaw.config.errors import InputError
from thaw.envs.families import make_env, options_from
from thaw.envs.spaces import Spaces, VectorEnv
from thaw.files.checkpoint import PolicyDescription
from thaw.impala.learner import Learner
from thaw.policy import Policy
from thaw.policy.update_rules import apply_update_rule
from thaw.training.asynchronous import Asynchronous
from thaw.training.clocks import Clock, Lockstep, Overlapped


def is_asynchronous(spec: RunSpec) -> bool:
    """Whether a run's actors are separate processes."""
    return spec.agent.clock == "asynchronous" and spec.steps > 0


def make_training_envs(spec: RunSpec, device: str) -> list[VectorEnv]:
    """Make a run's training environments, one vector environment for each group.

    The actors of the asynchronous clock make their own environments. Then the list has one vector
    environment, which only gives the spaces. It is closed already, because the actors may need
    its device.

    Args:
        spec: The run.
        device: Device of the run's networks.

    Raises:
        InputError: The flavor does not exist, or an option is unknown or out of range.
    """
    options = spec.environment_options
    if is_asynchronous(spec):
        env = make_env(spec.flavor, 1, **options)
        env.close()
        return [env]
    group_size = spec.num_envs // spec.agent.env_groups
    return [
        make_env(
            spec.flavor, group_size, drawn_on=device, **options_from(spec.flavor, options, first)
        )
        for first in range(0, spec.num_envs, group_size)
    ]


def build_clock(
    spec: RunSpec,
    runtime: Runtime,
    envs: Sequence[VectorEnv],
    learner: Learner,
    *,
    stream: str = "acting",
    check: Callable[[], None] = lambda: None,
) -> Clock:
    """Build a run's clock, with its actors.

    Args:
        spec: The run.
        runtime: Ray's address, and how long an actor may be silent.
        envs: The result of :func:`make_training_envs`.
        learner: Learns from the unrolls that the actors collect.
        stream: The actors' random numbers depend on it and on the run.
        check: Called often while the asynchronous clock waits; may raise to end the wait.

    Raises:
        InputError: The asynchronous clock needs Ray, which is missing.
    """
    if is_asynchronous(spec):
        actors = RemoteActors(
            spec,
            runtime,
            observation_shape=learner.policy.observation_shape,
            num_actions=learner.policy.num_actions,
            store_embeddings=learner.policy.embedding_never_trains,
            stream=stream,
            check=check,
        )
        return Asynchronous(actors, learner, spec.num_envs)
    streams = [stream, *(f"{stream}, group {g}" for g in range(1, len(envs)))]

    def make_collector(policy: Policy) -> Collector:
        return Collector(
            [
                Actor(
                    env,
                    policy,
                    seed=spec.derived_seed(group_stream),
                    config=spec.agent,
                    device=str(learner.device),
                )
                for env, group_stream in zip(envs, streams, strict=True)
            ]
        )

    if spec.agent.clock == "overlapped":
        return Overlapped(make_collector, learner)
    return Lockstep(make_collector, learner)


def check_policy(
    observation_shape: tuple[int, ...],
    agent: AgentConfig,
    rules: Iterable[UpdateRule],
    steps: int,
) -> None:
    """Check that a network fits the observations and that rules name parts of it.

    Raises:
        InputError: The network does not fit the observations, or a rule names no part of it.
    """
    policy = Policy(observation_shape, 2, agent)
    tensors = {name: tensor.detach().clone() for name, tensor in policy.parts()}
    for rule in rules:
        apply_update_rule(policy, rule, tensors, steps=steps)


def policy_for(env: VectorEnv, agent: AgentConfig, flavor: Flavor) -> Policy:
    """Build a policy with new random weights for an environment's spaces.

    Raises:
        InputError: The network does not fit the observations, or actions are not discrete.
    """
    spaces = Spaces.of(env, flavor)
    return Policy(spaces.observation_shape, spaces.num_actions, agent)


def check_same_spaces(
    source: Policy | PolicyDescription, target: Policy | Spaces, where: str, flavor: Flavor
) -> None:
    """Check that a pretrained policy has the observations and actions of a flavor.

    Raises:
        InputError: Observations or actions differ.
    """
    for what, there, here in (
        ("observations of shape", source.observation_shape, target.observation_shape),
        ("actions:", source.num_actions, target.num_actions),
    ):
        if there != here:
            raise InputError(
                f"{where} was trained with {what} {there}, '{flavor}' has {here}; give source "
                "and target the same environment options"
            )
