"""The bugs that `make planted-bugs` plants: one for each central claim.

Each file is named after the package of ``thaw/`` that its bugs are planted in; all are found here.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from bugs.bug import Bug

BUGS: tuple[Bug, ...] = tuple(
    bug
    for module in iter_modules(__path__)
    if module.name != "bug"
    for bug in import_module(f"bugs.{module.name}").BUGS
)

__all__ = ["BUGS", "Bug"]
