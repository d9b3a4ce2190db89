"""Event files and wandb runs hold each point of a run once, whatever the run went through."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from command_line import Say
from small_runs import SAVE_ALWAYS, SPEC, rows_of, stop_after
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from thaw.config.errors import InputError
from thaw.experiment.export.event_file import EVENTS
from thaw.experiment.export.folder import Exporter, Program
from thaw.experiment.export.points import RunRecord, read_run
from thaw.experiment.export.wandb_file import history as all_columns
from thaw.experiment.export.wandb_file import is_whole, records
from thaw.experiment.export.wandb_runs import WandbRuns
from thaw.experiment.published import publish_suite
from thaw.files.atomic import WriteFailed
from thaw.files.run_folder import RunFolder
from thaw.training.progress import Stopped
from thaw.training.run import execute_run

Curves = dict[str, list[tuple[int, float]]]

PROGRAMS = get_args(Program)

KEY = "catch@large_ball/update_all/seed0"


def export(folder: Path, program: Program, out: Path) -> None:
    Exporter(folder, program, out).export()


def curves_in(event_folder: Path) -> Curves:
    """Read the scalars of an event file with TensorBoard's own reader, all points kept."""
    reader = EventAccumulator(str(event_folder), size_guidance={"scalars": 0})
    reader.Reload()
    tags = reader.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in tags}


def wandb_file(out: Path) -> Path:
    (path,) = out.glob("offline-run-*/run-*.wandb")
    return path


def history(path: Path) -> list[dict[str, Any]]:
    """The rows without the time that wandb's own process took, which wandb always adds."""
    return [{k: v for k, v in row.items() if k != "_runtime"} for row in all_columns(path)]


def column(rows: list[dict[str, str]], name: str) -> Any:
    return [(int(row["steps"]), pytest.approx(float(row[name]), rel=1e-6)) for row in rows]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of a run that was stopped half-way, and a copy in which it went on to its end."""
    root = tmp_path_factory.mktemp("stages")
    half, done = root / "half", root / "done"
    with pytest.raises(Stopped):
        execute_run(SPEC, RunFolder(half), SAVE_ALWAYS, should_stop=stop_after(6))
    shutil.copytree(half, done)
    execute_run(SPEC, RunFolder(done), SAVE_ALWAYS)
    return half, done


def become(run: Path, stage: Path) -> None:
    """Give a run's folder the files of another moment."""
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(stage, run)


def test_event_files_hold_the_rows_of_every_run(finished: Path, tmp_path: Path) -> None:
    export(finished, "tensorboard", tmp_path)
    rows = rows_of(finished / "runs" / KEY / "progress.csv")
    curves = curves_in(tmp_path / KEY)
    assert curves["losses/policy_loss"] == column(rows, "policy_loss")
    assert curves["charts/learning_rate"] == column(rows, "learning_rate")
    assert curves["charts/episodes"][-1][1] == sum(
        row["phase"] == "training" for row in rows_of(finished / "runs" / KEY / "episodes.csv")
    )
    result = RunFolder(finished / "runs" / KEY).result()
    ((step, score),) = curves["score/source_evaluation/mean_return"]
    assert step == 360
    assert score == pytest.approx(result["source_evaluation"]["mean_return"])
    keys = {path.parent.relative_to(tmp_path) for path in tmp_path.rglob(EVENTS)}
    runs = finished / "runs"
    assert keys == {path.parent.relative_to(runs) for path in runs.rglob("result.json")}


def test_each_episode_is_in_one_point(finished: Path, tmp_path: Path) -> None:
    export(finished, "tensorboard", tmp_path)
    curves = curves_in(tmp_path / KEY)
    counts = dict(curves["charts/episodes"])
    before, total = 0.0, 0.0
    for step, mean in curves["charts/episode_return"]:
        total += mean * (counts[step] - before)
        before = counts[step]
    episodes = rows_of(finished / "runs" / KEY / "episodes.csv")
    returns = [float(row["return"]) for row in episodes if row["phase"] == "training"]
    assert total == pytest.approx(math.fsum(returns), abs=1e-4)


def test_the_event_file_tells_the_runs_of_a_suite_apart(finished: Path, tmp_path: Path) -> None:
    export(finished, "tensorboard", tmp_path)
    reader = EventAccumulator(str(tmp_path / KEY))
    reader.Reload()
    content = reader.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    about = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert about["condition"].string_value == "update_all"
    assert about["source"].string_value == "catch"
    assert about["target"].string_value == "catch@large_ball"
    assert about["seed"].number_value == 0


def test_the_second_export_gives_the_same_points(finished: Path, tmp_path: Path) -> None:
    run = finished / "runs" / KEY
    for program in PROGRAMS:
        export(run, program, tmp_path / program)
    events = (tmp_path / "tensorboard" / run.name / EVENTS).read_bytes()
    rows = history(wandb_file(tmp_path / "wandb"))
    for program in PROGRAMS:
        export(run, program, tmp_path / program)
    assert (tmp_path / "tensorboard" / run.name / EVENTS).read_bytes() == events
    assert history(wandb_file(tmp_path / "wandb")) == rows


class CutOff(WandbRuns):
    """wandb's own process ends before it has written a run to its end."""

    def _log(self, run: RunRecord, folder: Path) -> None:
        super()._log(run, folder)
        (offline,) = (folder / "wandb").glob("offline-run-*")
        self._wait_for(offline, run.key)
        path = wandb_file(folder / "wandb")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_wandb_run_takes_its_place_only_when_it_is_whole(finished: Path, tmp_path: Path) -> None:
    record = read_run(RunFolder(finished / "runs" / KEY), KEY)
    WandbRuns(tmp_path, "project").write(record)
    before = wandb_file(tmp_path).read_bytes()
    with pytest.raises(WriteFailed, match="to its end within"):
        CutOff(tmp_path, "project", longest_wait_seconds=2).write(record)
    assert wandb_file(tmp_path).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [wandb_file(tmp_path).parent.name]


def test_a_wandb_file_that_is_cut_off_anywhere_is_not_whole(finished: Path, tmp_path: Path) -> None:
    export(finished / "runs" / KEY, "wandb", tmp_path)
    path = wandb_file(tmp_path)
    data = path.read_bytes()
    assert is_whole(path)
    for size in (*range(60), *range(60, len(data) - 60, 97), *range(len(data) - 60, len(data))):
        path.write_bytes(data[:size])
        assert not is_whole(path), size


def test_a_wandb_run_holds_the_rows_and_scores_of_its_run(finished: Path, tmp_path: Path) -> None:
    run = RunFolder(finished / "runs" / KEY)
    export(run.path, "wandb", tmp_path)
    rows = rows_of(run.progress.path)
    logged = history(wandb_file(tmp_path))
    assert [(row["_step"], row["losses/policy_loss"]) for row in logged] == [
        (int(row["steps"]), pytest.approx(float(row["policy_loss"]))) for row in rows
    ]
    (about,) = (r.run for r in records(wandb_file(tmp_path)) if r.HasField("run"))
    assert about.run_id == run.content_hash()
    assert (about.run_group, about.job_type) == ("catch -> catch@large_ball", "update_all")
    assert list(about.tags) == ["update_all", "seed0", "catch@large_ball"]
    summary = {
        item.key: item.value_json
        for record in records(wandb_file(tmp_path))
        for item in record.summary.update
    }
    assert float(summary["score/mean_return"]) == run.result()["mean_return"]


def test_rows_that_a_resume_would_drop_are_not_exported(
    stages: tuple[Path, Path], tmp_path: Path
) -> None:
    half, _ = stages
    run = Path(shutil.copytree(half, tmp_path / "run"))
    final = rows_of(run / "progress.csv")
    with (run / "progress.csv").open("a") as file:  # logged after the checkpoint; then a kill
        file.write("280,4480,7,1.0" + "," * 13 + "\n320,51")
    export(run, "tensorboard", tmp_path / "events")
    assert curves_in(tmp_path / "events/run")["losses/policy_loss"] == column(final, "policy_loss")
    export(run, "wandb", tmp_path / "wandb")
    steps = [row["_step"] for row in history(wandb_file(tmp_path / "wandb"))]
    assert steps == [int(row["steps"]) for row in final]


def test_new_points_are_appended_to_the_file_that_tensorboard_reads(
    stages: tuple[Path, Path], tmp_path: Path
) -> None:
    half, done = stages
    run, out = tmp_path / "run", tmp_path / "events"
    shutil.copytree(half, run)
    export(run, "tensorboard", out)
    reader = EventAccumulator(str(out / "run"), size_guidance={"scalars": 0})
    reader.Reload()
    become(run, done)
    export(run, "tensorboard", out)
    reader.Reload()  # goes on in the file that it has open
    points = [(event.step, event.value) for event in reader.Scalars("losses/policy_loss")]
    assert points == column(rows_of(done / "progress.csv"), "policy_loss")
    assert points == curves_in(out / "run")["losses/policy_loss"]


def test_an_append_that_was_cut_off_is_completed(stages: tuple[Path, Path], tmp_path: Path) -> None:
    _, done = stages
    export(done, "tensorboard", tmp_path)
    path = tmp_path / "done" / EVENTS
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    export(done, "tensorboard", tmp_path)
    assert path.read_bytes() == whole


def test_a_run_that_went_back_is_rebuilt(stages: tuple[Path, Path], tmp_path: Path) -> None:
    half, done = stages
    run = tmp_path / "run"
    become(run, done)
    for program in PROGRAMS:
        export(run, program, tmp_path / program)
    become(run, half)
    for program in PROGRAMS:
        export(run, program, tmp_path / program)
    rows = rows_of(half / "progress.csv")
    curves = curves_in(tmp_path / "tensorboard/run")
    assert curves["losses/policy_loss"] == column(rows, "policy_loss")
    assert "score/mean_return" not in curves
    steps = [row["_step"] for row in history(wandb_file(tmp_path / "wandb"))]
    assert steps == [int(row["steps"]) for row in rows]


@pytest.mark.parametrize("program", ["tensorboard", "wandb"])
def test_following_ends_with_the_points_of_the_finished_run(
    program: Program, stages: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half, done = stages
    run, live, whole = tmp_path / "run", tmp_path / "live", tmp_path / "whole"
    shutil.copytree(half, run)
    num_looks = 0

    def happens() -> Iterator[None]:
        nonlocal num_looks
        for stage in (half, done):
            become(run, stage)
            num_looks += 1
            yield

    moments = happens()
    look = SimpleNamespace(sleep=lambda seconds: next(moments))
    monkeypatch.setattr("thaw.experiment.export.folder.time", look)
    Exporter(run, program, live).follow()
    export(run, program, whole)
    assert num_looks == 2
    if program == "tensorboard":
        assert curves_in(live / "run") == curves_in(whole / "run")
    else:
        assert history(wandb_file(live)) == history(wandb_file(whole))


def test_a_run_that_was_deleted_leaves_the_export(copied: Path, tmp_path: Path) -> None:
    export(copied, "tensorboard", tmp_path / "events")
    shutil.rmtree(copied / "runs" / KEY)
    export(copied, "tensorboard", tmp_path / "events")
    assert not (tmp_path / "events" / KEY / EVENTS).exists()
    assert (tmp_path / "events/catch/pretrain/seed0" / EVENTS).is_file()


def test_a_damaged_run_is_named_and_the_others_are_exported(
    copied: Path, tmp_path: Path, say: Say
) -> None:
    (copied / "runs" / KEY / "episodes.csv").write_bytes(b"\0" * 100)
    spoken = say("export", "tensorboard", copied, "--out", tmp_path / "events")
    assert spoken.status == 1
    assert spoken.err.startswith(f"{KEY} is left out: ")
    assert spoken.err.count("\n") == 1
    assert not (tmp_path / "events" / KEY / EVENTS).exists()
    assert (tmp_path / "events/catch/pretrain/seed0" / EVENTS).is_file()


def test_the_command_follows_a_finished_suite_to_its_end(
    finished: Path, tmp_path: Path, say: Say
) -> None:
    spoken = say("export", "tensorboard", finished, "--out", tmp_path / "events", "--follow")
    assert (spoken.status, spoken.err) == (0, "")
    assert spoken.out.startswith(f"{tmp_path / 'events'}: 8 of 8 runs, ")


@pytest.mark.parametrize(
    ("program", "module"),
    [("tensorboard", "tensorboard.summary.writer.record_writer"), ("wandb", "wandb")],
)
def test_a_missing_package_is_an_error_that_says_how_to_install_it(
    program: Program, module: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"pip install 'thaw\[{program}\]'$"):
        Exporter(finished, program, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_wandb_mode_is_refused(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(InputError, match="must be offline or online"):
        Exporter(finished, "wandb", tmp_path / "out")


def test_a_published_folder_has_no_runs_to_export(finished: Path, tmp_path: Path) -> None:
    publish_suite([finished], tmp_path)
    with pytest.raises(InputError, match="no runs to export"):
        Exporter(tmp_path, "tensorboard")


def test_two_exports_do_not_write_into_one_folder(finished: Path, tmp_path: Path, say: Say) -> None:
    from thaw.files.ownership import owned

    with owned(tmp_path / "events"):
        spoken = say("export", "tensorboard", finished, "--out", tmp_path / "events")
    assert spoken.status == 2
    assert list((tmp_path / "events").rglob(EVENTS)) == []
