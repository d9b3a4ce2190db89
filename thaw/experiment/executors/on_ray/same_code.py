"""Which code a machine would execute for a suite, and how two machines differ in it.

Runs of one suite execute on many machines. If one of them has another thaw, another torch or
another copy of the user's environment, its scores are no longer comparable, and nothing would show
it. So the code is named in a few words on each machine, and the words are compared.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from thaw.config.suite import Suite

PACKAGES = (
    "torch", "numpy", "gymnasium", "safetensors", "msgspec", "envpool", "ale-py", "android-env",
    "timm",
)  # fmt: skip
"""What decides a run's result beside thaw itself; those that are not installed are compared too."""

MISSING = "not there"

Code = Mapping[str, str]
"""A version or a hash for each package and module."""


def modules_of(suite: Suite) -> tuple[str, ...]:
    """Return the modules that a suite's runs import by name: the networks', the environments'."""
    named = [getattr(suite.agent, name) for name in suite.agent.code]
    for transfer in suite.transfers:
        flavors = (transfer.source, transfer.target)
        named += [f.name for f in flavors if f.family == "gym" and ":" in f.name]
    return tuple(dict.fromkeys(name.partition(":")[0] for name in named))


def code_here(modules: Iterable[str]) -> dict[str, str]:
    """Name the code of this machine.

    Args:
        modules: The user's, see :func:`modules_of`.

    Returns:
        The minor version of Python, the version of each of :data:`PACKAGES`, and for thaw and each
        module its version, if it has one, with a hash of its source files.
    """
    found = {"Python": ".".join(platform.python_version_tuple()[:2])}
    found |= {name: _version(name) or MISSING for name in PACKAGES}
    return found | {name: _describe_module(name) for name in ("thaw", *modules)}


def differences(here: Code, there: Code) -> str:
    """Name what differs between two machines; empty if nothing does.

    Args:
        here: What is right.
        there: What another machine has.
    """
    return ", ".join(
        f"{name} {there.get(name, MISSING)} (here {here.get(name, MISSING)})"
        for name in dict.fromkeys([*here, *there])
        if here.get(name) != there.get(name)
    )


@cache
def _describe_module(name: str) -> str:
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # its package is missing or fails
        spec = None
    if spec is None:
        return MISSING
    digest = hashlib.sha256()
    for root in sorted(spec.submodule_search_locations or []):
        for file in sorted(Path(root).rglob("*.py")):
            digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes())
    if spec.submodule_search_locations is None and spec.origin and Path(spec.origin).is_file():
        digest.update(Path(spec.origin).read_bytes())
    return f"{_version(name) or ''} source {digest.hexdigest()[:10]}".strip()


def _version(package: str) -> str | None:
    """Return a version without what was built for: the driver may have torch for CPUs only."""
    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return None
