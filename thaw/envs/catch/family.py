"""Catch as a family of ``make_env``."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from thaw.config.errors import InputError, nearest
from thaw.config.flavor import Flavor
from thaw.config.strict import Scalar, from_plain
from thaw.envs.catch.knobs import VARIANTS
from thaw.envs.catch.options import CatchOptions
from thaw.envs.catch.vector_env import CatchVectorEnv
from thaw.envs.options import merge_options


def make_catch(
    flavor: Flavor, num_envs: int, options: Mapping[str, Scalar], drawn_on: str
) -> CatchVectorEnv:
    """Make a vector of Catch games.

    Args:
        flavor: ``catch@<variant>``.
        num_envs: How many.
        options: Those of :class:`CatchOptions`; the variant and the flavor's own options win.
        drawn_on: Torch device on which observations are wanted; NumPy arrays on ``cpu``.

    Raises:
        InputError: No such variant, or an option that is unknown or out of range.
    """
    if flavor.name != "catch" or flavor.variant not in VARIANTS:
        wrong = flavor.variant if flavor.name == "catch" else flavor.name
        raise InputError(
            f"unknown flavor '{flavor}'{nearest(wrong, VARIANTS)} "
            f"Catch has the variants {', '.join(VARIANTS)}"
        )
    where = f"flavor '{flavor}'"
    merged = merge_options(flavor, options, VARIANTS[flavor.variant])
    own = from_plain(merged, CatchOptions, where)
    try:
        return CatchVectorEnv(
            num_envs,
            render_mode="rgb_array",
            drawn_on=None if drawn_on == "cpu" else drawn_on,
            **msgspec.structs.asdict(own),
        )
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def list_catch() -> list[str]:
    """List the flavors of Catch."""
    return [str(Flavor(f"catch@{variant}")) for variant in VARIANTS]
