"""The options of a flavor: whose values win, which are thaw's own, and how a value is checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.strict import Config, Scalar, from_plain

Own = TypeVar("Own", bound=Config)


def merge_options(
    flavor: Flavor, shared: Mapping[str, Any], variant: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return all options of a flavor.

    Args:
        flavor: Its options, written after ``?``, win over all others.
        shared: The options that all flavors of a suite share.
        variant: The settings of the flavor's variant; they win over the shared ones.
    """
    return {**shared, **(variant or {}), **dict(flavor.options)}


def split_options(
    options: Mapping[str, Scalar], kind: type[Own], where: str
) -> tuple[Own, dict[str, Scalar]]:
    """Separate thaw's own options from those of the environment.

    Args:
        options: All options.
        kind: The struct of thaw's own options.
        where: Names the flavor in errors.

    Returns:
        Thaw's own options, checked, and the rest.

    Raises:
        InputError: One of thaw's own options has the wrong type or is out of range.
    """
    fields = kind.__struct_fields__
    own = from_plain({k: v for k, v in options.items() if k in fields}, kind, where)
    return own, {k: v for k, v in options.items() if k not in fields}


def checked_option(name: str, value: Scalar, like: object, where: str) -> Scalar:
    """Return an option's value in the type of its default.

    Args:
        name: The option.
        value: The value that the user gave.
        like: The default value; if it is a float, an integer is accepted and converted.
        where: Names the flavor in errors.

    Raises:
        InputError: The value has another type.
    """
    if isinstance(like, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(like):
        raise InputError(
            f"{where}: {name} is {value!r}; it must be {type(like).__name__}, like its default "
            f"{like!r}"
        )
    return value
