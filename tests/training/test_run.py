from __future__ import annotations

import csv
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from thaw.acting.actor import Actor
from thaw.acting.collector import Collector
from thaw.acting.evaluation import evaluate_policy
from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.run_spec import EvaluationConfig, RunSpec
from thaw.config.runtime import Runtime
from thaw.config.strict import to_plain
from thaw.config.update_rule import UpdateRule
from thaw.files.atomic import StoreMismatch, WriteFailed
from thaw.files.checkpoint import (
    POLICY_FILE,
    STATE_FILE,
    load_policy,
    load_tensors,
    save_checkpoint,
)
from thaw.files.run_folder import EPISODE_COLUMNS, PROGRESS_COLUMNS, RunFolder
from thaw.training.progress import Progress, Stopped
from thaw.training.run import execute_run

UNROLL, ENVS, UPDATES = 10, 4, 12
AGENT = AgentConfig(
    embedding="impala_shallow",
    embedding_size=16,
    lstm_size=8,
    fc_size=8,
    unroll_length=UNROLL,
    precision="float32",
    learning_rate=0.01,
)
SPEC = RunSpec(
    condition="pretrain",
    flavor=Flavor("catch"),
    update_rule=UpdateRule("scratch"),
    seed=0,
    steps=UNROLL * ENVS * UPDATES,
    environment={"num_envs": ENVS, "downsample": 16, "frames_per_step": 16},
    agent=AGENT,
    evaluation=EvaluationConfig(episodes=6),
)
RUNTIME = Runtime()
SAVE_ALWAYS = Runtime(checkpoint_seconds=0.0)


def changed(spec: RunSpec, agent: dict[str, Any] | None = None, **changes: Any) -> RunSpec:
    if agent is not None:
        changes["agent"] = msgspec.structs.replace(spec.agent, **agent)
    return msgspec.structs.replace(spec, **changes)


def transfer(condition: str, source: RunSpec = SPEC, **changes: Any) -> RunSpec:
    rule = UpdateRule(condition)
    return changed(
        source, condition=condition, flavor=Flavor("catch@large_ball"), source=source.flavor,
        source_hash=source.content_hash, update_rule=rule,
        steps=source.steps if rule.trains else 0, **changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("pretrained"))
    execute_run(SPEC, folder, RUNTIME)
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def outcome(folder: RunFolder) -> dict[str, Any]:
    """Everything that a run leaves, without what a clock on the wall decides."""
    result = folder.result()
    del result["seconds"]
    progress = rows_of(folder.progress.path) if folder.progress.path.exists() else []
    for row in progress:
        del row["seconds"]
    state = folder.checkpoint / STATE_FILE
    return {
        "policy": (folder.checkpoint / POLICY_FILE).read_bytes(),
        "state": state.read_bytes() if state.exists() else None,
        "episodes": folder.episodes.path.read_bytes(),
        "progress": progress,
        "result": result,
    }


def assert_same_outcome(folder: RunFolder, expected: RunFolder) -> None:
    ours, theirs = outcome(folder), outcome(expected)
    for name, value in theirs.items():
        assert ours[name] == value, f"{name} differs"


# -------------------------------------------------------------------------------- a whole run


def test_a_run_leaves_its_files(pretrained: RunFolder) -> None:
    result = pretrained.result()
    assert result["steps"] == SPEC.steps
    assert result["frames"] == 16 * SPEC.steps
    assert pretrained.spec() == SPEC
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

    returns = [float(row["return"]) for row in training]
    window = SPEC.evaluation.episodes
    assert result["training"]["mean_return"] == pytest.approx(np.mean(returns[-window:]))
    assert result["training"]["num_episodes"] == window < len(returns)
    assert result["mean_return"] == result["training"]["mean_return"]
    assert result["score"] == "training"
    returns = [float(row["return"]) for row in evaluation]
    assert result["evaluation"]["mean_return"] == pytest.approx(np.mean(returns))
    assert result["evaluation"]["sem"] == pytest.approx(np.std(returns, ddof=1) / np.sqrt(6))
    assert result["source_evaluation"] is None

    progress = rows_of(pretrained.progress.path)
    assert tuple(progress[0]) == PROGRESS_COLUMNS
    assert [int(row["steps"]) for row in progress] == [40 * (k + 1) for k in range(UPDATES)]
    assert [int(row["updates"]) for row in progress] == list(range(1, UPDATES + 1))
    rates = [float(row["learning_rate"]) for row in progress]
    np.testing.assert_allclose(rates, [0.01 * (1 - k / UPDATES) for k in range(UPDATES)])
    mean_rhos = [float(row["mean_rho"]) for row in progress]
    np.testing.assert_allclose(mean_rhos, 1, atol=1e-4)


def test_the_score_may_be_the_separate_evaluation(tmp_path: Path) -> None:
    spec = changed(SPEC, evaluation=EvaluationConfig(episodes=6, score="evaluation"), steps=40)
    result = execute_run(spec, RunFolder(tmp_path), RUNTIME)
    assert result["score"] == "evaluation"
    assert result["mean_return"] == result["evaluation"]["mean_return"]
    assert result["num_episodes"] == 6


def test_the_training_score_is_that_of_the_most_recent_episodes(tmp_path: Path) -> None:
    spec = changed(SPEC, steps=40 * 30)
    result = execute_run(spec, RunFolder(tmp_path), RUNTIME)
    rows = [r for r in rows_of(tmp_path / "episodes.csv") if r["phase"] == "training"]
    assert len(rows) == 120
    returns = [float(row["return"]) for row in rows]
    window = spec.evaluation.episodes
    assert result["num_episodes"] == window < 100
    assert result["mean_return"] == pytest.approx(np.mean(returns[-window:]))


def test_clipping_the_reward_changes_what_is_learned_and_not_what_is_reported(
    tmp_path: Path, pretrained: RunFolder
) -> None:
    spec = changed(SPEC, agent={"reward_clip": 0.001})
    execute_run(spec, RunFolder(tmp_path), RUNTIME)
    assert {float(r["return"]) for r in rows_of(tmp_path / "episodes.csv")} == {-1.0, 1.0}
    weights = load_tensors(tmp_path / "checkpoint" / POLICY_FILE)["head.policy.weight"]
    others = load_tensors(pretrained.checkpoint / POLICY_FILE)["head.policy.weight"]
    assert not torch.equal(weights, others)


def test_a_finished_run_is_only_read(pretrained: RunFolder) -> None:
    before = {path: path.stat().st_mtime_ns for path in pretrained.path.rglob("*")}
    result = execute_run(SPEC, pretrained, RUNTIME)
    assert result == pretrained.result()
    assert {path: path.stat().st_mtime_ns for path in pretrained.path.rglob("*")} == before


def test_another_run_s_folder_is_refused(pretrained: RunFolder) -> None:
    with pytest.raises(StoreMismatch, match="holds a run of another configuration"):
        execute_run(changed(SPEC, seed=1), pretrained, RUNTIME)


def test_wrong_input_writes_nothing(tmp_path: Path, pretrained: RunFolder) -> None:
    folder = RunFolder(tmp_path / "run")
    for spec, source, message in (
        (changed(SPEC, flavor=Flavor("catch@huge_ball")), None, "unknown flavor"),
        (changed(SPEC, environment={"downsamples": 16}), None, "did you mean 'downsample'"),
        (changed(SPEC, agent={"embedding": "impala_dep"}), None, "did you mean 'impala_deep'"),
        (transfer("update_all"), None, "needs a pretrained policy"),
        (transfer("update_all"), tmp_path / "nowhere", "does not exist"),
        (
            changed(transfer("update_all"), environment={"downsample": 8}),
            pretrained.path,
            "give source and target the same environment options",
        ),
        (
            changed(transfer("update_all"), agent={"lstm_size": 9}),
            pretrained.path,
            "Source and target must use the same network|must be the same",
        ),
    ):
        with pytest.raises(InputError, match=message) as caught:
            execute_run(spec, folder, RUNTIME, source=source)
        assert "\n" not in str(caught.value)
        assert not folder.path.exists(), message


# ------------------------------------------------------------------------------- determinism


@pytest.mark.parametrize("env_groups", [1, 2])
@pytest.mark.parametrize("clock", ["lockstep", "overlapped"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_seed_twice_is_the_same_run_bit_for_bit(
    tmp_path: Path, clock: str, precision: str, env_groups: int
) -> None:
    spec = changed(SPEC, agent={"clock": clock, "precision": precision, "env_groups": env_groups})
    folders = [RunFolder(tmp_path / name) for name in ("a", "b", "other seed")]
    for folder, seed in zip(folders, (0, 0, 1), strict=True):
        execute_run(changed(spec, seed=seed), folder, RUNTIME)
    assert_same_outcome(folders[1], folders[0])
    other, reference = outcome(folders[2]), outcome(folders[0])
    assert other["policy"] != reference["policy"]
    assert other["episodes"] != reference["episodes"]


def test_each_group_of_environments_plays_games_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Collector] = []

    def remember(actors: list[Actor]) -> Collector:
        seen.append(Collector(actors))
        return seen[-1]

    monkeypatch.setattr("thaw.training.build.Collector", remember)
    execute_run(changed(SPEC, agent={"env_groups": 2}), RunFolder(tmp_path), RUNTIME)
    actors = seen[0].actors
    assert [actor.env.num_envs for actor in actors] == [ENVS // 2, ENVS // 2]
    states = [actor.get_state() for actor in actors]
    for name in ("observations", "env/ball_x", "generator"):
        assert not torch.equal(states[0][name], states[1][name]), name


def test_clocks_and_precisions_are_different_runs(tmp_path: Path) -> None:
    policies = set()
    for clock in ("lockstep", "overlapped"):
        for precision in ("float32", "bfloat16"):
            spec = changed(SPEC, agent={"clock": clock, "precision": precision})
            folder = RunFolder(tmp_path / f"{clock} {precision}")
            execute_run(spec, folder, RUNTIME)
            policies.add(outcome(folder)["policy"][-1000:])
    assert len(policies) == 4


def test_saving_often_changes_nothing(tmp_path: Path, pretrained: RunFolder) -> None:
    folder = RunFolder(tmp_path)
    execute_run(SPEC, folder, SAVE_ALWAYS)
    assert_same_outcome(folder, pretrained)


def test_evaluation_meets_the_same_episodes_whoever_plays(
    tmp_path: Path, pretrained: RunFolder
) -> None:
    policy = load_policy(pretrained.path)
    options = {"downsample": 16, "frames_per_step": 16}

    def balls(seed: int, flavor: str) -> list[float]:
        episodes = evaluate_policy(
            policy, Flavor(flavor), num_episodes=40, seed=seed, num_envs=4, options=options
        )
        return [episode.episode_return for episode in episodes]

    assert balls(0, "catch") == balls(0, "catch")
    assert balls(0, "catch") != balls(1, "catch")
    result = pretrained.result()["evaluation"]
    episodes = evaluate_policy(
        policy, SPEC.flavor, num_episodes=6, seed=SPEC.seed, num_envs=ENVS, options=options
    )
    assert result["mean_return"] == np.mean([episode.episode_return for episode in episodes])


# ----------------------------------------------------------------------------- kill and resume

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
    time.sleep(0.01)  # so that whoever kills us comes in time

spec = from_plain(json.loads(sys.argv[1]), RunSpec, "argument")
execute_run(spec, RunFolder(sys.argv[2]), Runtime(checkpoint_seconds=0.03), watch=watch)
"""


@pytest.mark.parametrize("clock", ["lockstep", "overlapped"])
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
    assert seen[0] > UNROLL * ENVS * 5, "it must go on and not start again"
    execute_run(spec, unbroken, RUNTIME)
    assert_same_outcome(killed, unbroken)


def stop_after(num_updates: int) -> Callable[[], bool]:
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == num_updates

    return should_stop


@pytest.mark.parametrize("env_groups", [1, 2])
@pytest.mark.parametrize("clock", ["lockstep", "overlapped"])
@pytest.mark.parametrize("pieces", [[1], [5, 1, 3], [UPDATES]])
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


def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(
    tmp_path: Path, pretrained: RunFolder
) -> None:
    folder = RunFolder(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_the_disk(progress: Progress) -> None:
        if progress.steps == 7 * UNROLL * ENVS:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))

    try:
        with pytest.raises(WriteFailed, match="make room and run the same command to go on"):
            execute_run(SPEC, folder, SAVE_ALWAYS, watch=fill_the_disk)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not folder.is_done
    assert folder.saved_steps() == 6 * UNROLL * ENVS
    execute_run(SPEC, folder, RUNTIME)
    assert_same_outcome(folder, pretrained)


# --------------------------------------------------------------------------------- transfers


@pytest.mark.parametrize(
    ("condition", "frozen_part"),
    [("freeze_embedding", "embedding."), ("freeze_head", "head."), ("update_all", None)],
)
def test_a_transfer_changes_exactly_what_its_rule_trains(
    tmp_path: Path, pretrained: RunFolder, condition: str, frozen_part: str | None
) -> None:
    result = execute_run(transfer(condition), RunFolder(tmp_path), RUNTIME, source=pretrained.path)
    before = load_tensors(pretrained.checkpoint / POLICY_FILE)
    after = load_tensors(tmp_path / "checkpoint" / POLICY_FILE)
    for name, tensor in before.items():
        is_frozen = frozen_part is not None and name.startswith(frozen_part)
        assert torch.equal(after[name], tensor) == is_frozen, name
    assert result["source_evaluation"]["num_episodes"] == 6
    rows = rows_of(tmp_path / "episodes.csv")
    flavors = {(row["phase"], row["flavor"]) for row in rows}
    assert flavors == {
        ("training", "catch@large_ball"),
        ("evaluation", "catch@large_ball"),
        ("source evaluation", "catch"),
    }


def test_nothing_trains_and_the_source_comes_out(tmp_path: Path, pretrained: RunFolder) -> None:
    result = execute_run(
        transfer("freeze_all"), RunFolder(tmp_path), RUNTIME, source=pretrained.path
    )
    after = load_tensors(tmp_path / "checkpoint" / POLICY_FILE)
    for name, tensor in load_tensors(pretrained.checkpoint / POLICY_FILE).items():
        assert torch.equal(after[name], tensor), name
    assert result["training"] is None
    assert result["score"] == "evaluation"
    assert (result["steps"], result["frames"]) == (0, 0)
    assert not (tmp_path / "progress.csv").exists()
    # Back on the source's own flavor, it scores what the source scored there.
    assert result["source_evaluation"] == pretrained.result()["evaluation"]


def test_the_uniform_policy_is_scored_like_any_other(tmp_path: Path) -> None:
    spec = changed(
        SPEC, condition="random", update_rule=None, steps=0,
        evaluation=EvaluationConfig(episodes=400),
    )  # fmt: skip
    result = execute_run(spec, RunFolder(tmp_path), RUNTIME)
    # A uniformly random last column scores -0.44; the standard error is 0.045.
    assert result["mean_return"] == pytest.approx(-0.44, abs=0.2)
    assert not (tmp_path / "checkpoint").exists()


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


# --------------------------------------------------------------------------------- the hash

OTHER_VALUES: dict[str, Any] = {
    "condition": "scratch",
    "flavor": Flavor("catch@large_ball"),
    "source": Flavor("catch"),
    "source_hash": "0123456789abcdef",
    "update_rule": UpdateRule("freeze_head"),
    "seed": 1,
    "steps": 1,
    "environment": {"num_envs": 5},
    "agent": AgentConfig(),
    "evaluation": EvaluationConfig(),
    "results_version": 99,
}


@pytest.mark.parametrize("name", RunSpec.__struct_fields__)
def test_every_field_of_a_run_changes_its_hash(name: str) -> None:
    other = msgspec.structs.replace(SPEC, **{name: OTHER_VALUES[name]})
    assert getattr(other, name) != getattr(SPEC, name)
    assert other.content_hash != SPEC.content_hash


def another(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 or 0.5
    return {
        "lockstep": "overlapped", "float32": "bfloat16", "terminate": "bootstrap",
        "linear": "constant", "impala_shallow": "impala_deep", "sampled": "greedy",
        "training": "evaluation", "auto": "bfloat16",
    }[str(value)]  # fmt: skip


@pytest.mark.parametrize("name", AgentConfig.__struct_fields__)
def test_every_setting_of_the_agent_changes_the_hash(name: str) -> None:
    other = changed(SPEC, agent={name: another(getattr(AGENT, name))})
    assert other.content_hash != SPEC.content_hash


@pytest.mark.parametrize("name", EvaluationConfig.__struct_fields__)
def test_every_setting_of_the_evaluation_changes_the_hash(name: str) -> None:
    value = another(getattr(SPEC.evaluation, name))
    other = changed(SPEC, evaluation=msgspec.structs.replace(SPEC.evaluation, **{name: value}))
    assert other.content_hash != SPEC.content_hash


def test_where_and_how_often_is_no_part_of_a_run() -> None:
    assert not set(Runtime.__struct_fields__) & set(RunSpec.__struct_fields__)
    names = {*AgentConfig.__struct_fields__, *EvaluationConfig.__struct_fields__}
    assert not set(Runtime.__struct_fields__) & names


def test_another_runtime_goes_on_with_the_same_run(tmp_path: Path, pretrained: RunFolder) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(Stopped):
        execute_run(SPEC, folder, Runtime(num_threads=1), should_stop=stop_after(2))
    execute_run(SPEC, folder, Runtime(device="auto", checkpoint_seconds=0.0))
    assert folder.content_hash() == pretrained.content_hash() == SPEC.content_hash
