"""Does a transfer begin with a kick? Returns after the first updates of a transfer to its source.

``python benchmarks/transfer_start.py --seeds 4 --set agent.optimizer=rmsprop_torch``: pretrains
catch-quick's agent with changed settings, goes on in the same flavor under ``update_all`` or
another rule, and prints the mean return after some updates (docs/reproducing.md, point 17).
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch

from thaw.acting.evaluation import evaluate_policy
from thaw.config import Runtime, UpdateRule
from thaw.config.run_spec import RunSpec
from thaw.experiment.plan import plan
from thaw.experiment.suites import load_suite
from thaw.files.checkpoint import load_policy, load_tensors
from thaw.files.policy_file import find_policy
from thaw.files.run_folder import RunFolder
from thaw.impala.learner import Learner
from thaw.policy import Policy
from thaw.policy.update_rules import apply_update_rule
from thaw.training.build import build_clock, make_training_envs
from thaw.training.run import execute_run

UPDATES = (0, 1, 2, 5, 10, 15, 40, 125)
EPISODES = 200


class Task(NamedTuple):
    """One seed of one agent."""

    seed: int
    settings: list[str]
    steps: int
    rules: list[str]


def mean_return(policy: Policy, spec: RunSpec) -> float:
    """Play in the spec's flavor."""
    episodes = evaluate_policy(
        policy,
        spec.flavor,
        num_episodes=EPISODES,
        seed=99,
        num_envs=50,
        options=spec.environment_options,
    )
    return float(np.mean([episode.episode_return for episode in episodes]))


def returns_after_updates(pretrained: Path, spec: RunSpec, rule: str) -> list[float]:
    """Go on in the same flavor with a fresh optimizer."""
    policy = load_policy(pretrained).requires_grad_(True)
    apply_update_rule(policy, UpdateRule(rule), load_tensors(find_policy(pretrained)))
    learner = Learner(policy, policy.config, 80_000)
    returns = []
    with ExitStack() as stack:
        envs = make_training_envs(spec, "cpu")
        for env in envs:
            stack.callback(env.close)
        clock = build_clock(spec, Runtime(), envs, learner, stream="again")
        stack.callback(clock.close)
        for update in range(max(UPDATES) + 1):
            if update in UPDATES:
                returns.append(mean_return(policy, spec))
            clock.update(last=False)
    return returns


def measure(task: Task) -> list[str]:
    """Pretrain one seed and move it; return the lines to print."""
    torch.set_num_threads(1)
    suite = load_suite("catch-quick", [*task.settings, f"seeds=[{task.seed}]"])
    suite = msgspec.structs.replace(suite, pretrain_steps=task.steps)
    spec = plan(suite).runs[0].spec
    with tempfile.TemporaryDirectory() as folder:
        pretrained = Path(folder) / "pretrained"
        execute_run(spec, RunFolder(pretrained), Runtime())
        lines = [f"seed {task.seed} {' '.join(task.settings)}"]
        for rule in task.rules:
            returns = returns_after_updates(pretrained, spec, rule)
            lines.append(f"   {rule:17}" + " ".join(f"{value:6.2f}" for value in returns))
    return lines


def main() -> None:
    """Measure the seeds, two at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=120_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rules", default="update_all")
    a = parser.parse_args()
    tasks = [Task(seed, a.settings, a.steps, a.rules.split(",")) for seed in range(a.seeds)]
    print("updates:", *UPDATES)
    with multiprocessing.get_context("spawn").Pool(a.workers) as pool:
        for lines in pool.imap(measure, tasks):
            print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
