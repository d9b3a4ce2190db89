"""What a policy meets in an environment, and whether two environments ask the same of it."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import gymnasium
from numpy.typing import NDArray

from thaw.config.errors import InputError
from thaw.config.flavor import Flavor


@runtime_checkable
class Restorable(Protocol):
    """An environment whose whole state can be saved, so that a run resumes bit for bit."""

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return the state as arrays."""

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Continue from such a state."""


VectorEnv = gymnasium.vector.VectorEnv[NDArray[Any], NDArray[Any], NDArray[Any]]


def frames_per_step(env: VectorEnv) -> int:
    """Return how many frames of the underlying machine one decision lasts."""
    return int(env.metadata.get("frames_per_step", 1))


def action_meanings(env: VectorEnv) -> tuple[str, ...] | None:
    """Return the names of the actions, where the environment declares them in its metadata."""
    meanings = env.metadata.get("action_meanings")
    return None if meanings is None else tuple(meanings)


class Spaces(NamedTuple):
    """What a policy meets in a flavor."""

    observation_shape: tuple[int, ...]
    observation_type: str
    num_actions: int
    action_meanings: tuple[str, ...] | None
    """None where the environment does not name its actions."""
    frames_per_step: int

    @property
    def observations(self) -> str:
        """The observations in words."""
        return f"observations {list(self.observation_shape)} of {self.observation_type}"


def check_same_actions(source: Flavor, there: Spaces, target: Flavor, here: Spaces) -> None:
    """Check that every action means the same in two flavors; thaw remaps nothing.

    Raises:
        InputError: The actions differ in number, names or order; it says in which.
    """
    old, new = there.action_meanings, here.action_meanings
    if old is None or new is None:
        if there.num_actions != here.num_actions:
            raise InputError(
                f"'{source}' has {there.num_actions} actions, but '{target}' has "
                f"{here.num_actions}; one policy must fit both and thaw remaps no actions, so give "
                "both the same options"
            )
        return
    if old == new:
        return
    differences = [
        f"only '{flavor}' has {', '.join(names)}"
        for flavor, names in (
            (source, [name for name in old if name not in new]),
            (target, [name for name in new if name not in old]),
        )
        if names
    ] or [
        f"action {index} is {a} in '{source}' and {b} in '{target}'"
        for index, (a, b) in enumerate(zip(old, new, strict=False))
        if a != b
    ]
    raise InputError(
        f"'{source}' has {len(old)} actions and '{target}' has {len(new)}, and they are not the "
        f"same: {'; '.join(differences)}. One policy must fit both and thaw remaps no actions: "
        "choose the same for both by an option (on Atari, full_action_space=true) or wrap one of "
        "the environments"
    )
