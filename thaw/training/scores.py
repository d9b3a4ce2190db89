"""Evaluate a run's final policy on its flavor and, after a transfer, on its source flavor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thaw.acting.evaluation import evaluate_policy, summary
from thaw.config import Flavor, RunSpec
from thaw.policy import Policy
from thaw.training.progress import RunLog


def score_run(
    spec: RunSpec,
    policy: Policy | None,
    log: RunLog,
    *,
    device: str,
    check: Callable[[], None],
) -> dict[str, Any]:
    """Evaluate the final policy; write its episodes to episodes.csv.

    Args:
        spec: The run.
        policy: None is the uniform random policy.
        log: The run's log; its recent training episodes give the training score.
        device: Device of the policy.
        check: Called after every step; may raise to end the evaluation.

    Returns:
        ``mean_return``, ``sem`` and ``num_episodes`` of the headline score; ``score`` says which
        score that is; then each score separately.
    """
    training = summary(list(log.recent_returns)) if spec.steps else None
    evaluation = _evaluate(spec, policy, log, spec.flavor, "evaluation", device, check)
    source = None
    if spec.source is not None and spec.evaluation.source:
        source = _evaluate(spec, policy, log, spec.source, "source evaluation", device, check)
    by_training = training is not None and spec.evaluation.score == "training"
    headline = training if by_training and training is not None else evaluation
    return headline | {
        "score": "training" if by_training else "evaluation",
        "training": training,
        "evaluation": evaluation,
        "source_evaluation": source,
    }


def _evaluate(
    spec: RunSpec,
    policy: Policy | None,
    log: RunLog,
    flavor: Flavor,
    phase: str,
    device: str,
    check: Callable[[], None],
) -> dict[str, Any]:
    """Play the evaluation's episodes in a flavor."""
    episodes = evaluate_policy(
        policy,
        flavor,
        num_episodes=spec.evaluation.episodes,
        # Every condition plays the same episodes: they depend on seed and flavor only.
        seed=spec.seed,
        num_envs=spec.num_envs,
        greedy=spec.evaluation.actions == "greedy",
        device=device,
        options=spec.environment_options,
        check=check,
    )
    log.log_episodes([e._replace(step=log.steps) for e in episodes], phase, flavor)
    return summary([episode.episode_return for episode in episodes]) | {
        "num_truncated": sum(episode.truncated for episode in episodes)
    }
