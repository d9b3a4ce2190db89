"""Look for what could not work before anything is written."""

from __future__ import annotations

from typing import Any, NamedTuple

from thaw.config import Suite
from thaw.envs import action_meanings, frames_per_step, make_env
from thaw.plain import InputError
from thaw.words import Flavor


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


def check_suite(suite: Suite) -> dict[Flavor, Spaces]:
    """Make every flavor of a suite once and compare source with target.

    Returns:
        The spaces of each flavor; needs no torch.

    Raises:
        InputError: An unknown flavor or option, actions that are not discrete, or a source and
            target with different observations or actions.
    """
    spaces: dict[Flavor, Spaces] = {}
    options = {key: value for key, value in suite.environment.items() if key != "num_envs"}
    for transfer in suite.transfers:
        for flavor in (transfer.source, transfer.target):
            if flavor not in spaces:
                spaces[flavor] = flavor_spaces(flavor, options)
        source, target = spaces[transfer.source], spaces[transfer.target]
        if source.observations != target.observations:
            raise InputError(
                f"'{transfer.source}' has {source.observations}, but '{transfer.target}' has "
                f"{target.observations}; one policy must fit both, so give both the same options"
            )
        check_same_actions(transfer.source, source, transfer.target, target)
    return spaces


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


def flavor_spaces(flavor: Flavor, options: dict[str, Any]) -> Spaces:
    """Return what a policy meets in a flavor.

    Raises:
        InputError: An unknown flavor or option, or actions that are not discrete.
    """
    env = make_env(flavor, 1, **options)
    try:
        space, num_actions = env.single_observation_space, getattr(env.single_action_space, "n", 0)
        if space.shape is None or num_actions < 1:
            raise InputError(
                f"'{flavor}' has observations {space} and actions {env.single_action_space}; thaw "
                "needs arrays and discrete actions"
            )
        return Spaces(
            observation_shape=tuple(space.shape),
            observation_type=str(space.dtype),
            num_actions=int(num_actions),
            action_meanings=action_meanings(env),
            frames_per_step=frames_per_step(env),
        )
    finally:
        env.close()
