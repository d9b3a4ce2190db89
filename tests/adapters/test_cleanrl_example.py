"""The example of one file runs, and its annealing reaches every part."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/cleanrl_style_ppo.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cleanrl_style_ppo", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def source(example: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("example") / "source.safetensors")
    example.main(["--steps", "2048", "--save", path])
    return path


def test_the_rates_of_all_parts_anneal(example: ModuleType, source: str) -> None:
    rates: list[tuple[float, ...]] = []

    def look(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        rates.append(tuple(group["lr"] for group in optimizer.param_groups))

    watching = register_optimizer_step_pre_hook(look)
    rule = "embedding=source:trained:lr=0.1,head=source:trained"
    example.main(["--source", source, "--rule", rule, "--steps", "1024", "--learning-rate", "1"])
    watching.remove()
    assert [rates[n] for n in (0, 16, 32, 48)] == [
        pytest.approx((0.1 * rate, rate)) for rate in (1, 0.75, 0.5, 0.25)
    ]


def test_a_named_rule_with_a_schedule_runs(example: ModuleType, source: str) -> None:
    agent, returns = example.main(
        ["--source", source, "--gravity", "20", "--rule", "critic_warm_up", "--steps", "1024"]
    )
    assert returns
    assert agent.training


@pytest.mark.slow
def test_it_learns(example: ModuleType) -> None:
    _, returns = example.main(["--steps", "20000"])
    assert sum(returns[-20:]) > 1.5 * sum(returns[:20])
