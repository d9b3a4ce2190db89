"""``minigrid/<id>``, ``procgen/<game>@<levels>`` and ``envpool/<id>``: what EnvPool serves.

All three are one adapter, :class:`EnvPoolVectorEnv`; they differ in which options there are and in
how observations are shown. Atari has an adapter of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeVar

import numpy as np
from gymnasium import spaces

from thaw.config import Config, Positive
from thaw.envs.envpool_vector import (
    Array,
    EnvPoolVectorEnv,
    Task,
    ask_envpool,
    list_tasks,
)
from thaw.envs.presentation import View, check_discrete, checked_option, view_of
from thaw.plain import InputError, Scalar, from_plain, nearest

MINIGRID_ACTIONS: Final = ("left", "right", "forward", "pickup", "drop", "toggle", "done")
PROCGEN_ACTIONS: Final = (
    "LEFT+DOWN", "LEFT", "LEFT+UP", "DOWN", "NOOP", "UP", "RIGHT+DOWN", "RIGHT", "RIGHT+UP",
    "D", "A", "W", "S", "Q", "E",
)  # fmt: skip
PROCGEN_OPTIONS: Final = (
    "center_agent", "use_backgrounds", "use_monochrome_assets", "restrict_themes",
    "use_generated_assets", "paint_vel_info", "use_sequential_levels",
)  # fmt: skip
ENGINE_OPTIONS: Final = (
    "base_path", "batch_size", "env_name", "env_seed", "gym_reset_return_info",
    "max_num_players", "num_envs", "num_threads", "reward_threshold", "seed",
    "thread_affinity_offset",
)  # fmt: skip
"""Of EnvPool itself; not for users."""
OWN_FAMILIES: Final = {
    "envpool.atari": "atari", "envpool.minigrid": "minigrid", "envpool.procgen": "procgen"
}  # fmt: skip
SYMBOLS: Final = (11, 6, 3)
"""MiniGrid's objects, colors and states of a door: the three numbers of a tile."""


class MiniGridOptions(Config, frozen=True, kw_only=True):
    """Of every MiniGrid and BabyAI task; the task's own sizes and counts come on top."""

    observation: Literal["one_hot", "symbols"] = "one_hot"
    """The 7x7 tiles that the agent sees. symbols: [7, 7, 3], MiniGrid's numbers of object, color
    and state, which mean nothing as quantities; one_hot: [7, 7, 20], 0 and 255."""
    num_threads: Positive | None = None
    """Of the engine; None for as many as cores. Changes no result."""


def make_minigrid(
    name: str, variant: str, num_envs: int, options: Mapping[str, Scalar]
) -> EnvPoolVectorEnv:
    """Make a vector of a MiniGrid or BabyAI task.

    The policy sees the tiles in front of the agent; the mission's text is left out.

    Args:
        name: EnvPool's id, as ``MiniGrid-DoorKey-5x5-v0``.
        variant: Must be ``default``.
        num_envs: How many.
        options: Those of :class:`MiniGridOptions`, ``max_episode_steps``, and the numbers with
            which the task is registered (``size``, ``num_objs``, ...).

    Raises:
        InputError: No such task, an option that is unknown or of the wrong type, or a package
            that is not installed.
    """
    where = _checked_name(name, variant, "minigrid", list_minigrid())
    own, rest = _split(options, MiniGridOptions, where)
    defaults = ask_envpool(name, {}, where).defaults
    # EnvPool takes every option of any MiniGrid task for all of them, and ignores most.
    allowed = {
        key: defaults[key]
        for key in ("max_episode_steps", *list_tasks()[name].options)
        if isinstance(defaults.get(key), bool | int | float) and key != "mission_bytes"
    }
    settings = _settings(rest, allowed, MiniGridOptions, where)
    spec = ask_envpool(name, settings, where)
    view = view_of(spec.observation_space, where, observation_key="image")
    if own.observation == "one_hot":
        view = _one_hot_tiles(view)
    num_actions = check_discrete(spec.action_space, where)
    actions = MINIGRID_ACTIONS[:num_actions]
    return EnvPoolVectorEnv(
        Task(name, settings, own.num_threads, view, actions, num_actions), num_envs
    )


class ProcgenOptions(Config, frozen=True, kw_only=True):
    """Of every Procgen game; Procgen's own switches (``use_backgrounds``, ...) come on top."""

    difficulty: Literal["easy", "hard", "extreme", "memory", "exploration"] = "hard"
    """Procgen's distribution of levels (Cobbe et al. 2020); not every game has the last three."""
    num_threads: Positive | None = None
    """Of the engine; None for as many as cores. Changes no result."""


def make_procgen(
    name: str, variant: str, num_envs: int, options: Mapping[str, Scalar]
) -> EnvPoolVectorEnv:
    """Make a vector of a Procgen game.

    Args:
        name: The game, as ``coinrun``.
        variant: ``levels<first>-<last>``, both included; ``default`` is all levels there are.
        num_envs: How many.
        options: Those of :class:`ProcgenOptions`, ``max_episode_steps`` and
            ``PROCGEN_OPTIONS``.

    Raises:
        InputError: No such game, levels or option, or a package that is not installed.
    """
    games = list_procgen()
    where = _checked_name(name, "default", "procgen", games)
    own, rest = _split(options, ProcgenOptions, where)
    levels = _levels(variant, where)
    if own.difficulty not in games[name]:
        raise InputError(
            f"{where}: difficulty is '{own.difficulty}'; {name} has {', '.join(games[name])}"
        )
    task_id = f"{name.capitalize()}{own.difficulty.capitalize()}-v0"
    defaults = ask_envpool(task_id, {}, where).defaults
    allowed = {key: defaults[key] for key in ("max_episode_steps", *PROCGEN_OPTIONS)}
    settings = _settings(rest, allowed, ProcgenOptions, where) | levels
    spec = ask_envpool(task_id, settings, where)
    view = view_of(spec.observation_space, where, channel_order="first")
    num_actions = check_discrete(spec.action_space, where)
    return EnvPoolVectorEnv(
        Task(task_id, settings, own.num_threads, view, PROCGEN_ACTIONS, num_actions), num_envs
    )


class EnvPoolOptions(Config, frozen=True, kw_only=True):
    """Thaw's own; the options of EnvPool's task come on top."""

    observation_key: str | None = None
    """Which entry of a Dict the policy sees."""
    channel_order: Literal["auto", "first", "last"] = "auto"
    """Of images, see :func:`thaw.envs.presentation.view_of`."""
    num_threads: Positive | None = None
    """Of the engine; None for as many as cores. Changes no result."""


def make_envpool(
    name: str, variant: str, num_envs: int, options: Mapping[str, Scalar]
) -> EnvPoolVectorEnv:
    """Make a vector of any other task of EnvPool's with discrete actions.

    Args:
        name: EnvPool's id, as ``CartPole-v1`` or ``Jumanji/Snake-v1``.
        variant: Must be ``default``.
        num_envs: How many.
        options: Those of :class:`EnvPoolOptions` and EnvPool's of the task. Some tasks share one
            list of options, and EnvPool ignores those that a task has no use for.

    Raises:
        InputError: No such task, options or spaces that do not fit, or a missing package.
    """
    where = _checked_name(name, variant, "envpool", list_others())
    own, rest = _split(options, EnvPoolOptions, where)
    defaults = ask_envpool(name, {}, where).defaults
    allowed = {
        key: value
        for key, value in defaults.items()
        if isinstance(value, bool | int | float | str) and key not in ENGINE_OPTIONS
    }
    settings = _settings(rest, allowed, EnvPoolOptions, where)
    spec = ask_envpool(name, settings, where)
    view = view_of(
        spec.observation_space,
        where,
        observation_key=own.observation_key,
        channel_order=own.channel_order,
    )
    num_actions = check_discrete(spec.action_space, where)
    return EnvPoolVectorEnv(
        Task(name, settings, own.num_threads, view, None, num_actions), num_envs
    )


# ------------------------------------------------------------------------------------ listings


def list_minigrid() -> list[str]:
    """List the MiniGrid and BabyAI tasks.

    Raises:
        InputError: EnvPool is not installed.
    """
    return [id_ for id_, entry in list_tasks().items() if entry.module == "envpool.minigrid"]


def list_procgen() -> dict[str, list[str]]:
    """List the Procgen games and the difficulties of each.

    Raises:
        InputError: EnvPool is not installed.
    """
    games: dict[str, list[str]] = {}
    for id_, entry in list_tasks().items():
        if entry.module == "envpool.procgen":
            game = str(entry.options["env_name"])
            games.setdefault(game, []).append(
                id_.removeprefix(game.capitalize()).removesuffix("-v0").lower()
            )
    return games


def list_others() -> list[str]:
    """List the tasks that have no family of their own.

    Raises:
        InputError: EnvPool is not installed.
    """
    return [id_ for id_, entry in list_tasks().items() if entry.module not in OWN_FAMILIES]


# ------------------------------------------------------------------------------------- helpers

Own = TypeVar("Own", bound=Config)


def _checked_name(name: str, variant: str, family: str, known: Iterable[str]) -> str:
    """Check name and variant, and return how errors call the flavor."""
    names = list(known)
    if name not in names:
        listed = ", ".join(names) if len(names) < 20 else f"{len(names)}, see EnvPool's docs"
        raise InputError(
            f"unknown flavor '{family}/{name}'{nearest(name, names)} There are {listed}"
        )
    where = f"flavor '{family}/{name}'"
    if variant != "default":
        raise InputError(f"{where} has no variant '{variant}'; write options after '?' instead")
    return where


def _split(
    options: Mapping[str, Scalar], kind: type[Own], where: str
) -> tuple[Own, dict[str, Scalar]]:
    """Take thaw's own options out."""
    fields = kind.__struct_fields__
    own = from_plain({k: v for k, v in options.items() if k in fields}, kind, where)
    return own, {k: v for k, v in options.items() if k not in fields}


def _settings(
    options: Mapping[str, Scalar], allowed: Mapping[str, Any], kind: type[Config], where: str
) -> dict[str, Any]:
    """Check what goes to EnvPool, against its defaults."""
    names = [*kind.__struct_fields__, *sorted(allowed)]
    for option in options:
        if option not in allowed:
            raise InputError(
                f"{where} has no option '{option}'{nearest(option, names)} Allowed: "
                f"{', '.join(names)}"
            )
    checked = {k: checked_option(k, v, allowed[k], where) for k, v in options.items()}
    for option, value in checked.items():
        if isinstance(value, int) and abs(value) >= 2**31:
            raise InputError(f"{where}: {option} is {value}; EnvPool counts to {2**31 - 1}")
    return checked


def _levels(variant: str, where: str) -> dict[str, int]:
    """Read ``levels<first>-<last>``; Procgen counts from ``start_level``, 0 levels being all."""
    if variant == "default":
        return {"start_level": 0, "num_levels": 0}
    match = re.fullmatch(r"levels(\d+)-(\d+)", variant)
    if match is None:
        raise InputError(
            f"{where}: '{variant}' is not levels<first>-<last>, as in '@levels0-199'; a "
            "difficulty is an option, as in '?difficulty=easy'"
        )
    first, last = int(match[1]), int(match[2])
    if not first <= last < 2**31 - 1:
        raise InputError(
            f"{where}: '{variant}' must have its first level not behind its last, and both below "
            f"{2**31 - 1}"
        )
    return {"start_level": first, "num_levels": last - first + 1}


def _one_hot_tiles(view: View) -> View:
    """Show each of a tile's three numbers as a one-hot vector of 0 and 255."""
    height, width, _ = view.space.shape
    tables = [np.eye(count, dtype=np.uint8) * np.uint8(255) for count in SYMBOLS]

    def show(observation: Any) -> Array:
        tiles = view.show(observation)
        return np.concatenate([table[tiles[..., i]] for i, table in enumerate(tables)], axis=-1)

    return View(spaces.Box(0, 255, (height, width, sum(SYMBOLS)), np.uint8), show)
