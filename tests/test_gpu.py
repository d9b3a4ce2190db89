"""What only a GPU can show: the same learning as on a CPU, graphs and streams included."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
import torch
from catch_twins import CatchTwins

from thaw.config.agent import AgentConfig, Branches
from thaw.config.flavor import Flavor
from thaw.config.run_spec import EvaluationConfig, RunSpec
from thaw.config.runtime import Runtime
from thaw.config.strict import from_plain
from thaw.config.update_rule import UpdateRule
from thaw.envs.catch.knobs import VARIANTS
from thaw.envs.catch.vector_env import CatchVectorEnv
from thaw.files.run_folder import RunFolder
from thaw.training.run import execute_run

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

SPEC = RunSpec(
    condition="pretrain",
    flavor=Flavor("catch"),
    update_rule=UpdateRule("scratch"),
    seed=0,
    steps=10 * 8 * 12,
    environment={"num_envs": 8, "downsample": 8},
    agent=AgentConfig(
        embedding="impala_deep",
        embedding_size=32,
        lstm_size=16,
        fc_size=16,
        unroll_length=10,
        precision="float32",
    ),
    evaluation=EvaluationConfig(episodes=4),
)


def losses(tmp_path: Path, device: str, **agent: object) -> pd.DataFrame:
    changed = msgspec.structs.replace(SPEC.agent, **agent)
    folder = RunFolder(tmp_path / f"{device} {sorted(agent.items())}")
    spec = msgspec.structs.replace(SPEC, agent=changed)
    execute_run(spec, folder, Runtime(device=device))
    return pd.read_csv(folder.progress.path)


@pytest.mark.parametrize("env_groups", [1, 2])
@pytest.mark.parametrize("clock", ["lockstep", "overlapped"])
def test_the_first_updates_lose_what_they_do_on_a_cpu(
    tmp_path: Path, clock: str, env_groups: int
) -> None:
    # Three updates come before the CUDA graphs, the others replay them. Actions are drawn on the
    # CPU from nearly equal logits: sooner or later one differs, so the first six are compared.
    on_cpu = losses(tmp_path, "cpu", clock=clock, env_groups=env_groups).head(6)
    on_gpu = losses(tmp_path, "cuda", clock=clock, env_groups=env_groups).head(6)
    for name in ("total_loss", "baseline_loss", "entropy_loss", "gradient_norm"):
        np.testing.assert_allclose(on_gpu[name], on_cpu[name], rtol=2e-2, atol=1e-2, err_msg=name)


@pytest.mark.parametrize("lstm", ["none", "separate"])
def test_heads_lose_what_they_do_on_a_cpu(tmp_path: Path, lstm: str) -> None:
    """With an empty state, and with two LSTMs."""
    settings = {"head": "branches", "branches": from_plain({"lstm": lstm}, Branches, "test")}
    on_cpu = losses(tmp_path, "cpu", **settings).head(6)
    on_gpu = losses(tmp_path, "cuda", **settings).head(6)
    for name in ("total_loss", "baseline_loss", "entropy_loss", "gradient_norm"):
        np.testing.assert_allclose(on_gpu[name], on_cpu[name], rtol=2e-2, atol=1e-2, err_msg=name)


@pytest.mark.parametrize("rule", ["freeze_embedding", "freeze_head"])
def test_frozen_parts_stay_bitwise_and_the_others_move(tmp_path: Path, rule: str) -> None:
    source = RunFolder(tmp_path / "source")
    execute_run(SPEC, source, Runtime(device="cuda"))
    spec = msgspec.structs.replace(
        SPEC, condition=rule, source=SPEC.flavor, source_hash="0", update_rule=UpdateRule(rule)
    )
    # check_frozen runs at every save and raises if a frozen tensor moved.
    result = execute_run(
        spec,
        RunFolder(tmp_path / rule),
        Runtime(device="cuda", checkpoint_seconds=0.0),
        source=source.path,
    )
    assert result["steps"] >= SPEC.steps


@pytest.mark.parametrize("env_groups", [1, 2])
@pytest.mark.parametrize("clock", ["lockstep", "overlapped"])
def test_a_run_on_a_gpu_in_bfloat16_ends(tmp_path: Path, clock: str, env_groups: int) -> None:
    found = losses(tmp_path, "cuda", clock=clock, precision="bfloat16", env_groups=env_groups)
    assert np.isfinite(found["total_loss"]).all()


@pytest.mark.parametrize("autoreset_mode", ["SameStep", "Disabled"])
@pytest.mark.parametrize("downsample", [4, 16])
@pytest.mark.parametrize("variant", VARIANTS)
def test_catch_drawn_on_a_gpu_looks_as_in_numpy(
    variant: str, downsample: int, autoreset_mode: str
) -> None:
    twins = CatchTwins(
        16, "cuda", variant=variant, downsample=downsample, autoreset_mode=autoreset_mode,
        frame_jitter_ms=9,
    )  # fmt: skip
    twins.play(200)
    twins.check_kept()
    assert twins.num_resets


def test_catch_drawn_on_a_gpu_never_waits_for_it() -> None:
    env = CatchVectorEnv(16, drawn_on="cuda", frame_jitter_ms=9)
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 54, (200, 16))
    torch.cuda.set_sync_debug_mode("error")
    try:
        for row in actions:
            env.step(row)
    finally:
        torch.cuda.set_sync_debug_mode("default")
