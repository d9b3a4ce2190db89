"""The program of one actor process of the asynchronous clock."""

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
from thaw.config.errors import InputError, one_line
from thaw.config.run_spec import RunSpec
from thaw.envs.families import make_env, options_from
from thaw.policy.policy import Policy


@dataclass(frozen=True, kw_only=True)
class Task:
    """The work of one actor process."""

    spec: RunSpec
    observation_shape: tuple[int, ...]
    num_actions: int
    num_envs: int
    """Environments of this actor."""
    first_environment: int
    """Number of its first environment among those of all actors."""
    store_embeddings: bool
    seed: int
    module_folders: tuple[str, ...] = ()
    """More folders to import from, for the user's environments and embeddings."""


class Failure(NamedTuple):
    """An actor's answer in place of an unroll."""

    error: str
    """Type and message, in one line."""
    traceback: str
    is_input_error: bool


class ActorProcess:
    """An actor in its own process, with its environments and its copy of the policy."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.actor: Actor | None = None

    def collect(self, weights: Arrays, version: int) -> Delivery | Failure:
        """Copy the weights and collect one unroll with them.

        The first call builds everything. Errors are returned, because an error of a constructor
        reaches the learner only as text.
        """
        try:
            if self.actor is None:
                self.build()
            return self.collect_with(weights, version)
        except Exception as error:  # noqa: BLE001 - environments may raise anything
            text = one_line(error)
            if isinstance(error, InputError):
                text = " ".join(str(error).split())
            return Failure(text, traceback.format_exc(), isinstance(error, InputError))

    def build(self) -> None:
        """Make the environments, the policy and the memory for an unroll."""
        task, agent = self.task, self.task.spec.agent
        torch.set_num_threads(1)  # there is one process for each core
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
        """Collect one unroll with the newest weights, as in IMPALA, section 3."""
        assert self.actor is not None
        with torch.no_grad():
            for name, tensor in self.policy.parts():
                tensor.copy_(torch.from_numpy(np.array(weights[name])))  # Ray's array is read-only
        dropped_before = self.actor.dropped_steps
        episodes = collect(self.actor, self.unroll, self.task.spec.agent.discount)
        first = self.task.first_environment
        return Delivery(
            {name: tensor.numpy() for name, tensor in self.unroll.tensors().items()},
            [e._replace(environment=first + e.environment) for e in episodes],
            version,
            self.actor.dropped_steps - dropped_before,
        )
