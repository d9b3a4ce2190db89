"""Options of EnvPool's families: ours, and the task's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from thaw.config.errors import InputError, nearest
from thaw.config.strict import Config, Scalar, from_plain
from thaw.envs.views import checked_option

Own = TypeVar("Own", bound=Config)


def checked_name(name: str, variant: str, family: str, known: Iterable[str]) -> str:
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


def split_options(
    options: Mapping[str, Scalar], kind: type[Own], where: str
) -> tuple[Own, dict[str, Scalar]]:
    """Take thaw's own options out."""
    fields = kind.__struct_fields__
    own = from_plain({k: v for k, v in options.items() if k in fields}, kind, where)
    return own, {k: v for k, v in options.items() if k not in fields}


def checked_settings(
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
