"""The whole agent learns, with the settings of the suite that `make demo` runs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from thaw.acting.evaluation import evaluate_policy
from thaw.config.run_spec import RunSpec
from thaw.config.runtime import Runtime
from thaw.config.suite import Transfer
from thaw.experiment.plan import plan
from thaw.experiment.suites import catch_quick
from thaw.files.checkpoint import load_policy
from thaw.files.run_folder import RunFolder
from thaw.training.run import execute_run

EPISODES = 400


def pretraining() -> RunSpec:
    """The pretraining of catch-quick's first seed, scored by a separate evaluation."""
    spec = plan(catch_quick()).runs[0].spec
    assert (spec.condition, spec.flavor) == ("pretrain", "catch")
    evaluation = msgspec.structs.replace(spec.evaluation, episodes=EPISODES, score="evaluation")
    return msgspec.structs.replace(spec, evaluation=evaluation)


def zero_shot(spec: RunSpec) -> RunSpec:
    """What a suite makes of a transfer without training, from a flavor to that very flavor."""
    suite = msgspec.structs.replace(
        catch_quick(),
        transfers=(Transfer(source=spec.flavor, target=spec.flavor),),
        conditions=("freeze_all",),
        evaluation=spec.evaluation,
    )
    return next(run.spec for run in plan(suite).runs if run.spec.condition == "freeze_all")


def test_the_quick_agent_learns_catch_and_keeps_it_when_reloaded(tmp_path: Path) -> None:
    """One test, because its training takes half a minute and more."""
    spec, folder = pretraining(), RunFolder(tmp_path / "pretrained")
    scored = execute_run(spec, folder, Runtime())["evaluation"]
    # Uniformly random play scores -0.44, the best possible play 1.
    assert scored["mean_return"] > 0.8
    assert scored["num_episodes"] == EPISODES
    # Within the suite's own budget; the last unroll may go a little beyond it.
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
