"""AndroidEnv's whole stack, five asynchronous actors, and a policy that learns."""

from __future__ import annotations

import csv
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest

from thaw.acting.evaluation import evaluate_policy, summary
from thaw.config.run_spec import RunSpec
from thaw.config.runtime import Runtime
from thaw.config.update_rule import UpdateRule
from thaw.experiment.suites import load_suite
from thaw.files.checkpoint import load_policy
from thaw.files.run_folder import RunFolder
from thaw.policy.policy import Policy
from thaw.training.progress import Progress, Stopped
from thaw.training.run import execute_run

pytest.importorskip("ray", reason="pip install 'thaw[ray]'")

EPISODES = 200
LEARNED = 0.5
"""Mean return of as many training episodes in a row; no policy without eyes gets to 0."""


@pytest.mark.slow
@pytest.mark.timeout(600)  # a minute; on a busy machine the actors alone take that to start
def test_five_actors_on_simulated_phones_learn_clearly_more_than_chance(tmp_path: Path) -> None:
    """The agent, phones and actors of androidenv-quick, on its target, from scratch.

    A throw takes two decisions here, not nine: more than four times the throws, and each says
    more clearly which touch was right. With such actors no training is like another, so it goes
    on until the policy has learned.
    """
    suite = load_suite("androidenv-quick")
    flavor = suite.transfers[0].target
    spec = RunSpec(
        condition="scratch",
        flavor=flavor,
        update_rule=UpdateRule("scratch"),
        seed=0,
        steps=40_000,
        environment=suite.environment | {"frames_per_step": 80},
        agent=suite.agent,
        evaluation=msgspec.structs.replace(suite.evaluation, episodes=EPISODES),
    )
    assert (spec.agent.clock, spec.agent.actors) == ("asynchronous", 5)
    recent: list[float] = []

    def watch(progress: Progress) -> None:
        if progress.mean_return is not None:
            recent.append(progress.mean_return)

    def has_learned() -> bool:
        return bool(recent) and recent[-1] > LEARNED

    folder = RunFolder(tmp_path)
    with suppress(Stopped):
        execute_run(spec, folder, Runtime(), watch=watch, should_stop=has_learned)
    assert has_learned(), f"the last {EPISODES} training episodes scored {recent[-1]:.2f}"

    def score(policy: Policy | None) -> tuple[float, float]:
        episodes = evaluate_policy(
            policy, flavor, num_episodes=EPISODES, seed=0, num_envs=2,
            options=spec.environment_options,
        )  # fmt: skip
        scored = summary([episode.episode_return for episode in episodes])
        return scored["mean_return"], scored["sem"]

    (learned, sem), (by_chance, sem_by_chance) = score(load_policy(folder.path)), score(None)
    assert learned - 2 * sem > by_chance + 2 * sem_by_chance
    with folder.progress.path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {float(row["actor_restarts"]) for row in rows} == {0.0}
    assert {float(row["dropped_steps"]) for row in rows} == {0.0}
    assert 0 < np.mean([float(row["mean_policy_lag"]) for row in rows]) < 10
