"""``procgen/<game>@levels<first>-<last>``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.strict import Config, Positive, Scalar
from thaw.envs.envpool.options import check_name, checked_settings
from thaw.envs.envpool.tasks import ask_envpool, list_tasks
from thaw.envs.envpool.vector_env import EnvPoolVectorEnv, Task
from thaw.envs.options import merge_options, split_options
from thaw.envs.spaces import count_actions
from thaw.envs.views import view_of

PROCGEN_ACTIONS: Final = (
    "LEFT+DOWN", "LEFT", "LEFT+UP", "DOWN", "NOOP", "UP", "RIGHT+DOWN", "RIGHT", "RIGHT+UP",
    "D", "A", "W", "S", "Q", "E",
)  # fmt: skip

PROCGEN_OPTIONS: Final = (
    "center_agent", "use_backgrounds", "use_monochrome_assets", "restrict_themes",
    "use_generated_assets", "paint_vel_info", "use_sequential_levels",
)  # fmt: skip


class ProcgenOptions(Config, frozen=True, kw_only=True):
    """Options of every Procgen game; Procgen's own (``use_backgrounds``, ...) can be set too."""

    difficulty: Literal["easy", "hard", "extreme", "memory", "exploration"] = "hard"
    """Procgen's distribution of levels (Cobbe et al. 2020); not every game has the last three."""
    num_threads: Positive | None = None
    """Threads of the engine; None: one for each core. Changes no result."""


def make_procgen(flavor: Flavor, num_envs: int, options: Mapping[str, Scalar]) -> EnvPoolVectorEnv:
    """Make a vector of a Procgen game.

    Args:
        flavor: ``procgen/<game>@levels<first>-<last>``, both levels included; without a variant
            it plays all levels.
        num_envs: How many.
        options: Those of :class:`ProcgenOptions`, ``max_episode_steps`` and
            ``PROCGEN_OPTIONS``; the flavor's own options win.

    Raises:
        InputError: No such game, levels or option, or a package that is not installed.
    """
    games = list_procgen()
    check_name(flavor, games)
    name, where = flavor.name, f"flavor '{flavor}'"
    own, rest = split_options(merge_options(flavor, options), ProcgenOptions, where)
    levels = _levels(flavor.variant, where)
    if own.difficulty not in games[name]:
        raise InputError(
            f"{where}: difficulty is '{own.difficulty}'; {name} has {', '.join(games[name])}"
        )
    task_id = f"{name.capitalize()}{own.difficulty.capitalize()}-v0"
    defaults = ask_envpool(task_id, {}, where).defaults
    allowed = {key: defaults[key] for key in ("max_episode_steps", *PROCGEN_OPTIONS)}
    settings = checked_settings(rest, allowed, ProcgenOptions, where) | levels
    spec = ask_envpool(task_id, settings, where)
    view = view_of(spec.observation_space, where, channel_order="first")
    num_actions = count_actions(spec.action_space, where)
    return EnvPoolVectorEnv(
        Task(task_id, settings, own.num_threads, view, PROCGEN_ACTIONS, num_actions), num_envs
    )


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


def _levels(variant: str, where: str) -> dict[str, int]:
    """Return Procgen's settings for ``levels<first>-<last>``; ``num_levels`` 0 means all."""
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
            f"{where}: '{variant}' needs a first level that is not above the last, and both below "
            f"{2**31 - 1}"
        )
    return {"start_level": first, "num_levels": last - first + 1}
