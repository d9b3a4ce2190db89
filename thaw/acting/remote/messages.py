"""What actors in other processes and the learner tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from thaw.config.errors import InputError
from thaw.trajectory import EpisodeStats

Arrays = Mapping[str, NDArray[Any]]


class ActorsFailed(RuntimeError):
    """The actors bring no more unrolls; the learner is whole, between two updates."""


class ActorsRefused(ActorsFailed, InputError):
    """An actor found the user's input wrong, as an environment that is not there."""


class Delivery(NamedTuple):
    """One unroll of one actor's own environments, B of them."""

    unroll: Arrays
    """The fields of a :class:`Trajectory` that are there; axis 1 is B."""
    episodes: list[EpisodeStats]
    """Finished while acting; ``environment`` counts over all actors, ``step`` is the actor's."""
    version: int
    """Updates behind the weights that acted."""
    dropped_steps: int = 0
    """Decisions that the actor's environments, in real time, did without in this unroll."""


class Actors(Protocol):
    """Actors that collect unrolls all the time, each with the newest weights when it is asked."""

    num_restarts: int
    """Actors that died or hung and were replaced."""

    def publish(self, weights: Arrays, version: int) -> None:
        """Let every unroll that is asked for from now on be collected with these weights."""

    def receive(self) -> Delivery:
        """Wait for the next unroll of any actor.

        Raises:
            ActorsFailed: None will come.
        """

    def close(self) -> None:
        """End the actors."""
