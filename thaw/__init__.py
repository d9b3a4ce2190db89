"""When a trained policy meets a changed environment, which part of it should keep learning?

Names load at their first use, so that ``import thaw`` needs no torch.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thaw.adapters.any_module import apply_rule as apply_rule
    from thaw.config import AgentConfig as AgentConfig
    from thaw.config import Flavor as Flavor
    from thaw.config import InputError as InputError
    from thaw.config import Suite as Suite
    from thaw.config import Transfer as Transfer
    from thaw.config import UpdateRule as UpdateRule
    from thaw.envs import make_env as make_env
    from thaw.experiment.execute import run as run
    from thaw.experiment.plan import plan as plan
    from thaw.experiment.results import load_results as load_results
    from thaw.experiment.suites import load_suite as load_suite
    from thaw.files.checkpoint import load_policy as load_policy
    from thaw.impala.vtrace import vtrace as vtrace
    from thaw.policy import Policy as Policy
    from thaw.policy.update_rules import apply_update_rule as apply_update_rule
    from thaw.report.in_memory import CallablePackage

    report: CallablePackage

__version__ = "0.1.0"

if "OMP_WAIT_POLICY" not in os.environ:
    # GNU's OpenMP, which PyTorch uses on Linux, lets idle threads spin for 5 ms before they sleep.
    # They take the cores from the emulators, which step as soon as the network has acted. It reads
    # this variable when torch is imported, so there is no later place (docs/performance.md).
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

_HOMES = {
    "AgentConfig": "thaw.config",
    "Flavor": "thaw.config",
    "InputError": "thaw.config",
    "Policy": "thaw.policy",
    "Suite": "thaw.config",
    "Transfer": "thaw.config",
    "UpdateRule": "thaw.config",
    "apply_rule": "thaw.adapters.any_module",
    "apply_update_rule": "thaw.policy.update_rules",
    "load_policy": "thaw.files.checkpoint",
    "load_results": "thaw.experiment.results",
    "load_suite": "thaw.experiment.suites",
    "make_env": "thaw.envs",
    "plan": "thaw.experiment.plan",
    "run": "thaw.experiment.execute",
    "vtrace": "thaw.impala.vtrace",
}

__all__ = [*_HOMES, "report"]


def __getattr__(name: str) -> Any:
    if name == "report":
        return importlib.import_module("thaw.report")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'thaw' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
