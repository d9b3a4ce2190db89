"""The order in which runs start."""

from __future__ import annotations

import time

from thaw.experiment.plan import PlannedRun, plan
from thaw.experiment.run_queue import RunQueue
from thaw.experiment.suites import load_suite


def runs() -> list[PlannedRun]:
    suite = load_suite("catch-quick", ["seeds=2", "conditions=[scratch, freeze_head]"])
    return list(plan(suite).runs)


def test_pretrainings_come_first_and_release_what_starts_from_them() -> None:
    done: dict[str, None] = {}
    queue = RunQueue(done)
    planned = runs()
    for run in reversed(planned):
        queue.add(run)
    assert {run.key for run in queue} == {run.key for run in planned}
    first = queue.pop()
    assert first.spec.condition == "pretrain"
    order = []
    while queue.has_ready():
        order.append(queue.pop())
    conditions = [run.spec.condition for run in order]
    assert conditions == sorted(conditions)  # pretrain, then scratch
    assert set(conditions) == {"pretrain", "scratch"}
    assert {run.spec.condition for run in queue} == {"freeze_head"}
    done[first.key] = None
    queue.release(first.key)
    released = []
    while queue.has_ready():
        released.append(queue.pop())
    assert released
    assert {run.source_key for run in released} == {first.key}


def test_a_run_that_starts_again_is_the_next() -> None:
    queue = RunQueue(())
    planned = [run for run in runs() if run.source_key is None]
    for run in planned[1:]:
        queue.add(run)
    queue.add(planned[0], again=True)
    assert queue.pop() is planned[0]


def test_the_time_for_one_run_does_not_grow_with_the_number_of_runs() -> None:
    some = runs()[0]

    def seconds(count: int) -> float:
        """Queue so many, of which most wait for a pretraining, then take and add 1,000."""
        queue = RunQueue(())
        waiting = some._replace(source_key="never done")
        for number in range(count):
            queue.add(waiting if number % 10 else some)
        begun = time.perf_counter()
        for number in range(1000):
            queue.has_ready()
            queue.add(queue.pop())
            queue.release(f"nobody waits for {number}")
        return time.perf_counter() - begun

    assert min(seconds(30_000) for _ in range(3)) < 10 * min(seconds(300) for _ in range(3))
