"""Runs of seconds on Catch, and the comparison of the files that two runs leave."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from thaw.config.agent import AgentConfig
from thaw.config.flavor import Flavor
from thaw.config.run_spec import EvaluationConfig, RunSpec
from thaw.config.runtime import Runtime
from thaw.config.update_rule import UpdateRule
from thaw.files.checkpoint import STATE_FILE
from thaw.files.policy_file import POLICY_FILE
from thaw.files.run_folder import RunFolder

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


def stop_after(num_updates: int) -> Callable[[], bool]:
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == num_updates

    return should_stop
