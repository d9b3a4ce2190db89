"""The whole agent learns, with the settings of the suite that `make demo` runs, only longer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from thaw.acting.evaluation import evaluate_policy
from thaw.config.run_spec import RunSpec
from thaw.config.runtime import Runtime
from thaw.config.suite import Transfer
from thaw.config.update_rule import UpdateRule
from thaw.experiment.built_in import catch_quick
from thaw.experiment.plan import plan
from thaw.files.checkpoint import load_policy, load_tensors
from thaw.files.policy_file import find_policy
from thaw.files.run_folder import RunFolder
from thaw.impala.learner import Learner
from thaw.policy.update_rules import apply_update_rule
from thaw.training.build import build_clock, make_training_envs
from thaw.training.run import execute_run

EPISODES = 400
STEPS = 120_000
"""Enough for a policy that has learned; the suite stops earlier, where its rules still differ."""


def pretraining() -> RunSpec:
    """The pretraining of catch-quick's first seed, scored by a separate evaluation."""
    spec = plan(catch_quick()).runs[0].spec
    assert (spec.condition, spec.flavor) == ("pretrain", "catch")
    evaluation = msgspec.structs.replace(spec.evaluation, episodes=EPISODES, score="evaluation")
    return msgspec.structs.replace(spec, evaluation=evaluation, steps=STEPS)


def zero_shot(spec: RunSpec) -> RunSpec:
    """What a suite makes of a transfer without training, from a flavor to that very flavor."""
    suite = msgspec.structs.replace(
        catch_quick(),
        transfers=(Transfer(source=spec.flavor, target=spec.flavor),),
        conditions=("freeze_all",),
        evaluation=spec.evaluation,
    )
    return next(run.spec for run in plan(suite).runs if run.spec.condition == "freeze_all")


def returns_after(policy_folder: Path, spec: RunSpec, rule: str, **changes: Any) -> list[float]:
    """The mean returns after 2 and 10 updates of a transfer to the flavor it came from."""
    policy = load_policy(policy_folder).requires_grad_(True)
    weights = load_tensors(find_policy(policy_folder))
    apply_update_rule(policy, UpdateRule(rule), weights)
    agent = msgspec.structs.replace(spec.agent, **changes)
    spec = msgspec.structs.replace(spec, agent=agent)
    envs = make_training_envs(spec, "cpu")
    clock = build_clock(spec, Runtime(), envs, Learner(policy, agent, spec.steps), stream="again")
    returns = []
    for update in range(1, 11):
        clock.update(last=False)
        if update in (2, 10):
            episodes = evaluate_policy(
                policy, spec.flavor, num_episodes=EPISODES, seed=5, num_envs=50,
                options=spec.environment_options,
            )  # fmt: skip
            returns.append(float(np.mean([episode.episode_return for episode in episodes])))
    clock.close()
    envs[0].close()
    return returns


@pytest.mark.long
def test_the_quick_agent_learns_catch_and_keeps_it_when_reloaded(tmp_path: Path) -> None:
    """One test, because its training takes half a minute and more."""
    spec, folder = pretraining(), RunFolder(tmp_path / "pretrained")
    scored = execute_run(spec, folder, Runtime())["evaluation"]
    # Uniformly random play scores -0.44, the best possible play 1.
    assert scored["mean_return"] > 0.8
    assert scored["num_episodes"] == EPISODES
    # Within its budget; the last unroll may go a little beyond it.
    unroll = spec.agent.unroll_length * spec.num_envs
    assert spec.steps <= folder.result()["steps"] < spec.steps + unroll

    # From its file, it scores on other episodes what training ended with.
    episodes = evaluate_policy(
        load_policy(folder.path),
        spec.flavor,
        num_episodes=EPISODES,
        seed=12345,
        num_envs=spec.num_envs,
        options=spec.environment_options,
    )
    mean = np.mean([episode.episode_return for episode in episodes])
    assert mean == pytest.approx(scored["mean_return"], abs=6 * scored["sem"])

    # And moved to the flavor it came from, on the same episodes, exactly that.
    other = RunFolder(tmp_path / "zero shot")
    result = execute_run(zero_shot(spec), other, Runtime(), source=folder.path)
    assert result["evaluation"] == scored

    # A transfer that changes nothing costs nothing: the first updates are small.
    for rule in ("update_all", "freeze_embedding", "freeze_head"):
        assert min(returns_after(folder.path, spec, rule)) > scored["mean_return"] - 0.15, rule
    impala = {"optimizer": "rmsprop", "learning_rate": 4e-3, "rmsprop_decay": 0.9}
    kept = returns_after(folder.path, spec, "update_all", rmsprop_epsilon=1e-5, **impala)
    assert min(kept) > scored["mean_return"] - 0.15
    # It would, with a mean square that starts at 0 and a rate for which that learns (point 17).
    kicked = {"optimizer": "rmsprop_torch", "learning_rate": 2e-3, "rmsprop_epsilon": 1e-5}
    assert min(returns_after(folder.path, spec, "update_all", **kicked)) < 0.3
