"""The runs that wait: which can start, which wait for a pretraining, and who is next."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Container, Iterator
from typing import Final

from thaw.experiment.plan import PlannedRun


class RunQueue:
    """Runs that wait. Each operation costs the same for ten runs as for ten thousand.

    Args:
        done: Keys of the runs that are done; it may grow.
    """

    RANKS: Final = {"pretrain": 1, "random": 2}
    """Others wait for a pretraining. Random takes no training, and shows what was learned."""

    def __init__(self, done: Container[str]) -> None:
        self._done = done
        self._ready: list[tuple[int, int, PlannedRun]] = []
        """A heap: those that start again first, then by RANKS."""
        self._blocked: dict[str, list[PlannedRun]] = {}
        """By the pretraining that they wait for."""
        self._alone: deque[PlannedRun] = deque()
        """Those that need the place for themselves; they start when no other is ready."""
        self._loners: set[str] = set()
        self._count = 0

    def add(self, run: PlannedRun, *, again: bool = False, alone: bool = False) -> None:
        """Let a run wait; one that starts again is the next, one that must be alone the last."""
        if alone:
            self._loners.add(run.key)
        if run.source_key is not None and run.source_key not in self._done:
            self._blocked.setdefault(run.source_key, []).append(run)
            return
        if run.key in self._loners:
            self._alone.append(run)
            return
        self._count += 1
        rank = 0 if again else self.RANKS.get(run.spec.condition, 3)
        heapq.heappush(self._ready, (rank, self._count, run))

    def release(self, key: str) -> None:
        """Let the runs start that wait for a pretraining, which is done now."""
        for run in self._blocked.pop(key, ()):
            self.add(run)

    def has_ready(self) -> bool:
        """Return whether a run could start."""
        return bool(self._ready or self._alone)

    @property
    def next_is_alone(self) -> bool:
        """Whether the run that starts next must be alone."""
        return not self._ready

    def pop(self) -> PlannedRun:
        """Take the run that starts next."""
        return heapq.heappop(self._ready)[-1] if self._ready else self._alone.popleft()

    def __iter__(self) -> Iterator[PlannedRun]:
        for _, _, run in sorted(self._ready):
            yield run
        yield from self._alone
        for runs in self._blocked.values():
            yield from runs
