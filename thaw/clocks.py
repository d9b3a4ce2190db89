"""When the actor acts and the learner learns. Which clock a run used is part of its result."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import torch

from thaw.config import AgentConfig
from thaw.impala.learner import Learner
from thaw.policy import Policy
from thaw.rollout import Actor, Unroll, collect
from thaw.types import EpisodeStats


class Update(NamedTuple):
    """What one update brought."""

    num_steps: int
    """Decisions learned from."""
    metrics: dict[str, torch.Tensor]
    """Losses and health, not yet synchronized."""
    episodes: list[EpisodeStats]
    """Finished while acting, in raw reward."""


class Clock(Protocol):
    """Drives actor and learner, one update at a time."""

    actor: Actor
    learned_steps: int

    def update(self, *, last: bool) -> Update:
        """Act and learn once; ``last`` announces that no further update follows."""

    def get_state(self) -> dict[str, torch.Tensor]:
        """Return what is under way between two updates."""

    def set_state(self, state: dict[str, torch.Tensor]) -> None:
        """Continue from such a state."""

    def close(self) -> None:
        """Stop what runs in the background."""


class Lockstep:
    """Collect, then learn: the policy that acts is the policy that learns (lag 0)."""

    def __init__(self, make_actor: Callable[[Policy], Actor], learner: Learner) -> None:
        self.learner = learner
        self.acting_policy = acting_copy(learner.policy)
        self.actor = make_actor(self.acting_policy)
        self.learned_steps = 0
        self.unroll = new_unroll(self.actor, learner)

    def update(self, *, last: bool) -> Update:
        """Collect one unroll with the newest weights and learn from it."""
        del last
        synchronize(self.acting_policy, self.learner.policy)
        episodes = collect(self.actor, self.unroll, self.learner.config.discount)
        return learn(self, self.learner, self.unroll, episodes)

    def get_state(self) -> dict[str, torch.Tensor]:
        """Return nothing: no work is under way between two updates."""
        return {}

    def set_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take nothing."""

    def close(self) -> None:
        """Do nothing."""


class Overlapped:
    """Act and learn at the same time, the actor exactly one update behind; repeatable.

    While the learner makes update k from unroll k, the actor collects unroll k + 1 with the
    weights of before that update. Both wait for each other at the end of an update.
    """

    def __init__(self, make_actor: Callable[[Policy], Actor], learner: Learner) -> None:
        self.learner = learner
        self.acting_policy = acting_copy(learner.policy)
        self.actor = make_actor(self.acting_policy)
        self.learned_steps = 0
        self.ready, self.spare = new_unroll(self.actor, learner), new_unroll(self.actor, learner)
        self.is_ready = False
        num_threads = torch.get_num_threads()
        self.thread = ThreadPoolExecutor(
            1, "actor", initializer=torch.set_num_threads, initargs=(num_threads,)
        )

    def update(self, *, last: bool) -> Update:
        """Learn from the unroll at hand while the next one is collected."""
        discount = self.learner.config.discount
        episodes = []
        if not self.is_ready:
            episodes += collect(self.actor, self.ready, discount)
        if last:
            self.is_ready = False
            update = learn(self, self.learner, self.ready, episodes)
            # Rows spent on resets may leave the budget short; then one more update follows, and
            # it must act as it would after a restart.
            synchronize(self.acting_policy, self.learner.policy)
            return update
        collecting = self.thread.submit(collect, self.actor, self.spare, discount)
        update = learn(self, self.learner, self.ready, episodes)
        update.episodes.extend(collecting.result())
        synchronize(self.acting_policy, self.learner.policy)
        self.ready, self.spare, self.is_ready = self.spare, self.ready, True
        return update

    def get_state(self) -> dict[str, torch.Tensor]:
        """Return the unroll that is collected but not learned from, if any."""
        if not self.is_ready:
            return {}
        return dict(self.ready.trajectory.tensors())

    def set_state(self, state: dict[str, torch.Tensor]) -> None:
        """Put such an unroll back."""
        synchronize(self.acting_policy, self.learner.policy)
        for name, tensor in self.ready.trajectory.tensors().items():
            if state:
                tensor.copy_(state[name])
        self.is_ready = bool(state)

    def close(self) -> None:
        """End the actor's thread."""
        self.thread.shutdown(wait=True, cancel_futures=True)


def build_clock(
    config: AgentConfig, make_actor: Callable[[Policy], Actor], learner: Learner
) -> Clock:
    """Build the clock that the config names."""
    clocks: dict[str, type[Lockstep] | type[Overlapped]] = {
        "lockstep": Lockstep,
        "overlapped": Overlapped,
    }
    return clocks[config.clock](make_actor, learner)


def learn(clock: Clock, learner: Learner, unroll: Unroll, episodes: list[EpisodeStats]) -> Update:
    """Let the learner take its step and count what it learned from."""
    device = next(learner.policy.parameters()).device
    metrics = learner.update(unroll.trajectory.to(device), clock.learned_steps)
    num_steps = int(unroll.trajectory.valid.sum())
    clock.learned_steps += num_steps
    return Update(num_steps, metrics, episodes)


def new_unroll(actor: Actor, learner: Learner) -> Unroll:
    """Make room for an unroll: of embeddings where the embedding cannot change, else images."""
    return Unroll(actor, learner.config, store_embeddings=learner.policy.embedding_frozen)


def acting_copy(policy: Policy) -> Policy:
    """Return a copy that acts: evaluation mode, no gradient."""
    return copy.deepcopy(policy).eval().requires_grad_(False)


@torch.no_grad()
def synchronize(acting: Policy, learning: Policy) -> None:
    """Copy the learner's weights and statistics to the actor's policy."""
    for (_, target), (_, source) in zip(acting.parts(), learning.parts(), strict=True):
        target.copy_(source)
