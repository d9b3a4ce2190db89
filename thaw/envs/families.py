"""Environments by address: ``make_env("catch@large_ball", num_envs=8)``; the list of flavors."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from importlib.metadata import version
from typing import Any, Final

from thaw.config.errors import InputError, nearest
from thaw.config.flavor import FAMILIES, Flavor
from thaw.envs.catch.family import list_catch, make_catch
from thaw.envs.spaces import Spaces, VectorEnv

ENGINE_FAMILIES: Final = ("atari", "minigrid", "procgen", "envpool")
"""The families whose engine, EnvPool, has threads."""


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
        **options: The family's options. The settings of the variant and the options in the
            address win over them.

    Raises:
        InputError: No such flavor, or an option that is unknown or out of range.
    """
    flavor = Flavor(address)
    if num_envs < 1:
        raise InputError(f"num_envs is {num_envs}; it must be at least 1")
    env: VectorEnv
    match flavor.family:
        case "catch":
            env = make_catch(flavor, num_envs, options, drawn_on)
        case "atari":
            from thaw.envs.atari.vector_env import make_atari

            env = make_atari(flavor, num_envs, options)
        case "minigrid":
            from thaw.envs.envpool.minigrid import make_minigrid

            env = make_minigrid(flavor, num_envs, options)
        case "procgen":
            from thaw.envs.envpool.procgen import make_procgen

            env = make_procgen(flavor, num_envs, options)
        case "gym":
            from thaw.envs.gym import make_gym

            env = make_gym(flavor, num_envs, options)
        case "envpool":
            from thaw.envs.envpool.any_task import make_envpool

            env = make_envpool(flavor, num_envs, options)
        case "androidenv":
            from thaw.envs.androidenv.family import make_androidenv

            env = make_androidenv(flavor, num_envs, options)
        case _:
            raise InputError(
                f"unknown family '{flavor.family}' in flavor '{flavor}'"
                f"{nearest(flavor.family, FAMILIES)} Known: {', '.join(FAMILIES)}"
            )
    if seed is not None:
        env.reset(seed=seed)
    return env


def flavor_spaces(flavor: Flavor, options: Mapping[str, Any]) -> Spaces:
    """Make an environment of a flavor, return its spaces and close it.

    Args:
        flavor: Which one.
        options: The family's options.

    Raises:
        InputError: An unknown flavor or option, or actions that are not discrete.
    """
    env = make_env(flavor, 1, **options)
    try:
        return Spaces.of(env, flavor)
    finally:
        env.close()


# ------------------------------------------------------- facts about families that others ask for


def canonical_flavor(flavor: Flavor) -> Flavor:
    """Return the one address of an environment that has several.

    ``atari/breakout`` and ``atari/breakout@m0d0`` are the same game: ALE plays that mode and
    difficulty by default. The shorter address is returned.

    Raises:
        InputError: No such Atari game or variant, or a package that is not installed.
    """
    if flavor.family != "atari" or flavor.variant == "default":
        return flavor
    from thaw.envs.atari.games import ask_ale, parse_variant

    if parse_variant(flavor) != ask_ale(flavor.name).default:
        return flavor
    return Flavor(str(flavor).replace(f"@{flavor.variant}", "", 1))


def options_from(
    flavor: Flavor, options: Mapping[str, Any], first_environment: int
) -> dict[str, Any]:
    """Return the options for one share of a run's environments.

    Each environment of AndroidEnv has a device, so every share must count its devices from
    another number.

    Args:
        flavor: Which flavor the run plays.
        options: The options of the run.
        first_environment: The index of the share's first environment within the run.
    """
    if flavor.family != "androidenv":
        return dict(options)
    return {**options, "first_device": options.get("first_device", 0) + first_environment}


def one_engine_thread(flavor: Flavor) -> dict[str, int]:
    """Return the option that limits a flavor's engine to one thread; empty without an engine."""
    return {"num_threads": 1} if flavor.family in ENGINE_FAMILIES else {}


def describe_flavor(flavor: Flavor) -> dict[str, str | None]:
    """Return what machine.json records about an environment: ROM checksum, package versions."""
    if flavor.family == "atari":
        from thaw.envs.atari.games import describe_atari

        return describe_atari(flavor.name)
    if flavor.family == "androidenv":
        return {"android_env": version("android-env")}
    return {}


# ------------------------------------------------------------------------------ list of flavors


def list_flavors(pattern: str = "*") -> list[str]:
    """List the flavors whose address matches a shell pattern or contains it.

    Some families are open-ended, and one line stands for all of their flavors:
    ``procgen/coinrun@levels<first>-<last>``, ``gym/<id>``, ``envpool/<id>``,
    ``androidenv/<path>.textproto``. If a family's package is not installed, one line stands for
    the whole family, as in ``atari/<game>@m<mode>d<difficulty>``.
    """
    from thaw.envs.androidenv.family import list_androidenv

    addresses = list_catch() + _list_atari(pattern) + _list_envpool()
    addresses += ["gym/<id>", "envpool/<id>", *list_androidenv()]
    return [a for a in addresses if fnmatch(a, pattern) or pattern in a]


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
