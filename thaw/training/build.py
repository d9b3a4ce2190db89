"""Build the parts of a run: environments, policy, actors and clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from thaw.acting.collector import Collector
from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.update_rule import UpdateRule
from thaw.envs.spaces import Spaces, VectorEnv
from thaw.impala.learner import Learner
from thaw.policy.policy import Policy
from thaw.policy.update_rules import apply_update_rule
from thaw.training.clocks import Clock, Lockstep, Overlapped


def build_clock(
    config: AgentConfig, make_collector: Callable[[Policy], Collector], learner: Learner
) -> Clock:
    """Build the clock that the config names, of those that act in this process."""
    clocks: dict[str, type[Lockstep] | type[Overlapped]] = {
        "lockstep": Lockstep,
        "overlapped": Overlapped,
    }
    return clocks[config.clock](make_collector, learner)


def check_policy(
    observation_shape: tuple[int, ...], agent: AgentConfig, rules: Iterable[UpdateRule]
) -> None:
    """Build a network once and name every part of some rules.

    Raises:
        InputError: The network does not fit the observations, or a rule names no part of it.
    """
    policy = Policy(observation_shape, 2, agent)
    tensors = {name: tensor.detach().clone() for name, tensor in policy.parts()}
    for rule in rules:
        apply_update_rule(policy, rule, tensors)


def policy_for(env: VectorEnv, agent: AgentConfig, flavor: Flavor) -> Policy:
    """Build a policy with fresh weights for an environment's spaces.

    Raises:
        InputError: The network does not fit the observations, or actions are not discrete.
    """
    spaces = Spaces.of(env, flavor)
    return Policy(spaces.observation_shape, spaces.num_actions, agent)


def check_same_spaces(source: Policy, policy: Policy, where: str, flavor: Flavor) -> None:
    """Check that a pretrained policy can see and act in a flavor.

    Raises:
        InputError: Observations or actions differ.
    """
    for what, there, here in (
        ("observations of shape", source.observation_shape, policy.observation_shape),
        ("actions:", source.num_actions, policy.num_actions),
    ):
        if there != here:
            raise InputError(
                f"{where} was trained with {what} {there}, '{flavor}' has {here}; give source "
                "and target the same environment options"
            )
