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

from thaw.acting.remote.messages import ActorsFailed, ActorsRefused, Arrays, Delivery
from thaw.acting.remote.process import ActorProcess, Failure, Task
from thaw.acting.remote.ray_session import RaySession
from thaw.config.run_spec import RunSpec
from thaw.config.runtime import Runtime

NUM_REQUESTS = 2
"""Unrolls asked of an actor at once, so that it acts while the learner learns. This bounds the
queue: what waits for the learner is at most two unrolls of each actor."""

MAX_FAILURES = 3
"""Failures of one actor in a row, without one unroll, that end the run."""

POLL_SECONDS = 0.2
"""While it waits, the learner looks after stop signals and hung actors this often."""

_log = logging.getLogger("thaw")


@dataclass(eq=False)
class _Place:
    """One actor's place; who dies in it is replaced."""

    number: int
    handle: Any
    requests: deque[Any] = field(default_factory=deque)
    """In the order in which they were made, which is that in which they are answered."""
    waiting_since: float = 0.0
    """When the oldest request was made or the one before it answered, whatever came last."""
    num_failures: int = 0
    """In a row."""
    num_replaced: int = 0


class RemoteActors:
    """The actors of one run, see :class:`thaw.acting.remote.messages.Actors`.

    While the learner waits, each actor has a request to work on; while it learns, a second one.
    So no actor waits for the learner's batch, and few requests carry old weights.

    Args:
        spec: The run; its environments are divided among the actors as evenly as they go.
        runtime: Where Ray is and how long an actor may be silent.
        observation_shape: Of one observation.
        num_actions: Discrete actions.
        store_embeddings: Send embeddings instead of observations.
        stream: Distinguishes the seeds of a resumed run from those before.
        check: Called often while waiting; may raise to end the waiting.

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
        self.pending: dict[Any, _Place] = {}  # in the order of asking
        batch_bytes = unroll_bytes(spec, observation_shape, store_embeddings)
        num_actors = spec.agent.actors
        self.session = RaySession(runtime.ray_address, num_actors, (NUM_REQUESTS + 1) * batch_bytes)
        self.ray = self.session.ray
        self.kind = self.ray.remote(num_cpus=1)(ActorProcess)
        self.places = [_Place(i, self.start(i, 0)) for i in range(num_actors)]

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
        """Let every unroll that is asked for from now on be collected with these weights."""
        with self.explained():
            self.weights, self.version = self.ray.put(dict(weights)), version
            for place in self.places:
                while len(place.requests) < NUM_REQUESTS:
                    self.request(place)

    def receive(self) -> Delivery:
        """Wait for the next unroll of any actor, and replace those that died or hang.

        Raises:
            ActorsRefused: An actor found the input wrong.
            ActorsFailed: One failed several times in a row, or Ray itself did.
        """
        while True:
            self.check()
            with self.explained():
                self.replace_hung()
                # Those that were asked first come first: none is starved.
                ready, _ = self.ray.wait(list(self.pending), num_returns=1, timeout=POLL_SECONDS)
                for request in ready:
                    delivery = self.take(request)
                    if delivery is not None:
                        return delivery

    def request(self, place: _Place) -> None:
        """Ask an actor for one more unroll, with the newest weights."""
        if not place.requests:
            place.waiting_since = time.monotonic()
        request = place.handle.collect.remote(self.weights, self.version)
        place.requests.append(request)
        self.pending[request] = place

    def take(self, request: Any) -> Delivery | None:
        """Take an actor's answer; None if it was replaced for it."""
        place = self.pending.pop(request)
        place.requests.remove(request)
        try:
            answer = self.ray.get(request)
        except self.ray.exceptions.RayError as error:
            self.replace(place, " ".join(f"{type(error).__name__}: {error}".split())[:300])
            return None
        if isinstance(answer, Failure):
            if answer.is_input_error:
                raise ActorsRefused(answer.error)
            self.replace(place, answer.error, answer.traceback)
            return None
        assert isinstance(answer, Delivery)
        place.num_failures = 0
        place.waiting_since = time.monotonic()
        if not place.requests:
            self.request(place)
        return answer

    def replace_hung(self) -> None:
        """Replace whoever brought nothing for too long."""
        for place in self.places:
            if time.monotonic() - place.waiting_since < self.timeout_seconds:
                continue
            ready, _ = self.ray.wait([place.requests[0]], timeout=0)
            if not ready:  # else it was the learner that took so long
                self.replace(place, f"it brought no unroll in {self.timeout_seconds:g} seconds")

    def replace(self, place: _Place, reason: str, remote_traceback: str = "") -> None:
        """Start another actor in a failed one's place; what that one was asked for is dropped."""
        place.num_failures += 1
        if place.num_failures == MAX_FAILURES:
            cause = RuntimeError(f"\n{remote_traceback}") if remote_traceback else None
            raise ActorsFailed(
                f"actor {place.number} failed {MAX_FAILURES} times in a row, at last: {reason}"
            ) from cause
        _log.warning("actor %d is replaced: %s", place.number, reason)
        self.ray.kill(place.handle)
        for request in place.requests:
            del self.pending[request]
        place.requests.clear()
        self.num_restarts += 1
        place.num_replaced += 1
        place.handle = self.start(place.number, place.num_replaced)
        self.request(place)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn an error of Ray itself into one that says so."""
        try:
            yield
        except (self.ray.exceptions.RayError, ConnectionError) as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise ActorsFailed(f"Ray failed: {text}") from error

    def close(self) -> None:
        """End the actors, and Ray where it was started for them."""
        for place in self.places:
            with suppress(Exception):  # with Ray gone they are gone too
                self.ray.kill(place.handle)
        self.places.clear()
        self.session.close()


def unroll_bytes(spec: RunSpec, observation_shape: tuple[int, ...], store_embeddings: bool) -> int:
    """Return about how many bytes a batch of unrolls takes."""
    width = spec.agent.embedding_size * 4
    if not store_embeddings:
        width = math.prod(observation_shape) * 4  # at most: images have one byte
    return (spec.agent.unroll_length + 1) * spec.num_envs * (width + 512)
