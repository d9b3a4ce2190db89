"""A network that draws noise while it learns, such as dropout, is as repeatable as any other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_runs import RUNTIME, SPEC, assert_same_outcome, changed, stop_after, transfer

from thaw.files.checkpoint import load_policy
from thaw.files.run_folder import RunFolder
from thaw.policy.modes import policy_depends_on_mode
from thaw.training.progress import Stopped
from thaw.training.run import execute_run


@pytest.mark.parametrize("clock", ["lockstep", "overlapped"])
@pytest.mark.parametrize(
    "part", [{"embedding": "user_embedding:with_dropout"}, {"head": "user_head:with_dropout"}]
)
def test_a_stopped_run_with_dropout_equals_an_unbroken_one(
    tmp_path: Path, part: dict[str, str], clock: str
) -> None:
    spec = changed(SPEC, agent={**part, "clock": clock, "precision": "float32"})
    unbroken, stopped = RunFolder(tmp_path / "unbroken"), RunFolder(tmp_path / "stopped")
    torch.manual_seed(1)
    execute_run(spec, unbroken, RUNTIME)
    assert policy_depends_on_mode(load_policy(unbroken.checkpoint, trust_code=True))
    torch.manual_seed(2)  # whatever else this process has drawn does not matter
    with pytest.raises(Stopped):
        execute_run(spec, stopped, RUNTIME, should_stop=stop_after(5))
    torch.rand(3)
    execute_run(spec, stopped, RUNTIME)
    assert_same_outcome(stopped, unbroken)


def test_each_update_draws_other_noise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seeds: list[int] = []
    seeded = torch.manual_seed

    def manual_seed(seed: int) -> torch.Generator:
        seeds.append(seed)
        return seeded(seed)

    monkeypatch.setattr(torch, "manual_seed", manual_seed)
    spec = changed(SPEC, agent={"head": "user_head:with_dropout"})
    source = RunFolder(tmp_path / "source")
    execute_run(spec, source, RUNTIME)
    first = seeds[1:]  # without that of the initial weights
    assert len(set(first)) == len(first) > 5
    seeds.clear()
    execute_run(
        transfer("update_all", spec), RunFolder(tmp_path / "2"), RUNTIME, source=source.checkpoint
    )
    assert not set(first) & set(seeds[1:])
