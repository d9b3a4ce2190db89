"""The bugs that `make planted-bugs` plants: one for each central claim.

Each file has the bugs of one package of ``thaw/``.
"""

from __future__ import annotations

from bugs import (
    acting,
    adapters,
    cli,
    config,
    envs,
    experiment,
    files,
    impala,
    other_parts,
    policy,
    report,
    training,
)
from bugs.bug import Bug

PACKAGES = (
    acting,
    adapters,
    cli,
    config,
    envs,
    experiment,
    files,
    impala,
    other_parts,
    policy,
    report,
    training,
)
BUGS: tuple[Bug, ...] = tuple(bug for package in PACKAGES for bug in package.BUGS)

__all__ = ["BUGS", "Bug"]
