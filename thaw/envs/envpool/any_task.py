"""``envpool/<id>``: any other task of EnvPool with discrete actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from thaw.config.strict import Config, Positive, Scalar
from thaw.envs.envpool.options import checked_name, checked_settings, split_options
from thaw.envs.envpool.tasks import ask_envpool, list_tasks
from thaw.envs.envpool.vector_env import EnvPoolVectorEnv, Task
from thaw.envs.views import check_discrete, view_of

ENGINE_OPTIONS: Final = (
    "base_path", "batch_size", "env_name", "env_seed", "gym_reset_return_info",
    "max_num_players", "num_envs", "num_threads", "reward_threshold", "seed",
    "thread_affinity_offset",
)  # fmt: skip
"""Of EnvPool itself; not for users."""

OWN_FAMILIES: Final = {
    "envpool.atari": "atari", "envpool.minigrid": "minigrid", "envpool.procgen": "procgen"
}  # fmt: skip


class EnvPoolOptions(Config, frozen=True, kw_only=True):
    """Thaw's own; the options of EnvPool's task come on top."""

    observation_key: str | None = None
    """Which entry of a Dict the policy sees."""
    channel_order: Literal["auto", "first", "last"] = "auto"
    """Of images, see :func:`thaw.envs.views.view_of`."""
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
    where = checked_name(name, variant, "envpool", list_others())
    own, rest = split_options(options, EnvPoolOptions, where)
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
    num_actions = check_discrete(spec.action_space, where)
    return EnvPoolVectorEnv(
        Task(name, settings, own.num_threads, view, None, num_actions), num_envs
    )


def list_others() -> list[str]:
    """List the tasks that have no family of their own.

    Raises:
        InputError: EnvPool is not installed.
    """
    return [id_ for id_, entry in list_tasks().items() if entry.module not in OWN_FAMILIES]
