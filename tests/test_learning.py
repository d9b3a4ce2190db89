"""The whole agent learns, with the settings of the suite that `make demo` runs."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from thaw.checkpoint import load_policy
from thaw.config import RunSpec, Runtime, Transfer
from thaw.experiment.plan import plan
from thaw.run_folder import RunFolder
from thaw.suites import catch_quick
from thaw.train import evaluate_policy, execute_run

EPISODES = 400


@pytest.fixture(scope="module")
def spec() -> RunSpec:
    """The pretraining of catch-quick's first seed, scored by a separate evaluation."""
    spec = plan(catch_quick()).runs[0].spec
    assert (spec.condition, spec.flavor) == ("pretrain", "catch")
    evaluation = msgspec.structs.replace(spec.evaluation, episodes=EPISODES, score="evaluation")
    return msgspec.structs.replace(spec, evaluation=evaluation)


@pytest.fixture(scope="module")
def pretrained(spec: RunSpec, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("pretrained"))
    execute_run(spec, folder, Runtime())
    return folder


@pytest.mark.slow
def test_the_quick_agent_learns_catch_within_its_budget(pretrained: RunFolder) -> None:
    result = pretrained.result()
    # Uniformly random play scores -0.44, the best possible play 1.
    assert result["evaluation"]["mean_return"] > 0.8
    assert result["evaluation"]["num_episodes"] == EPISODES


@pytest.mark.slow
def test_a_reloaded_policy_scores_what_training_ended_with(
    pretrained: RunFolder, spec: RunSpec
) -> None:
    expected = pretrained.result()["evaluation"]
    for seed in (spec.seed, 12345):
        episodes = evaluate_policy(
            load_policy(pretrained.path),
            spec.flavor,
            num_episodes=EPISODES,
            seed=seed,
            num_envs=spec.num_envs,
            options=spec.environment_options,
        )
        mean = np.mean([episode.episode_return for episode in episodes])
        if seed == spec.seed:  # the very same episodes
            assert mean == expected["mean_return"]
        else:
            assert mean == pytest.approx(expected["mean_return"], abs=6 * expected["sem"])


@pytest.mark.slow
def test_zero_shot_on_the_same_flavor_scores_what_the_source_scored(
    pretrained: RunFolder, spec: RunSpec, tmp_path_factory: pytest.TempPathFactory
) -> None:
    suite = msgspec.structs.replace(
        catch_quick(),
        transfers=(Transfer(source=spec.flavor, target=spec.flavor),),
        conditions=("freeze_all",),
        evaluation=spec.evaluation,
    )
    zero_shot = next(run.spec for run in plan(suite).runs if run.spec.condition == "freeze_all")
    folder = RunFolder(tmp_path_factory.mktemp("zero shot"))
    result = execute_run(zero_shot, folder, Runtime(), source=pretrained.path)
    assert result["evaluation"] == pretrained.result()["evaluation"]
