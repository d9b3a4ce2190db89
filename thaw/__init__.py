"""When a trained policy meets a changed environment, which part of it should keep learning?

Names load when they are used, so that ``import thaw`` needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thaw.checkpoint import load_policy
    from thaw.config import AgentConfig, Suite, Transfer
    from thaw.envs import make_env
    from thaw.experiment import run
    from thaw.experiment.plan import plan
    from thaw.experiment.store import load_results
    from thaw.impala.vtrace import vtrace
    from thaw.policy import Policy
    from thaw.suites import load_suite
    from thaw.update_rules import apply_update_rule
    from thaw.words import Flavor, UpdateRule

__version__ = "0.1.0"

_HOMES = {
    "AgentConfig": "thaw.config",
    "Flavor": "thaw.words",
    "Policy": "thaw.policy",
    "Suite": "thaw.config",
    "Transfer": "thaw.config",
    "UpdateRule": "thaw.words",
    "apply_update_rule": "thaw.update_rules",
    "load_policy": "thaw.checkpoint",
    "load_results": "thaw.experiment.store",
    "load_suite": "thaw.suites",
    "make_env": "thaw.envs",
    "plan": "thaw.experiment.plan",
    "run": "thaw.experiment",
    "vtrace": "thaw.impala.vtrace",
}

__all__ = [
    "AgentConfig",
    "Flavor",
    "Policy",
    "Suite",
    "Transfer",
    "UpdateRule",
    "apply_update_rule",
    "load_policy",
    "load_results",
    "load_suite",
    "make_env",
    "plan",
    "report",
    "run",
    "vtrace",
]


def __getattr__(name: str) -> Any:
    if name == "report":
        return importlib.import_module("thaw.report")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'thaw' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
