"""Every file of a run, damaged in every way: never used in silence, and the advice works."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from damage import DAMAGES, flip_a_bit, follow_advice

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.run_spec import EvaluationConfig, RunSpec
from thaw.config.runtime import Runtime
from thaw.config.update_rule import UpdateRule
from thaw.files.checkpoint import STATE_FILE, STATE_JSON, load_policy
from thaw.files.checksums import CHECKSUMS, Damaged
from thaw.files.policy_file import POLICY_FILE
from thaw.files.run_folder import RunFolder
from thaw.training.progress import Progress, Stopped
from thaw.training.run import execute_run

UPDATES = 8
SPEC = RunSpec(
    condition="pretrain",
    flavor=Flavor("catch"),
    update_rule=UpdateRule("scratch"),
    seed=0,
    steps=40 * UPDATES,
    environment={"num_envs": 4, "downsample": 16, "frames_per_step": 16},
    agent=AgentConfig(
        embedding="impala_shallow",
        embedding_size=16,
        lstm_size=8,
        fc_size=8,
        unroll_length=10,
        precision="float32",
        learning_rate=0.01,
    ),
    evaluation=EvaluationConfig(episodes=4),
)
TRANSFER = msgspec.structs.replace(
    SPEC, condition="update_all", flavor=Flavor("catch@large_ball"), source=SPEC.flavor,
    source_hash=SPEC.content_hash, update_rule=UpdateRule("update_all"),
)  # fmt: skip
SAVE_ALWAYS = Runtime(checkpoint_seconds=0.0)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("unbroken"))
    execute_run(SPEC, folder, SAVE_ALWAYS)
    return folder


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was stopped in its middle; only copy it."""
    folder = RunFolder(tmp_path_factory.mktemp("half"))
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == UPDATES // 2

    with pytest.raises(Stopped):
        execute_run(SPEC, folder, SAVE_ALWAYS, should_stop=stop)
    assert folder.saved_steps() == SPEC.steps // 2
    assert all(checkpoint.is_dir() for checkpoint in folder.checkpoints)
    return folder.path


def copy_of(source: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(shutil.copytree(source, tmp_path / "run"))


def outcome(folder: RunFolder) -> dict[str, Any]:
    result = folder.result()
    del result["seconds"]
    with folder.progress.path.open(newline="") as file:
        progress = [{**row, "seconds": None} for row in csv.DictReader(file)]
    names = (POLICY_FILE, STATE_FILE)
    return {name: (folder.checkpoint / name).read_bytes() for name in names} | {
        "result": result,
        "progress": progress,
        "episodes": folder.episodes.path.read_bytes(),
    }


def continued(folder: RunFolder) -> list[int]:
    """Go on with the run; return the steps after each update."""
    seen: list[int] = []

    def watch(progress: Progress) -> None:
        seen.append(progress.steps)

    execute_run(SPEC, folder, SAVE_ALWAYS, watch=watch)
    return seen


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", [POLICY_FILE, STATE_FILE, STATE_JSON, CHECKSUMS])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    half: Path, tmp_path: Path, unbroken: RunFolder, caplog: pytest.LogCaptureFixture,
    name: str, how: str,
) -> None:  # fmt: skip
    folder = copy_of(half, tmp_path)
    DAMAGES[how](folder.checkpoint / name)
    first = continued(folder)[0]
    if name == CHECKSUMS and how == "deleted":  # what is left is whole
        assert (first, caplog.messages) == (40 * (UPDATES // 2 + 1), [])
    else:
        assert first == 40 * (UPDATES // 2)
        assert len(caplog.messages) == 1
        assert str(folder.checkpoint / name) in caplog.messages[0]
        assert caplog.messages[0].endswith(f"this run goes on from {folder.path}/checkpoint.old")
    assert outcome(folder) == outcome(unbroken)


def test_other_counters_are_damage_too(
    half: Path, tmp_path: Path, unbroken: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    folder = copy_of(half, tmp_path)
    state = folder.checkpoint / STATE_JSON
    counters = json.loads(state.read_text())
    counters["learned_steps"] = 40
    state.write_text(json.dumps(counters, sort_keys=True, separators=(",", ":")))
    continued(folder)
    assert f"{state} is damaged" in caplog.text
    assert outcome(folder) == outcome(unbroken)


@pytest.mark.parametrize("name", [POLICY_FILE, STATE_FILE, STATE_JSON])
@pytest.mark.parametrize("how", ["a flipped bit", "empty", "deleted"])
def test_two_damaged_checkpoints_are_refused_and_the_advice_works(
    half: Path, tmp_path: Path, unbroken: RunFolder, name: str, how: str
) -> None:
    folder = copy_of(half, tmp_path)
    for checkpoint in folder.checkpoints:
        DAMAGES[how](checkpoint / name)
    for _ in range(2):
        with pytest.raises(Damaged) as caught:
            continued(folder)
        message = str(caught.value)
        assert "\n" not in message
        assert all(str(checkpoint / name) in message for checkpoint in folder.checkpoints)
    follow_advice(message)
    assert continued(folder)[0] == 40
    assert outcome(folder) == outcome(unbroken)


@pytest.mark.parametrize("name", [POLICY_FILE, STATE_FILE, STATE_JSON])
@pytest.mark.parametrize("how", ["a cut end", "empty", "deleted"])
def test_a_checkpoint_of_an_older_thaw_opens_and_its_damage_has_advice_too(
    half: Path, tmp_path: Path, unbroken: RunFolder, name: str, how: str
) -> None:
    folder = copy_of(half, tmp_path)
    shutil.rmtree(folder.checkpoints[1])
    (folder.checkpoint / CHECKSUMS).unlink()
    whole = RunFolder(shutil.copytree(folder.path, tmp_path / "whole"))
    assert continued(whole)[0] > SPEC.steps // 2
    DAMAGES[how](folder.checkpoint / name)
    with pytest.raises(Damaged, match=name) as caught:
        continued(folder)
    assert "\n" not in str(caught.value)
    follow_advice(str(caught.value))
    continued(folder)
    assert outcome(folder) == outcome(whole) == outcome(unbroken)


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", ["episodes.csv", "progress.csv"])
def test_a_damaged_log_is_named_and_never_used(
    half: Path, tmp_path: Path, unbroken: RunFolder, caplog: pytest.LogCaptureFixture,
    name: str, how: str,
) -> None:  # fmt: skip
    folder = copy_of(half, tmp_path)
    DAMAGES[how](folder.path / name)
    try:
        continued(folder)
        said = caplog.text
    except Damaged as error:
        said = str(error)
        follow_advice(said)
        continued(folder)
    assert f"{folder.path / name} is damaged" in said
    # Only the older checkpoint has not seen the last row.
    assert ("this run goes on from" in said) == (how == "a cut end")
    assert outcome(folder) == outcome(unbroken)


@pytest.mark.parametrize("how", ["empty", "deleted", "zeros", "edited"])
@pytest.mark.parametrize("is_done", [False, True])
def test_a_damaged_run_json_is_named_and_the_advice_works(
    half: Path, tmp_path: Path, unbroken: RunFolder, how: str, is_done: bool
) -> None:
    folder = copy_of(unbroken.path if is_done else half, tmp_path)
    path = folder.path / "run.json"
    if how == "edited":
        path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    else:
        DAMAGES[how](path)
    with pytest.raises(Damaged, match=r"run\.json") as caught:
        continued(folder)
    follow_advice(str(caught.value))
    assert not folder.path.exists()
    continued(folder)
    assert outcome(folder) == outcome(unbroken)


RESULTS: dict[str, Callable[[Path], object]] = {
    **DAMAGES,
    "nan": lambda path: path.write_text('{"mean_return": NaN, "steps": 1, "frames": 1}'),
    "no frames": lambda path: path.write_text('{"mean_return": 0.0, "steps": 1}'),
    "edited": lambda path: path.write_text(path.read_text().replace("320", "321")),
}


@pytest.mark.parametrize("how", RESULTS)
@pytest.mark.parametrize("has_checksums", [True, False])
def test_a_damaged_result_is_named_and_the_advice_works(
    tmp_path: Path, unbroken: RunFolder, how: str, has_checksums: bool
) -> None:
    folder = copy_of(unbroken.path, tmp_path)
    if not has_checksums:
        if how in ("edited", "a flipped bit"):
            pytest.skip("an older thaw could not know")
        (folder.path / CHECKSUMS).unlink()
    RESULTS[how](folder.path / "result.json")
    if how != "deleted":
        with pytest.raises(Damaged, match=r"result\.json") as caught:
            continued(folder)
        assert "\n" not in str(caught.value)
        follow_advice(str(caught.value))
    continued(folder)
    assert outcome(folder) == outcome(unbroken)


@pytest.mark.parametrize("has_old", [True, False])
def test_a_transfer_never_starts_from_a_damaged_policy(
    tmp_path: Path, unbroken: RunFolder, has_old: bool
) -> None:
    source = copy_of(unbroken.path, tmp_path)
    if not has_old:
        shutil.rmtree(source.checkpoints[1])
    flip_a_bit(source.checkpoint / POLICY_FILE)
    target = RunFolder(tmp_path / "transfer")
    for ask in (
        lambda: execute_run(TRANSFER, target, SAVE_ALWAYS, source=source.path),
        lambda: load_policy(source.path),
    ):
        with pytest.raises(InputError, match=rf"{POLICY_FILE} is damaged") as caught:
            ask()
    assert not target.path.exists()
    follow_advice(str(caught.value))
    continued(source)
    assert outcome(source) == outcome(unbroken)
    execute_run(TRANSFER, target, SAVE_ALWAYS, source=source.path)
    other = RunFolder(tmp_path / "from the unbroken")
    execute_run(TRANSFER, other, SAVE_ALWAYS, source=unbroken.path)
    assert outcome(target) == outcome(other)
