"""The scores of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_runs import (
    ENVS,
    RUNTIME,
    SPEC,
    changed,
    rows_of,
)

from thaw.acting.evaluation import evaluate_policy
from thaw.config.flavor import Flavor
from thaw.config.run_spec import EvaluationConfig
from thaw.files.checkpoint import (
    load_policy,
)
from thaw.files.run_folder import RunFolder
from thaw.training.run import execute_run


def test_both_scores_are_of_the_logged_episodes(pretrained: RunFolder) -> None:
    result = pretrained.result()
    episodes = rows_of(pretrained.episodes.path)
    returns = [float(row["return"]) for row in episodes if row["phase"] == "training"]
    window = SPEC.evaluation.episodes
    assert result["training"]["mean_return"] == pytest.approx(np.mean(returns[-window:]))
    assert result["training"]["num_episodes"] == window < len(returns)
    assert result["mean_return"] == result["training"]["mean_return"]
    assert result["score"] == "training"
    returns = [float(row["return"]) for row in episodes if row["phase"] == "evaluation"]
    assert result["evaluation"]["mean_return"] == pytest.approx(np.mean(returns))
    assert result["evaluation"]["sem"] == pytest.approx(np.std(returns, ddof=1) / np.sqrt(6))
    assert result["source_evaluation"] is None


def test_the_score_may_be_the_separate_evaluation(tmp_path: Path) -> None:
    spec = changed(SPEC, evaluation=EvaluationConfig(episodes=6, score="evaluation"), steps=40)
    result = execute_run(spec, RunFolder(tmp_path), RUNTIME)
    assert result["score"] == "evaluation"
    assert result["mean_return"] == result["evaluation"]["mean_return"]
    assert result["num_episodes"] == 6


def test_the_training_score_is_that_of_the_most_recent_episodes(tmp_path: Path) -> None:
    spec = changed(SPEC, steps=40 * 30)
    result = execute_run(spec, RunFolder(tmp_path), RUNTIME)
    rows = [r for r in rows_of(tmp_path / "episodes.csv") if r["phase"] == "training"]
    assert len(rows) == 120
    returns = [float(row["return"]) for row in rows]
    window = spec.evaluation.episodes
    assert result["num_episodes"] == window < 100
    assert result["mean_return"] == pytest.approx(np.mean(returns[-window:]))


def test_every_policy_is_evaluated_on_the_same_episodes(
    tmp_path: Path, pretrained: RunFolder
) -> None:
    policy = load_policy(pretrained.path)
    options = {"downsample": 16, "frames_per_step": 16}

    def balls(seed: int, flavor: str) -> list[float]:
        episodes = evaluate_policy(
            policy, Flavor(flavor), num_episodes=40, seed=seed, num_envs=4, options=options
        )
        return [episode.episode_return for episode in episodes]

    assert balls(0, "catch") == balls(0, "catch")
    assert balls(0, "catch") != balls(1, "catch")
    result = pretrained.result()["evaluation"]
    episodes = evaluate_policy(
        policy, SPEC.flavor, num_episodes=6, seed=SPEC.seed, num_envs=ENVS, options=options
    )
    assert result["mean_return"] == np.mean([episode.episode_return for episode in episodes])


def test_the_uniform_policy_is_scored_like_any_other(tmp_path: Path) -> None:
    spec = changed(
        SPEC, condition="random", update_rule=None, steps=0,
        evaluation=EvaluationConfig(episodes=400),
    )  # fmt: skip
    result = execute_run(spec, RunFolder(tmp_path), RUNTIME)
    # A uniformly random last column scores -0.44; the standard error is 0.045.
    assert result["mean_return"] == pytest.approx(-0.44, abs=0.2)
    assert not (tmp_path / "checkpoint").exists()
