"""``envpool/<id>``: any other task of EnvPool with discrete actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from thaw.config.flavor import Flavor
from thaw.config.strict import Config, Positive, Scalar
from thaw.envs.envpool.options import check_name, check_no_variant, checked_settings
from thaw.envs.envpool.tasks import ask_envpool, list_tasks
from thaw.envs.envpool.vector_env import EnvPoolVectorEnv, Task
from thaw.envs.options import merge_options, split_options
from thaw.envs.spaces import count_actions
from thaw.envs.views import view_of

ENGINE_OPTIONS: Final = (
    "base_path", "batch_size", "env_name", "env_seed", "gym_reset_return_info",
    "max_num_players", "num_envs", "num_threads", "reward_threshold", "seed",
    "thread_affinity_offset",
)  # fmt: skip
"""Options of EnvPool itself; users cannot set them."""

OWN_FAMILIES: Final = {
    "envpool.atari": "atari", "envpool.minigrid": "minigrid", "envpool.procgen": "procgen"
}  # fmt: skip


class EnvPoolOptions(Config, frozen=True, kw_only=True):
    """Thaw's own options; EnvPool's options of the task are allowed too."""

    observation_key: str | None = None
    """The entry of a Dict that the policy sees."""
    channel_order: Literal["auto", "first", "last"] = "auto"
    """Where images have their channels, see :func:`thaw.envs.views.view_of`."""
    num_threads: Positive | None = None
    """Threads of the engine; None: one for each core. Changes no result."""


def make_envpool(flavor: Flavor, num_envs: int, options: Mapping[str, Scalar]) -> EnvPoolVectorEnv:
    """Make a vector of any other EnvPool task with discrete actions.

    Args:
        flavor: ``envpool/<id>``, with EnvPool's id, as ``CartPole-v1`` or ``Jumanji/Snake-v1``.
        num_envs: How many.
        options: Those of :class:`EnvPoolOptions` and EnvPool's of the task; the flavor's own
            options win. Some tasks share one list of options, and EnvPool ignores those that a
            task does not use.

    Raises:
        InputError: No such task, wrong options, unsupported spaces, or a missing package.
    """
    check_name(flavor, list_others())
    check_no_variant(flavor)
    name, where = flavor.name, f"flavor '{flavor}'"
    own, rest = split_options(merge_options(flavor, options), EnvPoolOptions, where)
    defaults = ask_envpool(name, {}, where).defaults
    allowed = {
        key: value
        for key, value in defaults.items()
        if isinstance(value, bool | int | float | str) and key not in ENGINE_OPTIONS
    }
    settings = checked_settings(rest, allowed, EnvPoolOptions, where)
    spec = ask_envpool(name, settings, where)
    view = view_of(
        spec.observation_space,
        where,
        observation_key=own.observation_key,
        channel_order=own.channel_order,
    )
    num_actions = count_actions(spec.action_space, where)
    return EnvPoolVectorEnv(
        Task(name, settings, own.num_threads, view, None, num_actions), num_envs
    )


def list_others() -> list[str]:
    """List the tasks that do not belong to another family.

    Raises:
        InputError: EnvPool is not installed.
    """
    return [id_ for id_, entry in list_tasks().items() if entry.module not in OWN_FAMILIES]
