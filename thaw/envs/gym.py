"""``gym/<id>``: any registered Gymnasium environment with discrete actions.

The id may name the module that registers it, as in ``gym/my_package:MyEnv-v0``.
"""

from __future__ import annotations

import copy
import inspect
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, cast

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TransformAction, TransformObservation

from thaw.config.errors import InputError, UnknownOption
from thaw.config.flavor import Flavor
from thaw.config.strict import Config, Scalar
from thaw.config.user_code import import_by_name
from thaw.envs.options import checked_option, merge_options, split_options
from thaw.envs.spaces import VectorEnv, count_actions
from thaw.envs.views import view_of


class GymOptions(Config, frozen=True, kw_only=True):
    """Thaw's own options; all others belong to the environment."""

    observation_key: str | None = None
    """The entry of a Dict that the policy sees."""
    channel_order: Literal["auto", "first", "last"] = "auto"
    """Where images have their channels, see :func:`thaw.envs.views.view_of`."""
    vectorization: Literal["sync", "async"] = "sync"
    """sync: all in this process. async: each in a separate process, for slow environments."""


OWN_OPTIONS: Final = GymOptions.__struct_fields__


def make_gym(flavor: Flavor, num_envs: int, options: Mapping[str, Scalar]) -> VectorEnv:
    """Make a vector of a registered environment.

    An option is, in this order: one of thaw's own (``observation_key``, ``channel_order``,
    ``vectorization``), ``max_episode_steps``, a parameter of the environment's constructor, or a
    constant that the environment keeps as an attribute (CartPole's ``gravity``). A constant
    replaces the value that the constructor assigns, also in what the constructor computes from
    it.

    Args:
        flavor: ``gym/<id>``, with Gymnasium's id. It must have no variant: what Gymnasium calls
            variants are options or other ids.
        num_envs: How many.
        options: See above; the flavor's own options win.

    Returns:
        Environments that reset in the step that ends an episode (SAME_STEP).

    Raises:
        InputError: No such environment or option, or spaces that thaw cannot use.
    """
    where = f"flavor '{flavor}'"
    if flavor.variant != "default":
        raise InputError(
            f"{where} has no variant '{flavor.variant}'; write options instead, as in "
            f"'gym/{flavor.name}?option=value'"
        )
    own, rest = split_options(merge_options(flavor, options), GymOptions, where)
    make_raw = _raw_maker(flavor.name, rest, where)

    def make_one() -> gymnasium.Env[Any, Any]:
        env = make_raw()
        num_actions = count_actions(env.action_space, where)
        start = int(getattr(env.action_space, "start", 0))
        if start != 0:
            actions = gymnasium.spaces.Discrete(num_actions)
            env = TransformAction(env, lambda action: action + start, actions)
        view = view_of(
            env.observation_space,
            where,
            observation_key=own.observation_key,
            channel_order=own.channel_order,
        )
        return TransformObservation(env, view.show, view.space)

    process = os.getpid()

    def make_in_worker() -> gymnasium.Env[Any, Any]:
        if os.getpid() != process:  # on Ctrl-C the run saves and then ends its workers
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        return make_one()

    first = make_one()
    facts = _facts(first)
    first.close()
    vector: VectorEnv
    if own.vectorization == "async":
        makers = [make_in_worker] * num_envs
        vector = AsyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
    else:
        vector = SyncVectorEnv([make_one] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
    vector.metadata = {**vector.metadata, **facts}
    return vector


def _raw_maker(
    name: str, options: Mapping[str, Scalar], where: str
) -> Callable[[], gymnasium.Env[Any, Any]]:
    """Return a function that makes one environment; make one to check the options.

    Raises:
        InputError: No such environment or option.
    """
    module, colon, id_ = name.rpartition(":")
    if colon:
        try:
            import_by_name(module)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    try:
        spec = copy.deepcopy(gymnasium.spec(id_))
        creator = _creator(spec)
    except (gymnasium.error.Error, ImportError, AttributeError, ValueError) as error:
        hint = " (for an environment of your own package write 'gym/my_package:MyEnv-v0')"
        raise InputError(f"{where}: {error}{'' if colon else hint}") from None
    parameters = inspect.signature(creator).parameters.values()
    is_open = any(p.kind is p.VAR_KEYWORD for p in parameters)
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    named = (named | {"max_episode_steps"}) - {"render_mode"}
    arguments: dict[str, Any] = {k: v for k, v in options.items() if k in named}
    if "rgb_array" in (getattr(creator, "metadata", None) or {}).get("render_modes", ()):
        arguments["render_mode"] = "rgb_array"
        # Pictures only: without this SDL looks for a screen and complains where there is none.
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

    def make() -> gymnasium.Env[Any, Any]:
        return gymnasium.make(spec, disable_env_checker=True, **arguments)

    try:
        sample = make()
    except (
        gymnasium.error.Error,
        ImportError,
        AssertionError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        kind = type(error).__name__
        raise InputError(f"{where} cannot be made: {kind}: {error}") from None
    constants = _constants(sample.unwrapped) if isinstance(creator, type) else {}
    sample.close()
    chosen: dict[str, Scalar] = {}
    for option, value in options.items():
        if option in constants and option not in named:
            chosen[option] = checked_option(option, value, constants[option], where)
        elif is_open and option not in named and option != "render_mode":
            arguments[option] = value
        elif option not in named:
            allowed = [*OWN_OPTIONS, *sorted(named), *sorted(constants)]
            raise UnknownOption(where, option, allowed)
    if chosen:
        assert isinstance(creator, type)
        spec.entry_point = cast(Any, with_constants(creator, chosen))
    return make


def _creator(spec: EnvSpec) -> Callable[..., Any]:
    if isinstance(spec.entry_point, str):
        creator: Callable[..., Any] = load_env_creator(spec.entry_point)
        return creator
    if spec.entry_point is None:
        raise gymnasium.error.Error(f"{spec.id} is registered only as a vector environment")
    return spec.entry_point


def _constants(env: gymnasium.Env[Any, Any]) -> dict[str, Scalar]:
    """Return the public attributes of an environment and its class that are plain values."""
    found: dict[str, Scalar] = {}
    for name in dir(type(env)) + list(vars(env)):
        value = vars(env)[name] if name in vars(env) else inspect.getattr_static(env, name)
        if isinstance(value, np.generic):
            value = value.item()
        if not name.startswith("_") and isinstance(value, bool | int | float | str):
            found[name] = value
    found.pop("render_mode", None)
    return found


def with_constants(kind: type, constants: Mapping[str, Scalar]) -> type:
    """Return a subclass whose given attributes always keep the given values."""

    class Changed(kind):  # type: ignore[misc]  # a base that is known only at run time
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, constants.get(name, value))

    for name, value in constants.items():  # for attributes that the class declares
        setattr(Changed, name, value)
    Changed.__name__ = Changed.__qualname__ = kind.__name__
    Changed.__module__ = kind.__module__
    return Changed


def _facts(env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
    """Return the names of the actions for the metadata, if the environment has them as ALE does."""
    if env.has_wrapper_attr("get_action_meanings"):
        return {"action_meanings": tuple(env.get_wrapper_attr("get_action_meanings")())}
    return {}
