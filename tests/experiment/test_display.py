"""The bar counts all that is done, the rate only what happens now."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import TINY

from thaw.config.runtime import Runtime
from thaw.experiment.display import EVALUATION_STEPS, Display
from thaw.experiment.execute import execute
from thaw.experiment.plan import PlannedRun, plan
from thaw.experiment.suite_folder import SuiteFolder
from thaw.experiment.suites import load_suite


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def runs(tmp_path: Path) -> list[PlannedRun]:
    (tmp_path / "tiny.yaml").write_text(TINY)
    suite = load_suite(tmp_path / "tiny.yaml", ["transfer_steps=100_000", "pretrain_steps=100_000"])
    return [run for run in plan(suite).runs if run.spec.steps]


SIZE = 100_000 + EVALUATION_STEPS


def show(runs: list[PlannedRun], done: list[str]) -> tuple[Display, Clock]:
    display, clock = Display(runs, done), Clock()
    display.bars.get_time = clock
    return display, clock


def speed_of_all(display: Display) -> float | None:
    return display.bars.tasks[0].speed


def test_runs_that_are_done_are_in_the_bar_and_not_in_the_rate(runs: list[PlannedRun]) -> None:
    display, clock = show(runs[:4], [runs[0].key, runs[1].key])
    everything = display.bars.tasks[0]
    assert everything.description == "2 of 4 runs"
    assert everything.percentage == 50
    assert speed_of_all(display) is None
    display.add([*runs[4:5], runs[0]._replace(key="more")], ["more"])
    assert everything.description == "3 of 6 runs"
    assert (everything.completed, everything.total) == (3 * SIZE, 6 * SIZE)
    clock.now = 9.0
    assert speed_of_all(display) is None


def test_steps_of_before_are_in_the_bar_and_not_in_the_rate(runs: list[PlannedRun]) -> None:
    display, clock = show(runs[:4], [])
    for number, run in enumerate(runs[:3]):
        display.start(run, 50_000 + number)
        clock.now += 0.001
        display.update(run, 50_000 + number, None)
    everything = display.bars.tasks[0]
    assert everything.completed == 150_003
    assert speed_of_all(display) is None
    assert everything.time_remaining is None
    for _ in range(3):
        clock.now += 1.0
        for run in runs[:2]:
            task = next(t for t in display.bars.tasks if t.description == run.key)
            display.update(run, int(task.completed) + 1_000, None)
    speed = speed_of_all(display)
    assert speed is not None
    assert 2_000 <= speed <= 2_500  # of the first moment, one run's steps are left out


def test_a_run_that_starts_again_stands_where_it_was_saved(runs: list[PlannedRun]) -> None:
    display, clock = show(runs[:2], [])
    display.start(runs[0])
    for steps in (1_000, 2_000, 3_000):
        clock.now += 1.0
        display.update(runs[0], steps, None)
    display.finish(runs[0], "stopped", None)
    display.start(runs[0], 2_000)
    everything = display.bars.tasks[0]
    assert everything.completed == 2_000
    assert speed_of_all(display) == 1_000
    display.update(runs[0], 1_500, None)  # in `thaw watch`, a run may start from an older file
    assert everything.completed == 1_500
    assert speed_of_all(display) == 1_000


def test_a_suite_that_continues_tells_where_its_runs_stand(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "copied"))
    (folder / "runs/catch@large_ball/scratch/seed0/result.json").unlink()
    shutil.rmtree(folder / "runs/catch@large_ball/freeze_all/seed0")
    started: dict[str, int] = {}

    class Kept(Display):
        def start(self, run: PlannedRun, steps: int = 0) -> None:
            started[run.key] = steps
            super().start(run, steps)

    monkeypatch.setattr("thaw.experiment.driver.Display", Kept)
    summary = execute(
        load_suite(folder / "suite.yaml"), folder, num_workers=1, runtime=Runtime(device="cpu")
    )
    assert not summary.failed
    steps = {run.key: run.spec.steps for run in SuiteFolder(folder).plan().runs}
    assert started == {
        "catch@large_ball/scratch/seed0": steps["catch@large_ball/scratch/seed0"],
        "catch@large_ball/freeze_all/seed0": 0,
    }
