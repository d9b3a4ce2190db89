"""What users hold on to: names, commands and flags. Change them on purpose, and say so."""

from __future__ import annotations

import pydoc
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from command_line import TINY, Say

import thaw

NAMES = {
    "AgentConfig", "Flavor", "InputError", "Policy", "Suite", "Transfer", "UpdateRule",
    "apply_rule", "apply_update_rule", "load_policy", "load_results", "load_suite", "make_env",
    "plan", "report", "run", "vtrace",
}  # fmt: skip

COMMANDS = {
    "run": [
        "SUITE", "--out", "--set", "--trust-code", "--seeds", "--race", "--executor",
        "--ray-address", "--runs-per-gpu", "--workers", "--device", "--stall-seconds", "--only",
        "--retry-failed",
    ],
    "plan": [
        "SUITE", "--set", "--trust-code", "--seeds", "--race", "--workers", "--json", "--yaml",
        "--out", "--list", "--slurm", "--sbatch", "--array-limit",
    ],
    "run-one": [
        "DIR", "KEY", "--index", "--trust-code", "--device", "--threads", "--stall-seconds",
    ],
    "status": ["DIR", "--json"],
    "watch": ["DIR"],
    "report": [
        "DIR", "--scores", "--curves", "--baseline", "--normalize", "--paired", "--margin",
        "--bounds", "--static", "--out",
    ],
    "scores": [
        "DIR|FILE", "--out", "--pattern", "--curves", "--kind", "--value", "--step", "--last",
        "--target", "--condition",
    ],
    "publish": ["DIR", "--out"],
    "export": ["PROGRAM", "DIR", "--out", "--follow"],
    "import": [
        "LIBRARY", "FILE", "--out", "--flavor", "--map", "--embedding", "--head", "--set",
    ],
    "train": [
        "FLAVOR", "--out", "--steps", "--seed", "--milestones", "--set", "--device", "--threads",
        "--stall-seconds",
    ],
    "transfer": [
        "CHECKPOINT", "FLAVOR", "--rule", "--out", "--steps", "--seed", "--source-step", "--set",
        "--trust-code", "--device", "--threads", "--stall-seconds",
    ],
    "evaluate": [
        "CHECKPOINT|random", "FLAVOR", "--episodes", "--seed", "--greedy", "--set", "--trust-code",
        "--device", "--json",
    ],
    "record": [
        "CHECKPOINT|random", "FLAVOR", "--out", "--episodes", "--seed", "--greedy", "--trust-code",
    ],
    "rules": ["RULE", "--for", "--steps", "--set", "--trust-code", "--json"],
    "flavors": ["PATTERN", "--json"],
    "gallery": ["SUITE", "--out", "--set", "--trust-code", "--steps"],
    "bench": [
        "--flavor", "--embedding", "--set", "--device", "--threads", "--packed", "--rounds",
        "--seconds", "--asynchronous", "--out", "--json",
    ],
}  # fmt: skip


def test_importing_thaw_imports_nothing_heavy() -> None:
    code = (
        "import sys, thaw; dir(thaw); print([m for m in sys.modules if m.split('.')[0] in "
        "('torch', 'numpy', 'pandas', 'gymnasium', 'matplotlib', 'yaml')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_name_is_there() -> None:
    assert set(thaw.__all__) == NAMES == set(dir(thaw))
    for name in NAMES:
        assert getattr(thaw, name) is not None
    assert re.fullmatch(r"\d+\.\d+\.\d+", thaw.__version__)
    with pytest.raises(AttributeError, match="no attribute 'vtraze'"):
        _ = thaw.vtraze


def test_help_of_thaw_shows_every_name() -> None:
    text = pydoc.plain(pydoc.render_doc(thaw))
    assert "which part of it should keep learning?" in text
    missing = [
        name
        for name in NAMES - {"report"}  # a package, among the contents
        if not re.search(rf"^    (class )?{name}(\(|$| )", text, re.MULTILINE)
    ]
    assert missing == []
    assert "    report (package)\n" in text


WRONG: dict[str, Callable[[], object]] = {
    "load_suite": lambda: thaw.load_suite("catch-quik"),
    "run": lambda: thaw.run("catch-quik", "out"),
    "make_env": lambda: thaw.make_env("cathc"),
    "Flavor": lambda: thaw.Flavor("catch@a@b"),
    "UpdateRule": lambda: thaw.UpdateRule("freez_all"),
    "load_policy": lambda: thaw.load_policy("no/such/folder"),
    "load_results": lambda: thaw.load_results("no/such/folder"),
    "report": lambda: thaw.report.read_scores("no/such/file.csv"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_raises_the_public_error_in_one_line(name: str) -> None:
    with pytest.raises(thaw.InputError) as caught:
        WRONG[name]()
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_the_package_is_small_enough_to_look_through() -> None:
    package = Path(thaw.__file__).parent
    required = {"__main__.py", "py.typed", "__pycache__"}  # by Python, not by a reader
    entries = {path.name for path in package.iterdir()} - required
    assert len(entries) <= 14, sorted(entries)
    lines = {
        str(path.relative_to(package)): len(path.read_text(encoding="utf-8").splitlines())
        for path in package.rglob("*.py")
    }
    assert len(lines) > 100
    assert {path: count for path, count in lines.items() if count > 350} == {}


def test_every_command_and_flag_is_there(say: Say) -> None:
    commands = re.search(r"\{([a-z,-]+)\}", say("--help").out)
    assert commands is not None
    assert commands[1].split(",") == list(COMMANDS)
    for command, expected in COMMANDS.items():
        shown = say(command, "--help").out
        found = re.findall(r"^[│ ]{2}(--[\w-]+|[A-Z][\w|]*)(?= |$)", shown, re.MULTILINE)
        assert found == expected, command


def test_vtrace_takes_what_it_is_documented_to_take() -> None:
    steps = torch.zeros(3, 2)
    returned = thaw.vtrace(
        steps, steps + 0.9, steps + 1.0, steps, torch.zeros(2),
        rho_bar=1.0, c_bar=None, pg_rho_bar=None, lambda_=1.0,
    )  # fmt: skip
    # On policy with values 0 the targets are the discounted returns.
    assert torch.allclose(returned.vs[:, 0], torch.tensor([2.71, 1.9, 1.0]))
    assert torch.allclose(returned.pg_advantages[:, 0], torch.tensor([2.71, 1.9, 1.0]))


def test_make_env_makes_a_vector_environment() -> None:
    env = thaw.make_env("catch@large_ball", num_envs=8, seed=0, downsample=16)
    assert env.num_envs == 8
    observations, _ = env.reset(seed=0)
    assert observations.shape == (8, 30, 20, 3)
    env.close()


def test_policies_rules_and_checkpoints_work_by_hand(finished: Path) -> None:
    source = thaw.load_policy(finished / "runs/catch/pretrain/seed0")
    fresh = thaw.Policy(source.observation_shape, source.num_actions, source.config)
    rule = thaw.UpdateRule("embedding=source:frozen,head=source:trained,head.value=random:trained")
    thaw.apply_update_rule(fresh, rule, dict(source.parts()))
    for (name, ours), (_, theirs) in zip(fresh.parts(), source.parts(), strict=True):
        assert ours.equal(theirs) or name.startswith("head.value"), name
        assert ours.requires_grad != name.startswith("embedding."), name
    assert thaw.Policy((30, 20, 3), 54).num_actions == 54


def test_suites_are_planned_run_loaded_and_reported_from_python(
    finished: Path, tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    suite = thaw.load_suite(tmp_path / "tiny.yaml")
    assert isinstance(suite, thaw.Suite)
    assert suite.transfers[0] == thaw.Transfer(
        source=thaw.Flavor("catch"), target=thaw.Flavor("catch@large_ball")
    )
    assert suite.agent.lstm_size == 16 != thaw.AgentConfig().lstm_size
    assert len(thaw.plan(suite).runs) == 8
    summary = thaw.run(suite, finished)  # it is finished, so that nothing starts
    assert (len(summary.done), summary.failed, summary.not_run) == (8, {}, [])

    results = thaw.load_results(finished)
    assert len(results.scores) == 8
    assert {"steps", "mean_return"} <= set(results.curves.columns)
    spec = thaw.report.infer_spec(results.scores, name="mine")
    index = thaw.report.write_report(results.scores, results.curves, spec, tmp_path / "report")
    assert index.read_text().startswith("<!DOCTYPE html>")


def test_a_suite_built_in_python_is_checked_as_one_from_a_file(tmp_path: Path) -> None:
    suite = thaw.Suite(
        name="wrong",
        transfers=(thaw.Transfer(source=thaw.Flavor("catch"), target=thaw.Flavor("catch")),),
        pretrain_steps=-1,
        transfer_steps=1,
    )
    with pytest.raises(ValueError, match=r"pretrain_steps: expected a whole number >= 1"):
        thaw.run(suite, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
