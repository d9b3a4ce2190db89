"""Catch as a family of ``make_env``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from thaw.config.errors import InputError, nearest
from thaw.config.flavor import Flavor
from thaw.config.strict import Scalar
from thaw.envs.spaces import VectorEnv


def make_catch(
    flavor: Flavor, num_envs: int, shared: Mapping[str, Scalar], drawn_on: str
) -> VectorEnv:
    """Make a vector of Catch games.

    Raises:
        InputError: No such variant, or an option that is unknown or out of range.
    """
    from thaw.envs.catch.knobs import VARIANTS
    from thaw.envs.catch.vector_env import CatchVectorEnv

    if flavor.name != "catch" or flavor.variant not in VARIANTS:
        wrong = flavor.variant if flavor.name == "catch" else flavor.name
        raise InputError(
            f"unknown flavor '{flavor}'{nearest(wrong, VARIANTS)} "
            f"Catch has the variants {', '.join(VARIANTS)}"
        )
    options: dict[str, Any] = {**shared, **VARIANTS[flavor.variant], **dict(flavor.options)}
    ours = {"num_envs", "variant", "autoreset_mode", "render_mode", "drawn_on"}
    allowed = [name for name in inspect.signature(CatchVectorEnv).parameters if name not in ours]
    for option in options:
        if option not in allowed:
            raise InputError(
                f"unknown option '{option}' of '{flavor}'{nearest(option, allowed)} "
                f"Allowed: {', '.join(allowed)}"
            )
    try:
        return CatchVectorEnv(
            num_envs,
            render_mode="rgb_array",
            drawn_on=None if drawn_on == "cpu" else drawn_on,
            **options,
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"flavor '{flavor}': {error}") from None
