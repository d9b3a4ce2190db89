"""What thaw promises when something goes wrong: the rows of the table in docs/reliability.md."""

from __future__ import annotations

from typing import NamedTuple


class Promise(NamedTuple):
    """One row of the table."""

    promised: str
    how: str
    unit: str
    """What one try is."""


PROMISES = {
    "kills": Promise(
        "A run that was killed or stopped goes on, and its result is the same bit for bit",
        "kill -9 of the group, the driver, a worker and the fork server, SIGINT, SIGTERM, SIGHUP, "
        "SIGUSR1, SIGUSR2, SIGSTOP with SIGCONT, at random moments from the start to the report, "
        "under both repeatable clocks with one and two groups; nodes, drivers and runs on Ray; "
        "nodes, tasks and runs of job arrays, and tasks that start twice; then the same command, "
        "and a comparison of weights, episodes, losses and scores with an unbroken run",
        "interruptions",
    ),
    "damage": Promise(
        "No command ends in a traceback because of a damaged file, and none uses it silently",
        "each file of a finished and of an unfinished suite: a bit flipped, cut in half, emptied, "
        "deleted, a NUL byte appended, replaced by a folder; then status, watch, report, run, and "
        "what the message advises",
        "damaged files",
    ),
    "disks": Promise(
        "A disk that is full, read-only or gone costs no checkpoint, and the same command goes on",
        "small disks of random sizes, a disk made read-only, a folder that vanishes during a run",
        "disks",
    ),
    "environments": Promise(
        "An environment that misbehaves fails its own run and no other",
        "five runs, one of them in an environment that raises, exits, crashes, hangs, pays NaN or "
        "infinity, prints, leaves a thread, or takes all memory; then status, report, run",
        "suites",
    ),
    "inputs": Promise(
        "Wrong input is answered by one line: no traceback, nothing executed, no file outside of "
        "--out, bounded time and memory",
        "generated suites, raw YAML, command lines, descriptions of checkpoints, CSV files",
        "inputs",
    ),
}
