"""A run that was stopped or killed resumes exactly."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_runs import (
    ENVS,
    RUNTIME,
    SAVE_ALWAYS,
    SPEC,
    UNROLL,
    UPDATES,
    assert_same_outcome,
    changed,
    stop_after,
    transfer,
)

from thaw.config.runtime import Runtime
from thaw.config.strict import to_plain
from thaw.files.atomic import WriteFailed
from thaw.files.checkpoint import (
    STATE_FILE,
    load_policy,
    load_tensors,
    save_checkpoint,
)
from thaw.files.run_folder import RunFolder
from thaw.training.progress import Progress, Stopped
from thaw.training.run import execute_run


def test_saving_often_changes_nothing(tmp_path: Path, pretrained: RunFolder) -> None:
    folder = RunFolder(tmp_path)
    execute_run(SPEC, folder, SAVE_ALWAYS)
    assert_same_outcome(folder, pretrained)


CHILD = """
import json, sys, time
from pathlib import Path
import torch
from thaw.config.run_spec import RunSpec
from thaw.config.runtime import Runtime
from thaw.config.strict import from_plain
from thaw.files.run_folder import RunFolder
from thaw.training.run import execute_run

def watch(progress):
    print(progress.steps, flush=True)
    time.sleep(0.01)  # so that the parent can kill this process in time

spec = from_plain(json.loads(sys.argv[1]), RunSpec, "argument")
execute_run(spec, RunFolder(sys.argv[2]), Runtime(checkpoint_seconds=0.03), watch=watch)
"""


@pytest.mark.parametrize("clock", ["lockstep", pytest.param("overlapped", marks=pytest.mark.slow)])
def test_killed_and_resumed_equals_unbroken_bit_for_bit(tmp_path: Path, clock: str) -> None:
    spec = changed(SPEC, steps=UNROLL * ENVS * 60, agent={"clock": clock})
    killed, unbroken = RunFolder(tmp_path / "killed"), RunFolder(tmp_path / "unbroken")
    arguments = [sys.executable, "-c", CHILD, json.dumps(to_plain(spec)), str(killed.path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) >= UNROLL * ENVS * 25:
                child.kill()
                break
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
    assert not killed.is_done
    assert 0 < killed.saved_steps() < spec.steps
    seen: list[int] = []
    execute_run(spec, killed, RUNTIME, watch=lambda progress: seen.append(progress.steps))
    assert seen[0] > UNROLL * ENVS * 5, "it must continue, not start again"
    execute_run(spec, unbroken, RUNTIME)
    assert_same_outcome(killed, unbroken)


@pytest.mark.parametrize("env_groups", [1, 2])
@pytest.mark.parametrize("clock", ["lockstep", "overlapped"])
@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([1], marks=pytest.mark.slow),
        [5, 1, 3],
        pytest.param([UPDATES], marks=pytest.mark.slow),
    ],
)
def test_stopped_and_resumed_equals_unbroken(
    tmp_path: Path, clock: str, pieces: list[int], env_groups: int
) -> None:
    spec = changed(SPEC, agent={"clock": clock, "rmsprop_momentum": 0.5, "env_groups": env_groups})
    folder, unbroken = RunFolder(tmp_path / "stopped"), RunFolder(tmp_path / "unbroken")
    for num_updates in pieces:
        with pytest.raises(Stopped):
            execute_run(spec, folder, RUNTIME, should_stop=stop_after(num_updates))
        assert not folder.is_done
    assert folder.saved_steps() == sum(pieces) * UNROLL * ENVS
    execute_run(spec, folder, RUNTIME)
    execute_run(spec, unbroken, RUNTIME)
    assert_same_outcome(folder, unbroken)


@pytest.mark.parametrize("condition", ["freeze_embedding", "freeze_head"])
def test_a_transfer_resumes_too(tmp_path: Path, pretrained: RunFolder, condition: str) -> None:
    spec = transfer(condition)
    folder, unbroken = RunFolder(tmp_path / "stopped"), RunFolder(tmp_path / "unbroken")
    with pytest.raises(Stopped):
        execute_run(spec, folder, RUNTIME, source=pretrained.path, should_stop=stop_after(5))
    execute_run(spec, folder, RUNTIME, source=pretrained.path)
    execute_run(spec, unbroken, RUNTIME, source=pretrained.path)
    assert_same_outcome(folder, unbroken)


def test_a_full_disk_stops_the_run_and_more_space_lets_it_continue(
    tmp_path: Path, pretrained: RunFolder
) -> None:
    folder = RunFolder(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_the_disk(progress: Progress) -> None:
        if progress.steps == 7 * UNROLL * ENVS:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))

    try:
        with pytest.raises(WriteFailed, match="then run the same command to continue"):
            execute_run(SPEC, folder, SAVE_ALWAYS, watch=fill_the_disk)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not folder.is_done
    assert folder.saved_steps() == 6 * UNROLL * ENVS
    execute_run(SPEC, folder, RUNTIME)
    assert_same_outcome(folder, pretrained)


def test_a_frozen_part_that_is_not_the_source_s_stops_the_run(
    tmp_path: Path, pretrained: RunFolder
) -> None:
    folder = RunFolder(tmp_path)
    spec = transfer("freeze_embedding")
    with pytest.raises(Stopped):
        execute_run(spec, folder, RUNTIME, source=pretrained.path, should_stop=stop_after(3))
    policy = load_policy(folder.path)
    with torch.no_grad():
        bias = dict(policy.named_parameters())["embedding.linear.bias"]
        bias[0] = torch.nextafter(bias[0], torch.tensor(9.0))
    state = load_tensors(folder.checkpoint / STATE_FILE)
    counters = json.loads((folder.checkpoint / "training_state.json").read_text())
    save_checkpoint(folder, policy, state, counters)
    with pytest.raises(RuntimeError, match=r"frozen tensor 'embedding.linear.bias' changed"):
        execute_run(spec, folder, RUNTIME, source=pretrained.path)
    assert not folder.is_done


def test_another_runtime_continues_the_same_run(tmp_path: Path, pretrained: RunFolder) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(Stopped):
        execute_run(SPEC, folder, Runtime(num_threads=1), should_stop=stop_after(2))
    execute_run(SPEC, folder, Runtime(device="auto", checkpoint_seconds=0.0))
    assert folder.content_hash() == pretrained.content_hash() == SPEC.content_hash
