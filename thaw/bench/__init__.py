"""Measure the speed of training on this machine, and compare it with an upper bound."""

from thaw.bench.present import markdown, summarize, table, write_benchmark
from thaw.bench.rates import Rates, measure
from thaw.bench.workload import Workload, prepare

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
