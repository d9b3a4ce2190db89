"""The environments of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_runs import (
    ENVS,
    RUNTIME,
    SPEC,
    changed,
)

from thaw.acting.actor import Actor
from thaw.acting.collector import Collector
from thaw.files.run_folder import RunFolder
from thaw.training.run import execute_run


def test_each_group_of_environments_plays_different_games(
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
