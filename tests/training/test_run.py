"""A whole run: its files, its determinism, its update rule, its hash."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from small_runs import (
    AGENT,
    RUNTIME,
    SPEC,
    assert_same_outcome,
    changed,
    outcome,
    rows_of,
    transfer,
)

from thaw.config.agent import AgentConfig, Branches
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.run_spec import EvaluationConfig, RunSpec
from thaw.config.runtime import Runtime
from thaw.config.update_rule import UpdateRule
from thaw.files.atomic import StoreMismatch
from thaw.files.checkpoint import STATE_FILE, load_tensors
from thaw.files.ownership import owned
from thaw.files.policy_file import POLICY_FILE
from thaw.files.run_folder import RunFolder
from thaw.training.run import execute_run


def test_a_run_leaves_its_files(pretrained: RunFolder) -> None:
    result = pretrained.result()
    assert result["steps"] == SPEC.steps
    assert result["frames"] == 16 * SPEC.steps
    assert pretrained.spec() == SPEC
    names = {path.name for path in pretrained.path.rglob("*")}
    assert {POLICY_FILE, STATE_FILE, "machine.json", "episodes.csv", "progress.csv"} <= names


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


def test_a_second_process_changes_no_file_of_a_run_that_another_owns(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin(SPEC)
    (tmp_path / "machine.json").write_text("of the owner")
    folder.error_log.write_text("of an attempt before")
    with owned(tmp_path):
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(InputError, match="another thaw works in"):
            execute_run(SPEC, RunFolder(tmp_path), RUNTIME)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    execute_run(SPEC, RunFolder(tmp_path), RUNTIME)
    assert "num_threads" in (tmp_path / "machine.json").read_text()
    assert not folder.error_log.exists()


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


@pytest.mark.parametrize(
    ("clock", "precision", "env_groups"),
    [
        pytest.param(*case, marks=[pytest.mark.slow] * (i in (1, 3, 4, 6)))  # half of them
        for i, case in enumerate(
            product(("lockstep", "overlapped"), ("float32", "bfloat16"), (1, 2))
        )
    ],
)
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


def test_clocks_and_precisions_are_different_runs(tmp_path: Path) -> None:
    policies = set()
    for clock in ("lockstep", "overlapped"):
        for precision in ("float32", "bfloat16"):
            spec = changed(SPEC, agent={"clock": clock, "precision": precision})
            folder = RunFolder(tmp_path / f"{clock} {precision}")
            execute_run(spec, folder, RUNTIME)
            policies.add(outcome(folder)["policy"][-1000:])
    assert len(policies) == 4


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


OTHER_VALUES: dict[str, Any] = {
    "condition": "scratch",
    "flavor": Flavor("catch@large_ball"),
    "source": Flavor("catch"),
    "source_hash": "0123456789abcdef",
    "source_step": 1,
    "milestones": (1, 2),
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
        "linear": "constant", "rmsprop": "adam", "impala_shallow": "impala_deep",
        "sampled": "greedy", "training": "evaluation", "auto": "bfloat16",
    }[str(value)]  # fmt: skip


LATER: dict[str, dict[str, Any]] = {
    "head": {"head": "linear"},
    "branches": {"branches": Branches(lstm="shared")},
    "embedding_weights": {"embedding": "timm:resnet18", "embedding_weights": "weights.safetensors"},
    "embedding_sha256": {
        "embedding": "timm:resnet18", "embedding_weights": "w", "embedding_sha256": "0" * 64,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", AgentConfig.__struct_fields__)
def test_every_setting_of_the_agent_changes_the_hash(name: str) -> None:
    other = changed(SPEC, agent=LATER.get(name) or {name: another(getattr(AGENT, name))})
    without = changed(other, agent={name: getattr(AGENT, name)})
    assert other.content_hash not in (SPEC.content_hash, without.content_hash)


@pytest.mark.parametrize("name", EvaluationConfig.__struct_fields__)
def test_every_setting_of_the_evaluation_changes_the_hash(name: str) -> None:
    value = another(getattr(SPEC.evaluation, name))
    other = changed(SPEC, evaluation=msgspec.structs.replace(SPEC.evaluation, **{name: value}))
    assert other.content_hash != SPEC.content_hash


def test_where_and_how_often_is_no_part_of_a_run() -> None:
    assert not set(Runtime.__struct_fields__) & set(RunSpec.__struct_fields__)
    names = {*AgentConfig.__struct_fields__, *EvaluationConfig.__struct_fields__}
    assert not set(Runtime.__struct_fields__) & names
