"""`precision: auto` is settled by measurement, once, and written down."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch

import thaw.policy.precision
from thaw.config.agent import AgentConfig
from thaw.config.flavor import Flavor
from thaw.config.run_spec import EvaluationConfig, RunSpec
from thaw.config.runtime import Runtime
from thaw.config.suite import Suite, Transfer
from thaw.config.update_rule import UpdateRule
from thaw.experiment.execute import execute
from thaw.experiment.suite_folder import SuiteFolder
from thaw.files.atomic import StoreMismatch
from thaw.files.run_folder import RunFolder
from thaw.policy.precision import settle_precision
from thaw.training.progress import Stopped
from thaw.training.run import execute_run

CPU = torch.device("cpu")
SMALL = AgentConfig(
    embedding="impala_shallow", embedding_size=8, lstm_size=8, fc_size=8, unroll_length=5
)
SPEC = RunSpec(
    condition="pretrain",
    flavor=Flavor("catch"),
    update_rule=UpdateRule("scratch"),
    seed=0,
    steps=60,
    environment={"num_envs": 2, "downsample": 16},
    agent=SMALL,
    evaluation=EvaluationConfig(episodes=2),
)


def pretend(monkeypatch: pytest.MonkeyPatch, float32: float, bfloat16: float) -> None:
    """Let the clock say how long the two take."""
    monkeypatch.setattr(thaw.policy.precision, "_seconds", lambda *_: (float32, bfloat16))
    thaw.policy.precision._faster.cache_clear()


@pytest.fixture(autouse=True)
def _forget() -> None:
    thaw.policy.precision._faster.cache_clear()


def test_what_the_config_names_is_taken() -> None:
    for precision in ("float32", "bfloat16"):
        agent = msgspec.structs.replace(SMALL, precision=precision)
        assert settle_precision(agent, (30, 20, 3), CPU) is agent


def test_auto_is_measured_on_the_network_itself() -> None:
    settled = settle_precision(SMALL, (30, 20, 3), CPU)
    assert settled.precision in ("float32", "bfloat16")
    assert msgspec.structs.replace(settled, precision="auto") == SMALL
    assert settle_precision(SMALL, (30, 20, 3), CPU) == settled


@pytest.mark.parametrize(
    ("float32", "bfloat16", "expected"),
    [(2.0, 1.0, "bfloat16"), (1.1, 1.0, "float32"), (1.0, 2.0, "float32")],
)
def test_rounding_is_taken_only_for_clear_speed(
    monkeypatch: pytest.MonkeyPatch, float32: float, bfloat16: float, expected: str
) -> None:
    pretend(monkeypatch, float32, bfloat16)
    assert settle_precision(SMALL, (30, 20, 3), CPU).precision == expected


def test_vectors_stay_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, float32=2.0, bfloat16=1.0)
    agent = msgspec.structs.replace(SMALL, embedding="mlp")
    assert settle_precision(agent, (4,), CPU).precision == "float32"


def test_a_run_writes_down_what_it_used_and_keeps_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, float32=2.0, bfloat16=1.0)
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(Stopped):
        execute_run(SPEC, folder, Runtime(), should_stop=lambda: True)
    assert folder.spec().agent.precision == "bfloat16"
    # Elsewhere float32 would win; the run goes on as it began, and so does whoever reads it.
    pretend(monkeypatch, float32=1.0, bfloat16=2.0)
    result = execute_run(SPEC, folder, Runtime())
    assert folder.spec().agent.precision == "bfloat16"
    assert execute_run(SPEC, folder, Runtime()) == result
    other = msgspec.structs.replace(SMALL, precision="float32")
    with pytest.raises(StoreMismatch):
        execute_run(msgspec.structs.replace(SPEC, agent=other), folder, Runtime())


def test_a_suite_settles_once_for_all_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = Suite(
        name="small",
        transfers=(Transfer(source=Flavor("catch"), target=Flavor("catch@large_ball")),),
        conditions=("random", "update_all"),
        seeds=1,
        pretrain_steps=20,
        transfer_steps=20,
        environment=dict(SPEC.environment),
        agent=SMALL,
        evaluation=SPEC.evaluation,
    )
    for float32, bfloat16 in ((2.0, 1.0), (1.0, 2.0)):  # the second time, nothing is left to do
        pretend(monkeypatch, float32, bfloat16)
        summary = execute(suite, tmp_path, num_workers=1, runtime=Runtime())
        assert not summary.failed
        folder = SuiteFolder(tmp_path)
        assert folder.suite().agent.precision == "bfloat16"
        found = {folder.run_folder(run).spec().agent.precision for run in folder.plan().runs}
        assert found == {"bfloat16"}
