"""Environments by address: ``make_env("catch@large_ball", num_envs=8)``; the list of flavors."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from importlib.metadata import version
from typing import Any

from thaw.config.errors import InputError, nearest
from thaw.config.flavor import Flavor
from thaw.envs.catch.family import make_catch
from thaw.envs.spaces import Spaces, VectorEnv, action_meanings, frames_per_step

FAMILIES = ("catch", "atari", "minigrid", "procgen", "gym", "envpool", "androidenv")


def make_env(
    address: str | Flavor,
    num_envs: int = 1,
    seed: int | None = None,
    *,
    drawn_on: str = "cpu",
    **options: Any,
) -> VectorEnv:
    """Make a vector of environments of one flavor.

    Args:
        address: ``family/name@variant?option=value``, see :class:`thaw.config.flavor.Flavor`.
        num_envs: How many.
        seed: If given, the environments are reset with it once.
        drawn_on: Torch device on which observations are wanted. Families that can draw there
            (Catch) return tensors; others, and all on the CPU, return NumPy arrays.
        **options: The family's options; the variant's own settings and the address's win.

    Raises:
        InputError: No such flavor, or an option that is unknown or out of range.
    """
    flavor = Flavor(address)
    if num_envs < 1:
        raise InputError(f"num_envs is {num_envs}; it must be at least 1")
    both = {**options, **dict(flavor.options)}
    env: VectorEnv
    match flavor.family:
        case "catch":
            env = make_catch(flavor, num_envs, options, drawn_on)
        case "atari":
            from thaw.envs.atari.vector_env import make_atari

            env = make_atari(flavor.name, flavor.variant, num_envs, both)
        case "minigrid":
            from thaw.envs.envpool.minigrid import make_minigrid

            env = make_minigrid(flavor.name, flavor.variant, num_envs, both)
        case "procgen":
            from thaw.envs.envpool.procgen import make_procgen

            env = make_procgen(flavor.name, flavor.variant, num_envs, both)
        case "gym":
            from thaw.envs.gym import make_gym

            env = make_gym(flavor.name, flavor.variant, num_envs, both)
        case "envpool":
            from thaw.envs.envpool.any_task import make_envpool

            env = make_envpool(flavor.name, flavor.variant, num_envs, both)
        case "androidenv":
            from thaw.envs.androidenv.family import make_androidenv

            env = make_androidenv(flavor.name, flavor.variant, num_envs, both)
        case _:
            raise InputError(
                f"unknown family '{flavor.family}' in flavor '{flavor}'"
                f"{nearest(flavor.family, FAMILIES)} Known: {', '.join(FAMILIES)}"
            )
    if seed is not None:
        env.reset(seed=seed)
    return env


def list_flavors(pattern: str = "*") -> list[str]:
    """List flavors, those whose address matches a shell pattern or contains it.

    Some families have no end: ``procgen/coinrun@levels<first>-<last>``, ``gym/<id>``,
    ``envpool/<id>``, ``androidenv/<path>.textproto`` stand for all of theirs. Families whose
    packages are not installed are listed as ``atari/<game>`` and the like.
    """
    from thaw.envs.androidenv.family import list_androidenv
    from thaw.envs.catch.knobs import VARIANTS

    addresses = [str(Flavor(f"catch@{variant}")) for variant in VARIANTS]
    addresses += _list_atari(pattern) + _list_envpool() + ["gym/<id>", "envpool/<id>"]
    addresses += list_androidenv()
    return [a for a in addresses if fnmatch(a, pattern) or pattern in a]


def options_from(
    flavor: Flavor, options: Mapping[str, Any], first_environment: int
) -> dict[str, Any]:
    """Return the options of those of a run's environments that begin with some number.

    Whoever divides a run's environments gives each part devices of its own, where it has any.
    """
    if flavor.family != "androidenv":
        return dict(options)
    return {**options, "first_device": options.get("first_device", 0) + first_environment}


def describe_flavor(flavor: Flavor) -> dict[str, str | None]:
    """Describe what machine.json should remember of an environment: ROM checksum, versions."""
    if flavor.family == "atari":
        from thaw.envs.atari.games import describe_atari

        return describe_atari(flavor.name)
    if flavor.family == "androidenv":
        return {"android_env": version("android-env")}
    return {}


def _list_atari(pattern: str) -> list[str]:
    from thaw.envs.atari.games import list_atari_flavors

    try:
        return list_atari_flavors(pattern)
    except InputError:
        return ["atari/<game>@m<mode>d<difficulty>"]


def _list_envpool() -> list[str]:
    from thaw.envs.envpool.minigrid import list_minigrid
    from thaw.envs.envpool.procgen import list_procgen

    try:
        minigrid, procgen = list_minigrid(), list_procgen()
    except InputError:
        return ["minigrid/<id>", "procgen/<game>@levels<first>-<last>"]
    levels = ("", "@levels<first>-<last>")
    return [f"minigrid/{id_}" for id_ in minigrid] + [
        f"procgen/{game}{level}" for game in procgen for level in levels
    ]


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
