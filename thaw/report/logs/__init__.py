"""Logs of other programs become scores and curves: ``thaw scores``."""

from thaw.report.logs.collect import Collected, collect_scores

__all__ = ["Collected", "collect_scores"]
