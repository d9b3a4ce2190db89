"""What a policy sees and can do in an environment, and whether two environments agree on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import gymnasium
from numpy.typing import NDArray

from thaw.config.errors import InputError
from thaw.config.flavor import Flavor

VectorEnv = gymnasium.vector.VectorEnv[NDArray[Any], NDArray[Any], NDArray[Any]]


@runtime_checkable
class Restorable(Protocol):
    """An environment whose whole state can be saved, so that a run resumes bit for bit."""

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return the state as arrays."""

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Continue from such a state."""


def frames_per_step(env: VectorEnv) -> int:
    """Return how many frames of the game or app pass in one step."""
    return int(env.metadata.get("frames_per_step", 1))


def score_continues(infos: Mapping[str, Any]) -> Any:
    """Return where the next episode continues the score of the one that ends, as after a lost life.

    Args:
        infos: Those of a step. Gymnasium's vectors that reset in the same step have the ended
            episode's infos under `final_info`.

    Returns:
        The infos' `score_continues` [num_envs] bool; False if they have none.
    """
    final = infos.get("final_info")
    ended = final if isinstance(final, Mapping) else infos
    return ended.get("score_continues", False)


def action_meanings(env: VectorEnv) -> tuple[str, ...] | None:
    """Return the names of the actions, if the environment's metadata has them."""
    meanings = env.metadata.get("action_meanings")
    return None if meanings is None else tuple(meanings)


def count_actions(space: gymnasium.Space[Any], where: str) -> int:
    """Return the number of actions in an action space.

    Args:
        space: The actions of one environment.
        where: Names the environment in errors.

    Raises:
        InputError: The actions are not discrete.
    """
    if not isinstance(space, gymnasium.spaces.Discrete):
        raise InputError(
            f"{where}: actions are {space}; thaw needs discrete actions, so wrap the environment "
            "in one that offers a list of them"
        )
    return int(space.n)


class Spaces(NamedTuple):
    """The observations and actions of a flavor."""

    observation_shape: tuple[int, ...]
    observation_type: str
    num_actions: int
    action_meanings: tuple[str, ...] | None
    """None if the environment does not name its actions."""
    frames_per_step: int

    @classmethod
    def of(cls, env: VectorEnv, flavor: Flavor) -> Spaces:
        """Return the spaces of an environment.

        Args:
            env: The environment.
            flavor: Names it in errors.

        Raises:
            InputError: Observations are not arrays, or actions are not discrete.
        """
        space = env.single_observation_space
        if space.shape is None:
            raise InputError(
                f"flavor '{flavor}': observations are {space}; thaw needs arrays, so wrap the "
                "environment in one that returns one array"
            )
        return cls(
            observation_shape=tuple(space.shape),
            observation_type=str(space.dtype),
            num_actions=count_actions(env.single_action_space, f"flavor '{flavor}'"),
            action_meanings=action_meanings(env),
            frames_per_step=frames_per_step(env),
        )

    @property
    def observations(self) -> str:
        """The observations in words."""
        return f"observations {list(self.observation_shape)} of {self.observation_type}"


def check_same_actions(source: Flavor, there: Spaces, target: Flavor, here: Spaces) -> None:
    """Check that every action means the same in two flavors; thaw remaps nothing.

    Args:
        source: The flavor of the pretraining.
        there: Its spaces.
        target: The flavor of the transfer.
        here: Its spaces.

    Raises:
        InputError: The actions differ in number, names or order; the message lists how.
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
