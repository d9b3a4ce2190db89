"""Tasks of SLURM's arrays die, are warned and start twice: the runs end with the same bits.

The scripts are those that `thaw plan --slurm` writes. The test is the scheduler: two tasks at a
time, the transfers after the pretrainings, and what has not ended well starts again.
"""

from __future__ import annotations

import os
import random
import shlex
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from fault_processes import RunningThaw
from fault_sizes import generator, is_sample, patience, tries, wait_until
from fault_suite import SETTINGS, differences, keys_of, run_path, suite_text
from fault_tally import Tally
from stand_in_sbatch import stand_in

from thaw.experiment.job_array import NOT_YET
from thaw.files.attempts import read_attempts
from thaw.files.ownership import LEASE

pytestmark = [
    pytest.mark.faults("kills"),
    pytest.mark.timeout(1800),
    pytest.mark.xdist_group("job array"),
]

END_SECONDS = 600

AT_ONCE = 2
"""Tasks: what the cluster has room for."""

INTERRUPTIONS = ("kill a node", "start it twice", "SIGUSR1", "kill a task", "kill a run", "SIGTERM")


class Task(RunningThaw):
    """One element of an array.

    Args:
        array: pretrain or transfer.
        index: Its number in the array.
        run: The folder of its run.
        place: Its working folder.
        environment: Where sbatch and thaw are found.
    """

    program = ("sh",)

    def __init__(
        self, array: str, index: int, run: Path, place: Path, environment: dict[str, str]
    ) -> None:
        self.id = f"{array}_{index}"
        self.run = run
        self.told = 0
        """The signal that has asked it to save and to end."""
        super().__init__(
            [place / f"out/slurm/{array}-0.sbatch"],
            place,
            SLURM_ARRAY_JOB_ID=array,
            SLURM_ARRAY_TASK_ID=str(index),
            **environment,
        )

    def thaw(self) -> list[int]:
        """Return the process id of the command that the script has started, if it has."""
        return [process.pid for process in self.family() if "run-one" in process.command]


class Cluster:
    """A scheduler with room for two tasks.

    Args:
        place: Working folder; the suite's folder is ``out`` in it.
        keys: Of the suite's runs.
    """

    def __init__(self, place: Path, keys: Sequence[str]) -> None:
        self.place = place
        command = shlex.join(RunningThaw.program)
        self.environment = stand_in(place, thaw=f'exec {command} "$@"')
        self.folders = {
            array: [run_path(place / "out", key) for key in keys if ("/pretrain/" in key) == first]
            for array, first in (("pretrain", True), ("transfer", False))
        }
        self.running: list[Task] = []
        self.asked_again = Counter[str]()
        """How often a task must have asked to be queued again."""
        self.died_late: set[Path] = set()
        """Runs whose process was killed when the result was there already."""

    def start(self, array: str, index: int) -> None:
        folder = self.folders[array][index]
        self.running.append(Task(array, index, folder, self.place, self.environment))

    def run(self, array: str, interruptions: list[str], draw: random.Random, tally: Tally) -> None:
        """Run the tasks of an array until all have ended well; interrupt some."""
        waiting = list(range(len(self.folders[array])))
        while waiting or self.running:
            while waiting and len(self.running) < AT_ONCE:
                self.start(array, waiting.pop(0))
            if interruptions and self.interrupt(interruptions[0], draw):
                print(interruptions.pop(0), [task.id for task in self.running])
                tally.tried()
            some_over = wait_until(
                lambda: bool(interruptions) or any(task.is_over for task in self.running),
                patience(END_SECONDS),
            )
            assert some_over, [(task.id, task.err) for task in self.running]
            for task in [task for task in self.running if task.is_over]:
                self.running.remove(task)
                if not self.ended_well(task):
                    waiting.insert(0, int(task.id.rpartition("_")[2]))

    def ended_well(self, task: Task) -> bool:
        """Whether a task that is over is done; otherwise it must start again."""
        status = task.end(0)
        said = f"{task.id}: exit status {status}\n{task.err}"
        print(said)
        assert "Traceback" not in task.err, said
        assert task.leaves_nothing(), (said, task.family())
        if task.told and status != 0:
            # The second: the signal came before the run had begun.
            assert status in {NOT_YET, 128 + task.told}, said
            if task.told == signal.SIGUSR1:
                self.asked_again[task.id] += 1
        else:
            assert status in {0, -signal.SIGKILL, 128 + signal.SIGKILL}, said
            if status != 0 and (task.run / "result.json").exists():
                self.died_late.add(task.run)
        return status == 0

    def interrupt(self, interruption: str, draw: random.Random) -> bool:
        """Wait for a moment of a running task and interrupt it; return whether it was alive."""
        task = draw.choice(self.running)
        if not wait_until(lambda: bool(task.thaw()) or task.is_over, patience(60)) or task.is_over:
            return False
        wait_for_moment(draw.choice(["any", "checkpoint", "checkpoint", "result"]), task, draw)
        if task.is_over or not (thaw := task.thaw()):
            return False
        match interruption:
            case "kill a node":
                for other in self.running:
                    other.send(signal.SIGKILL, group=True)
            case "kill a task":
                task.send(signal.SIGKILL, group=True)
            case "kill a run":  # as the kernel does where memory is full
                with suppress(ProcessLookupError):
                    os.kill(thaw[0], signal.SIGKILL)
            case "SIGUSR1":  # SLURM's warning comes to the script alone
                task.told = signal.SIGUSR1
                task.send(signal.SIGUSR1, group=False)
            case "SIGTERM":  # preemption, after which SLURM itself queues the task again
                task.told = signal.SIGTERM
                task.send(signal.SIGTERM, group=True)
            case "start it twice":
                array, _, index = task.id.rpartition("_")
                self.start(array, int(index))
                return True
            case _:
                raise AssertionError(interruption)
        assert wait_until(lambda: task.is_over, patience(30)), f"{interruption}: it goes on"
        return True

    def clear(self) -> None:
        for task in self.running:
            task.clear()


def wait_for_moment(moment: str, task: Task, draw: random.Random) -> None:
    """Sleep until a moment of a task's run has come, or the task is over."""
    within = {"any": 4.0, "checkpoint": 0.3, "result": 0.05}[moment]
    files = {
        "checkpoint": task.run / "checkpoint/training_state.json",
        "result": task.run / "result.json",
    }

    def has_come() -> bool:
        file = files.get(moment)
        if file is None or task.is_over:
            return True
        with suppress(FileNotFoundError):
            return file.stat().st_mtime >= task.started
        return False

    wait_until(has_come, patience(60), step=0.005)
    pause = draw.uniform(0, within)
    wait_until(lambda: task.is_over, pause, step=0.01)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite file, and beside it the suite's folder after an undisturbed `thaw run`."""
    root = tmp_path_factory.mktemp("reference")
    text = suite_text(SETTINGS[-1], conditions="freeze_head")
    (root / "suite.yaml").write_text(text.replace("seeds: 1", "seeds: 2"))
    thaw = RunningThaw(["run", root / "suite.yaml", "--out", root / "unbroken"], root)
    assert thaw.end(patience(END_SECONDS)) == 0, thaw.err
    return root / "suite.yaml"


@pytest.mark.skipif(is_sample(), reason="tests/experiment/test_job_array.py has a sample of it")
@pytest.mark.parametrize("number", range(tries(1, 1)))
def test_interrupted_job_arrays_end_with_the_same_bits(
    number: int, suite: Path, place: Path, tally: Tally
) -> None:
    draw = generator("job array", number)
    out = place / "out"
    plan = RunningThaw(["plan", suite, "--out", out, "--slurm"], place)
    assert plan.end(patience(END_SECONDS)) == 0, plan.err
    first = number % len(INTERRUPTIONS)
    interruptions = [*INTERRUPTIONS[first:], *INTERRUPTIONS[:first]]
    keys = keys_of(suite)
    cluster = Cluster(place, keys)
    try:
        cluster.run("pretrain", interruptions[:3], draw, tally)
        cluster.run("transfer", interruptions[3:], draw, tally)
    finally:
        cluster.clear()
    requeued = place / "requeued"
    asked = requeued.read_text().split() if requeued.exists() else []
    assert Counter(asked) == cluster.asked_again
    report = RunningThaw(["report", out], place)
    assert report.end(patience(END_SECONDS)) == 0, report.err
    assert differences(suite.parent / "unbroken", out, suite) == []
    for key in keys:
        causes = [attempt.cause for attempt in read_attempts(run_path(out, key))]
        assert causes.count("done") == 1, (key, causes)
        assert causes[-1] == "done", (key, causes)
    assert [path for path in out.rglob("*") if path.suffix in (".tmp", ".new")] == []
    # The others had no time to give their lease back, and their next start had nothing to do.
    locks = [path for path in out.rglob(f"{LEASE}*") if path.parent not in cluster.died_late]
    assert locks == []
