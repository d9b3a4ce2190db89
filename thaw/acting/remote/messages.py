"""The messages between the learner and actors in other processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from thaw.config.errors import InputError
from thaw.policy.trajectory import EpisodeStats

Arrays = Mapping[str, NDArray[Any]]


class ActorsFailed(RuntimeError):
    """The actors bring no more unrolls; the learner is whole, between two updates."""


class ActorsRefused(ActorsFailed, InputError):
    """An actor found the user's input wrong, such as an environment that does not exist."""


class RayFailed(ActorsFailed, ConnectionError):
    """Ray itself failed, not an actor."""


class Delivery(NamedTuple):
    """One unroll of the B environments of one actor."""

    unroll: Arrays
    """The fields of a :class:`Trajectory` that are not None; axis 1 is B."""
    episodes: list[EpisodeStats]
    """Finished while acting; ``environment`` counts over all actors, ``step`` is the actor's."""
    version: int
    """Number of updates that made the weights that acted."""
    dropped_steps: int = 0
    """Decisions of this unroll that came too late for real-time environments."""


class Actors(Protocol):
    """Actors that collect unrolls all the time, each with the newest weights at its request."""

    num_restarts: int
    """Actors that died or hung and were replaced."""

    def publish(self, weights: Arrays, version: int) -> None:
        """Use these weights for every unroll that is requested from now on."""

    def receive(self) -> Delivery:
        """Wait for the next unroll of any actor.

        Raises:
            ActorsFailed: No unroll will come.
        """

    def close(self) -> None:
        """End the actors."""
