"""The workload that a benchmark measures."""

from __future__ import annotations

from typing import Any

import msgspec
import torch

from thaw.acting.remote.ray_session import check_ray
from thaw.config.agent import AgentConfig
from thaw.config.flavor import Flavor
from thaw.config.run_spec import RunSpec, check_shares
from thaw.config.runtime import num_cores
from thaw.config.strict import Config
from thaw.config.update_rule import UpdateRule
from thaw.envs.families import make_env
from thaw.policy.precision import resolve_precision
from thaw.training.build import policy_for

WARM_UP_SECONDS = 1.0
"""Before its first measurement a subject runs this long, or as long as a shorter measurement."""


class Workload(Config, frozen=True, kw_only=True):
    """The network, the environments, and the device and threads that are used."""

    flavor: Flavor
    agent: AgentConfig
    """Its precision is float32 or bfloat16, not auto."""
    num_envs: int
    environment: dict[str, Any]
    """The family's options, without `num_envs`."""
    device: str = "cpu"
    num_threads: int = 1
    """Threads of a single run; each packed run has one."""
    num_packed: int = 2
    asynchronous: bool = False
    """Also measure the asynchronous clock, each condition with its own actors."""

    @property
    def spec(self) -> RunSpec:
        """The measured run, as if it trained from scratch."""
        return RunSpec(
            condition="pretrain",
            flavor=self.flavor,
            update_rule=UpdateRule("scratch"),
            seed=0,
            steps=1,
            environment=self.environment | {"num_envs": self.num_envs},
            agent=self.agent,
        )


def prepare(
    spec: RunSpec,
    device: str,
    num_threads: int | None,
    num_packed: int,
    asynchronous: bool = False,
) -> Workload:
    """Return the workload of a run, with its precision chosen for this machine.

    Raises:
        InputError: The flavor, its options or the network are wrong, or the asynchronous clock
            needs Ray or more environments.
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
        agent=resolve_precision(spec.agent, shape, torch.device(device)),
        num_envs=spec.num_envs,
        environment=spec.environment_options,
        device=device,
        num_threads=num_threads,
        num_packed=num_packed,
        asynchronous=asynchronous,
    )


def variant(workload: Workload, **agent: object) -> Workload:
    """Return a workload with some of the agent's settings changed."""
    return msgspec.structs.replace(workload, agent=msgspec.structs.replace(workload.agent, **agent))
