"""Kills processes that do not end by themselves, with everything that they have started."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def descendants(process_id: int) -> list[int]:
    """Return the processes that a process has started, and those that these have started.

    Only Linux shows them (in /proc); elsewhere the list is empty.
    """
    parents: dict[int, int] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):  # one that has just ended
            # "id (name) state parent ...", and a name may hold spaces and parentheses.
            parents[int(file.parent.name)] = int(file.read_text().rpartition(")")[2].split()[1])
    found = [process_id]
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found[1:]


def kill(process_ids: Iterable[int]) -> None:
    """Kill processes; those that have ended are passed over."""
    for process_id in process_ids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process_id, signal.SIGKILL)


def kill_tree(process_id: int) -> None:
    """Kill a process and everything that it has started, such as workers or an emulator."""
    kill([process_id, *descendants(process_id)])
