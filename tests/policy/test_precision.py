"""`precision: auto` follows from processor and network, and is written down."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import torch

import thaw.policy.precision
from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.run_spec import EvaluationConfig, RunSpec
from thaw.config.runtime import Runtime
from thaw.config.suite import Suite, Transfer
from thaw.config.update_rule import UpdateRule
from thaw.experiment.built_in import BUILT_IN
from thaw.experiment.execute import execute
from thaw.experiment.suite_folder import SuiteFolder
from thaw.files.atomic import StoreMismatch
from thaw.files.run_folder import RunFolder
from thaw.policy.precision import count_multiplications, resolve_precision
from thaw.training.progress import Stopped
from thaw.training.run import execute_run

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
DEEP = AgentConfig()
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

SAPPHIRE_RAPIDS = {"avx2": True, "avx512_f": True, "avx512_bf16": True, "amx_bf16": True}
ZEN_4 = SAPPHIRE_RAPIDS | {"amx_bf16": False}
ZEN_3 = {"avx2": True, "avx512_f": False, "avx512_bf16": False, "amx_bf16": False}
NEOVERSE_V1 = {"neon": True, "bf16": True, "sve": True}
"""What `torch.cpu.get_capabilities` says of processors; Arm's have other names."""

SUITES = {
    "catch-quick": ((60, 40, 3), "float32"),
    "catch-rules": ((60, 40, 3), "float32"),
    "catch-paper": ((120, 80, 3), "bfloat16"),
    "androidenv-quick": ((60, 40, 3), "float32"),
    "androidenv-catch-paper": ((120, 80, 3), "bfloat16"),
    "atari-quick": ((42, 42, 4), "float32"),
    "atari-paper": ((84, 84, 4), "bfloat16"),
    "atari-paper-frames": ((84, 84, 4), "bfloat16"),
    "minigrid-quick": ((7, 7, 20), "float32"),
    "procgen-quick": ((64, 64, 3), "float32"),
}
"""The observations of each built-in suite, and what it uses on a processor with bfloat16."""


def pretend(monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool]) -> None:
    """Say what this machine's processor can do."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)


def chosen(agent: AgentConfig, shape: tuple[int, ...], device: torch.device = CPU) -> str:
    resolved = resolve_precision(agent, shape, device)
    assert msgspec.structs.replace(resolved, precision="auto") == agent
    return resolved.precision


def test_what_the_config_names_is_taken() -> None:
    for precision in ("float32", "bfloat16"):
        agent = msgspec.structs.replace(SMALL, precision=precision)
        assert resolve_precision(agent, (30, 20, 3), CPU) is agent


def test_only_the_papers_suites_use_bfloat16_and_only_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert SUITES.keys() == BUILT_IN.keys()
    for name, (shape, expected) in SUITES.items():
        agent = BUILT_IN[name]().agent
        assert agent.precision == "auto"
        for processor in (SAPPHIRE_RAPIDS, ZEN_4):
            pretend(monkeypatch, processor)
            assert chosen(agent, shape) == expected, name
        for processor in (ZEN_3, NEOVERSE_V1, {}):
            pretend(monkeypatch, processor)
            assert chosen(agent, shape) == "float32", name


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")]
)
def test_a_gpu_needs_compute_capability_8(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str
) -> None:
    def get_device_capability(device: torch.device) -> tuple[int, int]:
        assert device == GPU
        return capability

    pretend(monkeypatch, SAPPHIRE_RAPIDS)  # does not matter
    monkeypatch.setattr(torch.cuda, "get_device_capability", get_device_capability)
    assert chosen(DEEP, (84, 84, 4), GPU) == expected
    assert chosen(SMALL, (84, 84, 4), GPU) == "float32"


def test_only_large_convolutions_use_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, SAPPHIRE_RAPIDS)
    for shape, expected in (
        ((84, 84, 4), "bfloat16"),
        ((84, 84, 1), "bfloat16"),
        ((64, 64, 3), "float32"),  # not measured
        ((42, 42, 4), "float32"),
    ):
        assert chosen(DEEP, shape) == expected, shape
    # An MLP has no convolution, no matter how wide it is.
    wide = msgspec.structs.replace(SMALL, embedding="mlp", embedding_size=10_000)
    shapes: tuple[tuple[int, ...], ...] = ((4,), (30, 20), (30, 20, 3))
    for other in shapes:
        assert count_multiplications(wide, other) == 0
        assert chosen(wide, other) == "float32"


def test_multiplications_are_those_of_the_convolutions() -> None:
    # Two convolutions: 20x20 outputs from 8x8 windows, then 9x9 from 4x4.
    assert count_multiplications(SMALL, (84, 84, 4)) == (
        20 * 20 * 16 * (8 * 8 * 4) + 9 * 9 * 32 * (4 * 4 * 16)
    )
    sections, inputs, side = 0, 4, 84
    for channels in (16, 32, 32):
        sections += side * side * channels * 9 * inputs
        side = (side + 1) // 2
        sections += 4 * side * side * channels * 9 * channels
        inputs = channels
    assert count_multiplications(DEEP, (84, 84, 4)) == sections


def test_a_network_that_does_not_fit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, SAPPHIRE_RAPIDS)
    with pytest.raises(InputError, match="too small"):
        resolve_precision(SMALL, (8, 8, 3), CPU)


USERS_CODE = """\
import torch
from torch import nn

class Grouped(nn.Module):
    def __init__(self, shape, size):
        super().__init__()
        self.conv = nn.Conv2d(shape[-1], 8, kernel_size=3, groups=2)
        self.linear = nn.Linear(8, size)

    def forward(self, images):
        x = images.permute(0, 3, 1, 2).float()
        if x.max() > 1:
            x = x / 255
        return self.linear(self.conv(x).mean(dim=(2, 3)))

class Never(Grouped):
    def forward(self, images):
        raise RuntimeError("only on my own processor")

class Bytes(Grouped):
    def forward(self, images):
        return self.conv(images.permute(0, 3, 1, 2))
"""


def test_a_users_embedding_is_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users_embeddings.py").write_text(USERS_CODE)
    monkeypatch.syspath_prepend(tmp_path)
    before = torch.get_rng_state()
    counts = {
        name: count_multiplications(AgentConfig(embedding=f"users_embeddings:{name}"), (12, 10, 4))
        for name in ("Grouped", "Never", "Bytes")
    }
    # In two groups, each output sees half of the four channels.
    assert counts == {"Grouped": 10 * 8 * 8 * (3 * 3 * 2), "Never": 0, "Bytes": 0}
    assert torch.equal(torch.get_rng_state(), before)


FRESH_PROCESSES = """\
import multiprocessing

import torch

from thaw.config.agent import AgentConfig
from thaw.policy.precision import resolve_precision

torch.cpu.get_capabilities = lambda: {"avx512_bf16": True}
DEEP, SHALLOW = AgentConfig(), AgentConfig(embedding="impala_shallow")

def choose(_):
    cpu = torch.device("cpu")
    deep = resolve_precision(DEEP, (84, 84, 4), cpu)
    return deep.precision, resolve_precision(SHALLOW, (60, 40, 3), cpu).precision

with multiprocessing.get_context("fork").Pool(4, maxtasksperchild=1) as fresh:
    for choice in fresh.map(choose, range(20), chunksize=1):
        print(*choice)
"""


@contextmanager
def busy_cores() -> Iterator[None]:
    """Keep other processes computing."""
    endless = [sys.executable, "-S", "-c", "while True: pass"]
    others = [subprocess.Popen(endless) for _ in range(2)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


@pytest.mark.slow
def test_twenty_fresh_processes_under_load_choose_the_same() -> None:
    with busy_cores():
        done = subprocess.run(
            [sys.executable, "-c", FRESH_PROCESSES],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.stdout == "bfloat16 float32\n" * 20, done.stderr


def test_a_run_writes_down_what_it_used_and_keeps_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thaw.policy.precision, "MIN_MULTIPLICATIONS", 1000)
    pretend(monkeypatch, SAPPHIRE_RAPIDS)
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(Stopped):
        execute_run(SPEC, folder, Runtime(), should_stop=lambda: True)
    assert folder.spec().agent.precision == "bfloat16"
    # On another machine the rule says float32. The run goes on as it began.
    pretend(monkeypatch, ZEN_3)
    result = execute_run(SPEC, folder, Runtime())
    assert folder.spec().agent.precision == "bfloat16"
    assert execute_run(SPEC, folder, Runtime()) == result
    other = msgspec.structs.replace(SMALL, precision="float32")
    with pytest.raises(StoreMismatch):
        execute_run(msgspec.structs.replace(SPEC, agent=other), folder, Runtime())


def test_a_suite_resolves_once_for_all_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thaw.policy.precision, "MIN_MULTIPLICATIONS", 1000)
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
    for processor in (SAPPHIRE_RAPIDS, ZEN_3):  # the second time, nothing is left to do
        pretend(monkeypatch, processor)
        summary = execute(suite, tmp_path, num_workers=1, runtime=Runtime())
        assert not summary.failed
        folder = SuiteFolder(tmp_path)
        assert folder.suite().agent.precision == "bfloat16"
        found = {folder.run_folder(run).spec().agent.precision for run in folder.plan().runs}
        assert found == {"bfloat16"}
