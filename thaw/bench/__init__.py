"""How fast thaw is on this machine, and how near to what the machine can do."""

from thaw.bench.measure import Rates, Workload, measure, prepare
from thaw.bench.present import markdown, summarize, table, write_benchmark

__all__ = [
    "Rates",
    "Workload",
    "markdown",
    "measure",
    "prepare",
    "summarize",
    "table",
    "write_benchmark",
]
