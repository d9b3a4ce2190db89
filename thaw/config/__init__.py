"""What a user can say, as strict frozen data; nothing here imports torch or an environment.

What decides a result is a :class:`Suite` and its :class:`RunSpec`; what does not is
:class:`Runtime`, which is never hashed.
"""

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.run_spec import EvaluationConfig, RunSpec
from thaw.config.runtime import Runtime
from thaw.config.suite import ReportConfig, Suite, Transfer
from thaw.config.update_rule import UpdateRule

__all__ = [
    "AgentConfig",
    "EvaluationConfig",
    "Flavor",
    "InputError",
    "ReportConfig",
    "RunSpec",
    "Runtime",
    "Suite",
    "Transfer",
    "UpdateRule",
]
