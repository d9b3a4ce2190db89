"""Look for what could not work before anything is written."""

from __future__ import annotations

from typing import Any, NamedTuple

from thaw.config import Flavor, InputError, Suite
from thaw.envs import frames_per_step, make_env


class Spaces(NamedTuple):
    """What a policy meets in a flavor."""

    observation_shape: tuple[int, ...]
    observation_type: str
    num_actions: int
    frames_per_step: int


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
        for what, there, here in (
            ("observations", source[:2], target[:2]),
            ("number of actions", source.num_actions, target.num_actions),
        ):
            if there != here:
                raise InputError(
                    f"'{transfer.source}' and '{transfer.target}' differ in their {what}: {there} "
                    f"and {here}; one policy must fit both, so give both the same options"
                )
    return spaces


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
        return Spaces(tuple(space.shape), str(space.dtype), int(num_actions), frames_per_step(env))
    finally:
        env.close()
