"""Everything that a user can set, as strict frozen data; no module here imports torch.

:class:`Suite` and :class:`RunSpec` hold everything that decides a result. :class:`Runtime` holds
the rest; it is never hashed.
"""

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.racing import RacingConfig
from thaw.config.run_spec import EvaluationConfig, RunSpec
from thaw.config.runtime import Runtime
from thaw.config.suite import ReportConfig, Suite, Transfer
from thaw.config.update_rule import UpdateRule

__all__ = [
    "AgentConfig",
    "EvaluationConfig",
    "Flavor",
    "InputError",
    "RacingConfig",
    "ReportConfig",
    "RunSpec",
    "Runtime",
    "Suite",
    "Transfer",
    "UpdateRule",
]
