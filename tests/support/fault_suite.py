"""A suite whose runs are short and save often, and the comparison of two folders of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fault_sizes import is_sample

from thaw.config.errors import InputError
from thaw.config.suite import Suite
from thaw.experiment.plan import plan
from thaw.experiment.suite_folder import SuiteFolder
from thaw.experiment.suites import load_suite
from thaw.files.checkpoint import load_tensors, load_training_state
from thaw.files.policy_file import find_policy

STEPS = 600 if is_sample() else 1200
"""Of a transfer; the pretraining has twice as many."""

TIMED = ("seconds",)
"""Columns and keys that tell the time and differ between equal runs."""


class Setting(NamedTuple):
    """How a suite's runs act."""

    clock: str
    env_groups: int

    def __str__(self) -> str:
        return f"{self.clock}-{self.env_groups}"


SETTINGS = tuple(
    Setting(clock, groups) for clock in ("lockstep", "overlapped") for groups in (1, 2)
)


def suite_text(
    setting: Setting = SETTINGS[0],
    pretrain_steps: int = 2 * STEPS,
    transfer_steps: int = STEPS,
    conditions: str = "random, scratch, freeze_head",
) -> str:
    """Return a suite of Catch as YAML; one update takes 40 steps."""
    return f"""\
name: faults
transfers:
  - {{source: catch, target: catch@large_ball}}
conditions: [{conditions}]
seeds: 1
pretrain_steps: {pretrain_steps}
transfer_steps: {transfer_steps}
environment: {{num_envs: 4, downsample: 16, frames_per_step: 8}}
agent: {{embedding: impala_shallow, unroll_length: 10, lstm_size: 16, fc_size: 16,
  precision: float32, clock: {setting.clock}, env_groups: {setting.env_groups}}}
evaluation: {{episodes: 4}}
report: {{num_bins: 4}}
"""


def keys_of(suite_file: Path) -> list[str]:
    """Return the keys of a suite file's runs."""
    return [run.key for run in plan(load(suite_file)).runs]


def load(suite_file: Path) -> Suite:
    """Load a suite file."""
    return load_suite(suite_file)


def differences(
    reference: Path, other: Path, suite_file: Path, *, tensors: bool = True
) -> list[str]:
    """Compare the results of two folders bit for bit.

    Args:
        reference: A suite's folder, all of whose runs are done.
        other: The folder that should be equal.
        suite_file: Their suite.
        tensors: Compare the checkpoints as well.

    Returns:
        One line for each run or table that is missing or differs; empty if all is equal.
    """
    found = [
        f"{key}: {what}"
        for key in keys_of(suite_file)
        for what in run_differences(run_path(reference, key), run_path(other, key), tensors=tensors)
    ]
    if _rows(reference / "scores.csv") != _rows(other / "scores.csv"):
        found.append("scores.csv differs")
    if _rows(reference / "curves.csv") != _rows(other / "curves.csv"):
        found.append("curves.csv differs")
    return found


def run_path(suite_folder: Path, key: str) -> Path:
    """Return a run's folder."""
    return SuiteFolder(suite_folder).run_folder(key).path


def run_differences(reference: Path, other: Path, *, tensors: bool = True) -> list[str]:
    """Name what differs between two folders of one run."""
    if not (other / "result.json").is_file():
        return ["is not done"]
    found = []
    if _result(reference) != _result(other):
        found.append("result.json differs")
    for log in ("episodes.csv", "progress.csv"):
        if (reference / log).is_file() and _rows(reference / log) != _rows(other / log):
            found.append(f"{log} differs")
    if tensors and (reference / "checkpoint").is_dir():
        found += _unequal(_tensors(reference), _tensors(other))
    return found


def same_policy(reference: Path, other: Path) -> bool:
    """Whether two run folders hold the same weights."""
    try:
        return not _unequal(load_tensors(find_policy(reference)), load_tensors(find_policy(other)))
    except InputError:
        return False


def _unequal(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    if here.keys() != there.keys():
        return ["the checkpoint has other tensors"]
    names = [name for name in here if not here[name].equal(there[name])]
    return [f"{len(names)} tensors differ, {names[0]} among them"] if names else []


def whole_checkpoints(suite_folder: Path) -> list[str]:
    """Read the checkpoint of every run that has one; return the runs.

    Raises:
        InputError: One is not whole.
    """
    found = []
    for checkpoint in sorted(suite_folder.glob("runs/**/checkpoint")):
        _tensors(checkpoint.parent)
        found.append(str(checkpoint.parent))
    return found


def _tensors(run: Path) -> Mapping[str, Any]:
    """Return the weights of a run and, if it trained, the state from which it resumes."""
    file = find_policy(run)
    tensors = dict(load_tensors(file))
    if (file.parent / "training_state.json").exists():
        state, _ = load_training_state(file.parent)
        tensors |= {f"state/{name}": tensor for name, tensor in state.items()}
    return tensors


def _result(run: Path) -> dict[str, Any]:
    try:
        content = json.loads((run / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"broken": True}
    return {key: value for key, value in content.items() if key not in TIMED}


def _rows(file: Path) -> list[dict[str, str]] | None:
    """Return the rows of a CSV file without the columns that tell the time."""
    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines(), strict=True))
    except (OSError, ValueError, csv.Error):
        return None
    return [{name: row[name] for name in row if name not in TIMED} for row in rows]
