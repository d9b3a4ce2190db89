"""Checks that EnvPool's families share: the task's name, and the settings for EnvPool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from thaw.config.errors import InputError, UnknownOption, nearest
from thaw.config.flavor import Flavor
from thaw.config.strict import Config, Scalar
from thaw.envs.options import checked_option


def check_name(flavor: Flavor, known: Iterable[str]) -> None:
    """Check that a flavor names a known task.

    Args:
        flavor: Which one.
        known: The names of its family.

    Raises:
        InputError: There is no such task.
    """
    names = list(known)
    if flavor.name not in names:
        listed = ", ".join(names) if len(names) < 20 else f"{len(names)}, see EnvPool's docs"
        raise InputError(
            f"unknown flavor '{flavor}'{nearest(flavor.name, names)} "
            f"Names of {flavor.family}: {listed}"
        )


def check_no_variant(flavor: Flavor) -> None:
    """Check that a flavor has no variant.

    Raises:
        InputError: It has one.
    """
    if flavor.variant != "default":
        raise InputError(
            f"flavor '{flavor}' has no variant '{flavor.variant}'; write options after '?' instead"
        )


def checked_settings(
    options: Mapping[str, Scalar], allowed: Mapping[str, Any], kind: type[Config], where: str
) -> dict[str, Any]:
    """Return the settings for EnvPool, checked against its defaults.

    Args:
        options: The options that are not thaw's own.
        allowed: The default of each setting.
        kind: The struct of thaw's own options, for the list of allowed ones.
        where: Names the flavor in errors.

    Raises:
        InputError: An option is unknown, of the wrong type, or too large for EnvPool.
    """
    names = [*kind.__struct_fields__, *sorted(allowed)]
    for option in options:
        if option not in allowed:
            raise UnknownOption(where, option, names)
    checked = {k: checked_option(k, v, allowed[k], where) for k, v in options.items()}
    for option, value in checked.items():
        if isinstance(value, int) and abs(value) >= 2**31:
            raise InputError(f"{where}: {option} is {value}; EnvPool allows at most {2**31 - 1}")
    return checked
