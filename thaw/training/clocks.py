"""Clocks decide when the actor acts and when the learner learns. The result depends on them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import torch

from thaw.acting.collector import Collector
from thaw.impala.learner import Learner
from thaw.policy.cuda import SideStream
from thaw.policy.modes import policy_depends_on_mode
from thaw.policy.policy import Policy
from thaw.policy.trajectory import EmbeddingGraph, EpisodeStats, Trajectory


class Update(NamedTuple):
    """The result of one update."""

    num_steps: int
    """Decisions in the batch."""
    metrics: dict[str, torch.Tensor]
    """Losses and learner health; on a GPU they may not be computed yet."""
    episodes: list[EpisodeStats]
    """Finished while acting; their returns are not clipped."""


class Clock(Protocol):
    """Drives actor and learner, one update at a time."""

    learned_steps: int

    def update(self, *, last: bool) -> Update:
        """Act and learn once; ``last`` says that no update is planned after this one."""

    def get_state(self) -> dict[str, torch.Tensor]:
        """Return everything that the next updates depend on; only between two updates.

        Names begin with ``clock/`` or, for the actors' state, with ``actor/``.
        """

    def set_state(self, state: dict[str, torch.Tensor]) -> None:
        """Continue from such a state; other names are ignored."""

    def close(self) -> None:
        """End the threads and actors."""


class Lockstep:
    """Collect, then learn: the policy that acts is the policy that learns (lag 0).

    So the embeddings that the actor computes are those that the learner needs. Where it can, the
    actor keeps their graph, and nothing is embedded twice (:func:`can_learn_from_acting`).
    """

    def __init__(self, make_collector: Callable[[Policy], Collector], learner: Learner) -> None:
        self.learner = learner
        self.keeps_graph = False
        self.acting_policy = acting_copy(learner.policy)
        self.collector = make_collector(self.acting_policy)
        self.learned_steps = 0
        self.arrange()

    def update(self, *, last: bool) -> Update:
        """Collect one unroll with the newest weights and learn from it."""
        del last
        if self.learner.advance(self.learned_steps):
            self.arrange()
        if not self.keeps_graph:
            synchronize(self.acting_policy, self.learner.policy)
        episodes = self.collector.collect(self.unroll, self.learner.config.discount)
        return learn(self, self.learner, self.unroll, episodes, graph=self.collector.take_graph())

    def arrange(self) -> None:
        """Share embeddings with the learner as what trains now allows it."""
        policy, keeps = self.learner.policy, can_learn_from_acting(self.learner)
        if keeps != self.keeps_graph:
            self.keeps_graph = keeps
            self.acting_policy = policy if keeps else acting_copy(policy)
            self.collector.play(self.acting_policy, keep_graph=keeps)
        frozen = policy.embedding_frozen and self.learner.teacher is None
        self.unroll = empty_unroll(self.collector, self.learner, with_embeddings=keeps or frozen)

    def get_state(self) -> dict[str, torch.Tensor]:
        """Return the actors' state; nothing else is pending between two updates."""
        return named("actor/", self.collector.get_state())

    def set_state(self, state: dict[str, torch.Tensor]) -> None:
        """Continue from such a state."""
        self.arrange()
        self.collector.set_state(below("actor/", state))

    def close(self) -> None:
        """End the actor's threads."""
        self.collector.close()


class Overlapped:
    """Act and learn at the same time, with a policy lag of exactly one update; repeatable.

    While the learner makes update k from unroll k, the actor collects unroll k + 1 with the
    weights from before update k. Each waits for the other at the end of an update.
    """

    def __init__(self, make_collector: Callable[[Policy], Collector], learner: Learner) -> None:
        self.learner = learner
        self.acting_policy = acting_copy(learner.policy)
        self.collector = make_collector(self.acting_policy)
        self.learned_steps = 0
        self.ready = self.unroll_for(0, 0)
        self.spare = self.unroll_for(0, 0)
        self.is_ready = False
        # On a GPU, acting must not wait for a whole update to finish.
        self.stream = SideStream(learner.device)
        num_threads = torch.get_num_threads()
        self.thread = ThreadPoolExecutor(
            1, "actor", initializer=torch.set_num_threads, initargs=(num_threads,)
        )

    def update(self, *, last: bool) -> Update:
        """Learn from the unroll at hand while the next one is collected."""
        episodes = []
        policy_lag_updates = int(self.is_ready)
        self.learner.advance(self.learned_steps)
        if not self.is_ready:
            self.ready = self.unroll_for(self.learned_steps, self.learned_steps, self.ready)
            episodes += self.collect(self.ready, self.stream.mark())
            self.stream.join()
        if last:
            self.is_ready = False
            update = learn(self, self.learner, self.ready, episodes, policy_lag_updates)
            # Auto-reset steps do not count, so another update may follow. It must then behave as
            # it would after a resume.
            synchronize(self.acting_policy, self.learner.policy)
            return update
        learned_next = self.learned_steps + int(self.ready.valid.sum())
        self.spare = self.unroll_for(self.learned_steps, learned_next, self.spare)
        collecting = self.thread.submit(self.collect, self.spare, self.stream.mark())
        update = learn(self, self.learner, self.ready, episodes, policy_lag_updates)
        update.episodes.extend(collecting.result())
        self.stream.join()
        synchronize(self.acting_policy, self.learner.policy)
        self.ready, self.spare, self.is_ready = self.spare, self.ready, True
        return update

    def unroll_for(
        self, acted_steps: int, learned_steps: int, unroll: Trajectory | None = None
    ) -> Trajectory:
        """Return an unroll with the fields that the learner will need.

        The actor's embeddings are the learner's only if the embedding is frozen in the update
        that runs while they are computed, and in the one that learns from them.

        Args:
            acted_steps: Decisions learned from before the first of these updates.
            learned_steps: The same before the second.
            unroll: Returned if it fits.
        """
        policy = self.learner.policy
        frozen = policy.embedding_frozen
        if policy.part_rules:
            frozen = all(map(policy.embedding_frozen_at, (acted_steps, learned_steps)))
        frozen = frozen and self.learner.teacher is None
        if unroll is not None and frozen == (unroll.embeddings is not None):
            return unroll
        return empty_unroll(self.collector, self.learner, with_embeddings=frozen)

    def collect(self, unroll: Trajectory, after: torch.cuda.Event | None) -> list[EpisodeStats]:
        """Collect an unroll; on a GPU, wait for the event first, such as a copy of weights."""
        with self.stream.after(after):
            return self.collector.collect(unroll, self.learner.config.discount)

    def get_state(self) -> dict[str, torch.Tensor]:
        """Return the actors' state, and the collected unroll that waits for the learner."""
        unroll = self.ready.tensors() if self.is_ready else {}
        return named("clock/", unroll) | named("actor/", self.collector.get_state())

    def set_state(self, state: dict[str, torch.Tensor]) -> None:
        """Continue from such a state."""
        synchronize(self.acting_policy, self.learner.policy)
        unroll = below("clock/", state)
        if unroll:
            frozen = "embeddings" in unroll
            if frozen != (self.ready.embeddings is not None):
                self.ready = empty_unroll(self.collector, self.learner, with_embeddings=frozen)
            for name, tensor in self.ready.tensors().items():
                tensor.copy_(unroll[name])
        self.is_ready = bool(unroll)
        self.collector.set_state(below("actor/", state))

    def close(self) -> None:
        """End the actor's threads."""
        self.thread.shutdown(wait=True, cancel_futures=True)
        self.collector.close()


def learn(
    clock: Lockstep | Overlapped,
    learner: Learner,
    unroll: Trajectory,
    episodes: list[EpisodeStats],
    policy_lag_updates: int = 0,
    graph: EmbeddingGraph | None = None,
) -> Update:
    """Make one update and count its steps."""
    metrics = learner.update(unroll, clock.learned_steps, graph)
    num_steps = int(unroll.valid.sum())
    clock.learned_steps += num_steps
    lag = torch.tensor(float(policy_lag_updates))
    acting = {
        "mean_policy_lag": lag,
        "max_policy_lag": lag,
        "dropped_steps": torch.tensor(clock.collector.dropped_steps),
    }
    return Update(num_steps, metrics | acting, episodes)


def can_learn_from_acting(learner: Learner) -> bool:
    """Whether the learner can use the very embeddings that the actor computed, with their graph.

    They must train, and be the same in acting and in learning: dropout, for example, is not. The
    learner's head then acts too, so that must hold for the head as well. A teacher needs the
    observations. On a GPU both passes are captured as CUDA graphs, and a second pass costs less
    than to give that up.
    """
    policy = learner.policy
    if learner.teacher is not None or policy.embedding_frozen or learner.is_replayed:
        return False
    return not policy_depends_on_mode(policy)


def empty_unroll(collector: Collector, learner: Learner, *, with_embeddings: bool) -> Trajectory:
    """Allocate an unroll: of embeddings if the actor's are learned from, else of observations."""
    return collector.empty_trajectory(learner.config, store_embeddings=with_embeddings)


def named(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Put a prefix before every name."""
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def acting_copy(policy: Policy) -> Policy:
    """Return a copy for acting: in evaluation mode, without gradient."""
    return copy.deepcopy(policy).eval().requires_grad_(False)


@torch.no_grad()
def synchronize(acting: Policy, learning: Policy) -> None:
    """Copy the learner's weights and statistics to the actor's policy."""
    for (_, target), (_, source) in zip(acting.parts(), learning.parts(), strict=True):
        target.copy_(source)
