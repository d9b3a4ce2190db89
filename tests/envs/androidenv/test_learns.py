"""AndroidEnv's whole stack, five asynchronous actors, and a policy that learns."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import numpy as np
import pytest

from thaw.config import RunSpec, Runtime
from thaw.run_folder import RunFolder
from thaw.scoring import evaluate_policy
from thaw.suites import load_suite
from thaw.train import execute_run
from thaw.words import UpdateRule

pytest.importorskip("ray", reason="pip install 'thaw[ray]'")


def test_five_actors_on_simulated_phones_learn_clearly_more_than_chance(tmp_path: Path) -> None:
    """The agent, phones and actors of androidenv-quick, on its target, from scratch."""
    suite = load_suite("androidenv-quick")
    flavor = suite.transfers[0].target
    spec = RunSpec(
        condition="scratch",
        flavor=flavor,
        update_rule=UpdateRule("scratch"),
        seed=0,
        steps=24_000,
        environment=suite.environment,
        agent=suite.agent,
        evaluation=msgspec.structs.replace(suite.evaluation, episodes=40),
    )
    assert (spec.agent.clock, spec.agent.actors) == ("asynchronous", 5)
    folder = RunFolder(tmp_path)
    result = execute_run(spec, folder, Runtime())
    by_chance = evaluate_policy(
        None, flavor, num_episodes=40, seed=0, num_envs=2, options=spec.environment_options
    )
    returns = np.array([episode.episode_return for episode in by_chance])
    sem = returns.std(ddof=1) / np.sqrt(len(returns))
    learned = result["evaluation"]
    assert learned["mean_return"] - 2 * learned["sem"] > returns.mean() + 2 * sem
    with folder.progress.path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {float(row["actor_restarts"]) for row in rows} == {0.0}
    assert {float(row["dropped_steps"]) for row in rows} == {0.0}
    assert 0 < np.mean([float(row["mean_policy_lag"]) for row in rows]) < 10
