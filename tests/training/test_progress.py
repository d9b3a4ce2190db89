"""The rows of progress.csv and episodes.csv."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_runs import (
    ENVS,
    RUNTIME,
    SPEC,
    UPDATES,
    assert_same_outcome,
    changed,
    rows_of,
    stop_after,
    transfer,
)

from thaw.files.run_folder import EPISODE_COLUMNS, PROGRESS_COLUMNS, RunFolder
from thaw.training.progress import Stopped
from thaw.training.run import execute_run


def test_every_episode_is_a_row_of_episodes_csv(pretrained: RunFolder) -> None:
    episodes = rows_of(pretrained.episodes.path)
    assert tuple(episodes[0]) == EPISODE_COLUMNS
    training = [row for row in episodes if row["phase"] == "training"]
    evaluation = [row for row in episodes if row["phase"] == "evaluation"]
    assert len(training) + len(evaluation) == len(episodes)
    assert {row["flavor"] for row in episodes} == {"catch"}
    # A throw of 154 frames takes 10 decisions of 16 frames: one episode per unroll.
    assert len(training) == ENVS * UPDATES
    assert [int(row["step"]) for row in training] == [
        40 * (1 + i // ENVS) for i in range(len(training))
    ]
    assert {row["length"] for row in episodes} == {"10"}
    assert {float(row["return"]) for row in episodes} == {-1.0, 1.0}
    assert len(evaluation) == 6
    assert {row["step"] for row in evaluation} == {str(SPEC.steps)}


def test_every_update_of_a_short_run_is_a_row_of_progress_csv(pretrained: RunFolder) -> None:
    progress = rows_of(pretrained.progress.path)
    assert tuple(progress[0]) == PROGRESS_COLUMNS
    assert [int(row["steps"]) for row in progress] == [40 * (k + 1) for k in range(UPDATES)]
    assert [int(row["updates"]) for row in progress] == list(range(1, UPDATES + 1))
    rates = [float(row["learning_rate"]) for row in progress]
    np.testing.assert_allclose(rates, [0.01 * (1 - k / UPDATES) for k in range(UPDATES)])
    mean_rhos = [float(row["mean_rho"]) for row in progress]
    np.testing.assert_allclose(mean_rhos, 1, atol=1e-4)


@pytest.mark.parametrize("at", [0, 5])
def test_a_run_that_died_with_half_written_logs_resumes(tmp_path: Path, at: int) -> None:
    folder, unbroken = RunFolder(tmp_path / "died"), RunFolder(tmp_path / "unbroken")
    if at:
        with pytest.raises(Stopped):
            execute_run(SPEC, folder, RUNTIME, should_stop=stop_after(at))
    else:
        folder.begin(SPEC)
    for log in (folder.episodes, folder.progress):
        with log.path.open("a") as file:
            file.write("written after the checkpoint\nand half of a ro")
    execute_run(SPEC, folder, RUNTIME)
    execute_run(SPEC, unbroken, RUNTIME)
    assert_same_outcome(folder, unbroken)


@pytest.mark.parametrize("condition", ["pretrain", "freeze_all", "random"])
def test_killed_between_evaluation_and_result_no_episode_is_logged_twice(
    tmp_path: Path, pretrained: RunFolder, condition: str
) -> None:
    match condition:
        case "pretrain":
            spec = SPEC
        case "freeze_all":
            spec = transfer("freeze_all")
        case _:
            spec = changed(SPEC, condition="random", update_rule=None, steps=0)
    folder = RunFolder(tmp_path)
    source = pretrained.path if condition == "freeze_all" else None
    result = execute_run(spec, folder, RUNTIME, source=source)
    episodes = folder.episodes.path.read_bytes()
    (tmp_path / "result.json").unlink()
    again = execute_run(spec, folder, RUNTIME, source=source)
    assert folder.episodes.path.read_bytes() == episodes
    assert again["evaluation"] == result["evaluation"]
    assert again["mean_return"] == result["mean_return"]
