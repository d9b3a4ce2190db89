"""Counts what one test of a fault has tried."""

from __future__ import annotations


class Tally:
    """What one test has tried so far.

    Args:
        promise: Key of PROMISES.
    """

    def __init__(self, promise: str) -> None:
        self.counts: dict[str, str | int] = {"promise": promise, "tries": 0, "failures": 0}

    def tried(self, count: int = 1) -> None:
        """Count tries."""
        self.counts["tries"] = int(self.counts["tries"]) + count

    def failed(self, count: int = 1) -> None:
        """Count tries that broke the promise, where a test goes on after one."""
        self.counts["failures"] = int(self.counts["failures"]) + count
