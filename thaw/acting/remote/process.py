"""What runs in the process of one actor of the asynchronous clock."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from thaw.acting.actor import Actor
from thaw.acting.remote.messages import Arrays, Delivery
from thaw.acting.unroll import collect, empty_trajectory
from thaw.config.errors import InputError
from thaw.config.run_spec import RunSpec
from thaw.envs.families import make_env, options_from
from thaw.policy.policy import Policy


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one actor does, all its life."""

    spec: RunSpec
    observation_shape: tuple[int, ...]
    num_actions: int
    num_envs: int
    """This actor's own."""
    first_environment: int
    """Number of its first environment among those of all actors."""
    store_embeddings: bool
    seed: int
    module_folders: tuple[str, ...] = ()
    """Where else to look for modules: environments and embeddings of the user's own."""


class Failure(NamedTuple):
    """What an actor answers instead of an unroll."""

    error: str
    """Type and message, in one line."""
    traceback: str
    is_input_error: bool


class ActorProcess:
    """Lives in a process of its own, with its environments and its copy of the policy."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.actor: Actor | None = None

    def collect(self, weights: Arrays, version: int) -> Delivery | Failure:
        """Take the weights over and collect one unroll with them.

        Everything is built at the first call and errors are returned: what a constructor raises
        reaches the learner only as text.
        """
        try:
            if self.actor is None:
                self.build()
            return self.collect_with(weights, version)
        except Exception as error:  # noqa: BLE001 - environments may raise anything
            text = " ".join(f"{type(error).__name__}: {error}".split())
            if isinstance(error, InputError):
                text = " ".join(str(error).split())
            return Failure(text, traceback.format_exc(), isinstance(error, InputError))

    def build(self) -> None:
        """Make environments, policy and room for an unroll."""
        task, agent = self.task, self.task.spec.agent
        torch.set_num_threads(1)  # processes are for cores
        sys.path += [folder for folder in task.module_folders if folder not in sys.path]
        flavor = task.spec.flavor
        options = options_from(flavor, task.spec.environment_options, task.first_environment)
        env = make_env(flavor, task.num_envs, **options)
        self.policy = Policy(task.observation_shape, task.num_actions, agent)
        self.policy.eval().requires_grad_(False)
        self.actor = Actor(
            env,
            self.policy,
            seed=task.seed,
            config=agent,
        )
        self.unroll = empty_trajectory(self.actor, agent, store_embeddings=task.store_embeddings)

    def collect_with(self, weights: Arrays, version: int) -> Delivery:
        """Collect one unroll; see IMPALA, section 3: the newest weights before each unroll."""
        assert self.actor is not None
        with torch.no_grad():
            for name, tensor in self.policy.parts():
                tensor.copy_(torch.from_numpy(np.array(weights[name])))  # theirs is read-only
        dropped_before = self.actor.dropped_steps
        episodes = collect(self.actor, self.unroll, self.task.spec.agent.discount)
        first = self.task.first_environment
        return Delivery(
            {name: tensor.numpy() for name, tensor in self.unroll.tensors().items()},
            [e._replace(environment=first + e.environment) for e in episodes],
            version,
            self.actor.dropped_steps - dropped_before,
        )
