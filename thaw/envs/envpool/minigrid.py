"""``minigrid/<id>``: MiniGrid and BabyAI tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np
from gymnasium import spaces

from thaw.config.flavor import Flavor
from thaw.config.strict import Config, Positive, Scalar
from thaw.envs.envpool.options import check_name, check_no_variant, checked_settings
from thaw.envs.envpool.tasks import ask_envpool, list_tasks
from thaw.envs.envpool.vector_env import Array, EnvPoolVectorEnv, Task
from thaw.envs.options import merge_options, split_options
from thaw.envs.spaces import count_actions
from thaw.envs.views import View, view_of

MINIGRID_ACTIONS: Final = ("left", "right", "forward", "pickup", "drop", "toggle", "done")

SYMBOLS: Final = (11, 6, 3)
"""How many objects, colors and door states MiniGrid has; a tile is three such numbers."""


class MiniGridOptions(Config, frozen=True, kw_only=True):
    """Options of every MiniGrid and BabyAI task; the task's own numbers can be set too."""

    observation: Literal["one_hot", "symbols"] = "one_hot"
    """The 7x7 tiles that the agent sees. symbols: [7, 7, 3], MiniGrid's codes of object, color and
    state, which are not quantities; one_hot: [7, 7, 20], 0 and 255."""
    num_threads: Positive | None = None
    """Threads of the engine; None: one for each core. Changes no result."""


def make_minigrid(flavor: Flavor, num_envs: int, options: Mapping[str, Scalar]) -> EnvPoolVectorEnv:
    """Make a vector of a MiniGrid or BabyAI task.

    The policy sees the tiles in front of the agent; it does not see the mission's text.

    Args:
        flavor: ``minigrid/<id>``, with EnvPool's id, as ``MiniGrid-DoorKey-5x5-v0``.
        num_envs: How many.
        options: Those of :class:`MiniGridOptions`, ``max_episode_steps``, and the numbers with
            which the task is registered (``size``, ``num_objs``, ...); the flavor's own options
            win.

    Raises:
        InputError: No such task, an option that is unknown or of the wrong type, or a package
            that is not installed.
    """
    check_name(flavor, list_minigrid())
    check_no_variant(flavor)
    name, where = flavor.name, f"flavor '{flavor}'"
    own, rest = split_options(merge_options(flavor, options), MiniGridOptions, where)
    defaults = ask_envpool(name, {}, where).defaults
    # EnvPool accepts the options of all MiniGrid tasks for each of them, and ignores most.
    allowed = {
        key: defaults[key]
        for key in ("max_episode_steps", *list_tasks()[name].options)
        if isinstance(defaults.get(key), bool | int | float) and key != "mission_bytes"
    }
    settings = checked_settings(rest, allowed, MiniGridOptions, where)
    spec = ask_envpool(name, settings, where)
    view = view_of(spec.observation_space, where, observation_key="image")
    if own.observation == "one_hot":
        view = _one_hot_tiles(view)
    num_actions = count_actions(spec.action_space, where)
    actions = MINIGRID_ACTIONS[:num_actions]
    return EnvPoolVectorEnv(
        Task(name, settings, own.num_threads, view, actions, num_actions), num_envs
    )


def list_minigrid() -> list[str]:
    """List the MiniGrid and BabyAI tasks.

    Raises:
        InputError: EnvPool is not installed.
    """
    return [id_ for id_, entry in list_tasks().items() if entry.module == "envpool.minigrid"]


def _one_hot_tiles(view: View) -> View:
    """Show each of a tile's three numbers as a one-hot vector of 0 and 255."""
    height, width, _ = view.space.shape
    tables = [np.eye(count, dtype=np.uint8) * np.uint8(255) for count in SYMBOLS]

    def show(observation: Any) -> Array:
        tiles = view.show(observation)
        return np.concatenate([table[tiles[..., i]] for i, table in enumerate(tables)], axis=-1)

    return View(spaces.Box(0, 255, (height, width, sum(SYMBOLS)), np.uint8), show)
