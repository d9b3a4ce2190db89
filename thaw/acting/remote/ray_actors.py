"""Actors as Ray processes, on this machine or on many."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from thaw.acting.remote.messages import ActorsFailed, ActorsRefused, Arrays, Delivery, RayFailed
from thaw.acting.remote.process import ActorProcess, Failure, Task
from thaw.acting.remote.ray_session import RaySession
from thaw.config.errors import InputError, one_line
from thaw.config.run_spec import RunSpec
from thaw.config.runtime import Runtime

NUM_REQUESTS = 2
"""Open requests of an actor, so that it acts while the learner learns. This bounds the queue: at
most two unrolls of each actor wait for the learner."""

MAX_FAILURES = 3
"""Failures of one actor in a row, without one unroll, that end the run."""

POLL_SECONDS = 0.2
"""While the learner waits, it checks for stop signals and hung actors at this interval."""

_log = logging.getLogger("thaw")


@dataclass(eq=False)
class _Slot:
    """A slot for one actor process; a failed process is replaced in its slot."""

    number: int
    handle: Any
    requests: deque[Any] = field(default_factory=deque)
    """Open requests, oldest first; they are answered in this order."""
    waiting_since: float = 0.0
    """Start of the current wait: the later of the oldest open request and the last answer."""
    num_failures: int = 0
    """In a row."""
    num_replaced: int = 0


class RemoteActors:
    """The actors of one run, see :class:`thaw.acting.remote.messages.Actors`.

    While the learner waits, each actor has one open request. While the learner learns, each has a
    second one. So no actor waits for the learner's batch, and few requests carry old weights.

    Args:
        spec: The run; its environments are divided among the actors as evenly as possible.
        runtime: Ray's address, and how long an actor may be silent.
        observation_shape: Shape of one observation.
        num_actions: Number of discrete actions.
        store_embeddings: Send embeddings instead of observations.
        stream: Gives a resumed run other seeds than the run before it.
        check: Called often while waiting; may raise to end the wait.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the given address.
    """

    def __init__(
        self,
        spec: RunSpec,
        runtime: Runtime,
        *,
        observation_shape: tuple[int, ...],
        num_actions: int,
        store_embeddings: bool,
        stream: str = "",
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.spec = spec
        self.timeout_seconds = runtime.actor_timeout_seconds
        self.stream, self.check = stream, check
        self.shape, self.num_actions = observation_shape, num_actions
        self.store_embeddings = store_embeddings
        self.num_restarts = 0
        self.weights: Any = None
        self.version = 0
        self.pending: dict[Any, _Slot] = {}  # oldest request first
        batch_bytes = unroll_bytes(spec, observation_shape, store_embeddings)
        num_actors = spec.agent.actors
        self.session = RaySession(
            runtime.ray_address, num_cpus=num_actors, store_bytes=(NUM_REQUESTS + 1) * batch_bytes
        )
        self.ray = self.session.ray
        num_cpus = self.ray.cluster_resources().get("CPU", 0)
        if num_cpus < num_actors:
            self.session.close()
            raise InputError(
                f"agent.actors is {num_actors}, but the Ray cluster has {num_cpus:g} CPUs and each "
                "actor takes one"
            )
        self.kind = self.ray.remote(num_cpus=1)(ActorProcess)
        self.slots = [_Slot(i, self.start(i, 0)) for i in range(num_actors)]

    def start(self, number: int, num_replaced: int) -> Any:
        """Start the process of one actor."""
        num_actors = self.spec.agent.actors
        bounds = [i * self.spec.num_envs // num_actors for i in (number, number + 1)]
        purpose = f"actor {number} replaced {num_replaced} times, {self.stream}"
        task = Task(
            spec=self.spec,
            observation_shape=self.shape,
            num_actions=self.num_actions,
            num_envs=bounds[1] - bounds[0],
            first_environment=bounds[0],
            store_embeddings=self.store_embeddings,
            seed=self.spec.derived_seed(purpose),
            module_folders=tuple(sys.path),
        )
        return self.kind.remote(task)

    def publish(self, weights: Arrays, version: int) -> None:
        """Use these weights for every unroll that is requested from now on.

        Raises:
            RayFailed: Ray itself failed.
        """
        with self.calling_ray():
            self.weights, self.version = self.ray.put(dict(weights)), version
            for slot in self.slots:
                while len(slot.requests) < NUM_REQUESTS:
                    self.request(slot)

    def receive(self) -> Delivery:
        """Wait for the next unroll of any actor; replace actors that died or hang.

        Raises:
            ActorsRefused: An actor found the user's input wrong.
            RayFailed: Ray itself failed.
            ActorsFailed: One actor failed several times in a row.
        """
        while True:
            self.check()
            with self.calling_ray():
                self.replace_hung()
                # The oldest requests come first, so that no actor is starved.
                ready, _ = self.ray.wait(list(self.pending), num_returns=1, timeout=POLL_SECONDS)
                for request in ready:
                    delivery = self.take(request)
                    if delivery is not None:
                        return delivery

    def request(self, slot: _Slot) -> None:
        """Ask an actor for one more unroll, with the newest weights."""
        if not slot.requests:
            slot.waiting_since = time.monotonic()
        request = slot.handle.collect.remote(self.weights, self.version)
        slot.requests.append(request)
        self.pending[request] = slot

    def take(self, request: Any) -> Delivery | None:
        """Take an actor's answer; None if it was a failure and the actor was replaced."""
        self.session.check_alive()  # else the next line may end this process
        slot = self.pending.pop(request)
        slot.requests.remove(request)
        try:
            answer = self.ray.get(request)
        except self.ray.exceptions.RayError as error:
            self.replace(slot, one_line(error)[:300])
            return None
        if isinstance(answer, Failure):
            if answer.is_input_error:
                raise ActorsRefused(answer.error)
            self.replace(slot, answer.error, answer.traceback)
            return None
        assert isinstance(answer, Delivery)
        slot.num_failures = 0
        slot.waiting_since = time.monotonic()
        if not slot.requests:
            self.request(slot)
        return answer

    def replace_hung(self) -> None:
        """Replace the actors that brought no unroll for too long."""
        for slot in self.slots:
            if time.monotonic() - slot.waiting_since < self.timeout_seconds:
                continue
            ready, _ = self.ray.wait([slot.requests[0]], timeout=0)
            if not ready:  # a ready unroll means that the learner was slow, not the actor
                self.replace(slot, f"it brought no unroll in {self.timeout_seconds:g} seconds")

    def replace(self, slot: _Slot, reason: str, remote_traceback: str = "") -> None:
        """Replace a failed actor and drop its open requests.

        Raises:
            ActorsFailed: It was the last failure in a row that is allowed.
        """
        slot.num_failures += 1
        if slot.num_failures == MAX_FAILURES:
            cause = RuntimeError(f"\n{remote_traceback}") if remote_traceback else None
            raise ActorsFailed(
                f"actor {slot.number} failed {MAX_FAILURES} times in a row, at last: {reason}"
            ) from cause
        _log.warning("actor %d is replaced: %s", slot.number, reason)
        self.ray.kill(slot.handle)
        for request in slot.requests:
            del self.pending[request]
        slot.requests.clear()
        self.num_restarts += 1
        slot.num_replaced += 1
        slot.handle = self.start(slot.number, slot.num_replaced)
        self.request(slot)

    @contextmanager
    def calling_ray(self) -> Iterator[None]:
        """Check that Ray is alive before a call, and turn its errors into RayFailed."""
        self.session.check_alive()
        try:
            yield
        except RayFailed:
            raise
        except (self.ray.exceptions.RayError, ConnectionError) as error:
            raise RayFailed(f"Ray failed: {one_line(error)}") from error

    def close(self) -> None:
        """End the actors, and Ray if it was started for them."""
        for slot in self.slots:
            with suppress(Exception):  # if Ray has ended, its actors have ended too
                self.ray.kill(slot.handle)
        self.slots.clear()
        self.session.close()


def unroll_bytes(spec: RunSpec, observation_shape: tuple[int, ...], store_embeddings: bool) -> int:
    """Return the approximate bytes of a batch of unrolls."""
    width = spec.agent.embedding_size * 4
    if not store_embeddings:
        width = math.prod(observation_shape) * 4  # an upper bound: images have one byte
    return (spec.agent.unroll_length + 1) * spec.num_envs * (width + 512)
