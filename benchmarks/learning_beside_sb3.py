"""What the presets reach beside Stable-Baselines3's PPO and A2C, after equal decisions.

``python benchmarks/learning_beside_sb3.py --out learning.csv`` trains every program on every
environment with five seeds, and adds one row for each run to the file; rows that are there are not
made again, so a stopped call goes on. ``--print learning.csv`` prints the table. It needs
``pip install stable-baselines3==2.9.2``.

All programs play the same environments, through thaw's ``make_env``, and are scored by 100
episodes of the final policy, which samples its actions. Stable-Baselines3 has its library's
defaults, and in Atari the values that RL Zoo publishes for it (rl-baselines3-zoo,
hyperparams/ppo.yml and a2c.yml, "atari").
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

EPISODES = 100
PROGRAMS = ("thaw", "ppo", "a2c")
COLUMNS = ("environment", "program", "seed", "decisions", "mean_return", "seconds")


class Work(NamedTuple):
    """One environment, and how long it is trained."""

    flavor: str
    decisions: int
    num_envs: int
    options: dict[str, Any]
    agent: tuple[str, ...]
    """thaw's settings of the agent."""


CATCH = (
    "agent.preset=quick", "agent.optimizer=adam", "agent.discount=0.9",
    "agent.lambda_=0.5", "agent.entropy_cost=0.003",
)  # fmt: skip
WORKS = {
    "CartPole-v1": Work("gym/CartPole-v1", 100_000, 8, {}, ("agent.preset=vector",)),
    "MiniGrid-Empty-Random-5x5": Work(
        "minigrid/MiniGrid-Empty-Random-5x5-v0",
        100_000,
        4,
        {"num_threads": 1},
        ("agent.preset=grid",),
    ),
    "Catch, 60x40": Work("catch", 70_000, 16, {"downsample": 8, "frames_per_step": 16}, CATCH),
    "Breakout, 42x42": Work(
        "atari/breakout",
        200_000,
        16,
        {"image_size": 42, "full_action_space": False, "num_threads": 1},
        ("agent.preset=quick",),
    ),
}


def thaw_return(work: Work, seed: int) -> float:
    """Train by ``thaw train``, evaluate by ``thaw evaluate``; return the mean return."""
    settings = [
        *work.agent,
        f"environment.num_envs={work.num_envs}",
        f"evaluation.episodes={EPISODES}",
    ]
    settings += [f"environment.{name}={value}" for name, value in work.options.items()]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "thaw", "train", work.flavor, "--out", f"{folder}/run"]
        command += ["--steps", str(work.decisions), "--seed", str(seed)]
        command += [word for setting in settings for word in ("--set", setting)]
        subprocess.run(command, check=True, capture_output=True)
        command = [sys.executable, "-m", "thaw", "evaluate", f"{folder}/run", work.flavor]
        command += ["--episodes", str(EPISODES), "--json"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)["mean_return"])


class OneEnv(gymnasium.Env[NDArray[Any], Any]):
    """One environment of thaw as Gymnasium's single one.

    Pictures stay pictures; grids of tiles become vectors, as thaw's ``mlp`` sees them.
    """

    def __init__(self, work: Work, seed: int) -> None:
        from thaw.envs.families import make_env

        self.env = make_env(work.flavor, 1, **work.options)
        self.is_grid = work.flavor.startswith("minigrid")
        self.starts_late = "NEXT_STEP" in str(self.env.metadata.get("autoreset_mode"))
        self.seed: int | None = seed
        self.first: NDArray[Any] | None = None
        self.action_space = self.env.single_action_space
        space = self.env.single_observation_space
        assert isinstance(space, gymnasium.spaces.Box)
        self.observation_space = (
            gymnasium.spaces.Box(0, 1, (int(np.prod(space.shape)),), np.float32)
            if self.is_grid
            else space
        )

    def _show(self, observations: NDArray[Any]) -> NDArray[Any]:
        shown: NDArray[Any] = np.array(observations[0])
        return np.asarray(shown, np.float32).ravel() if self.is_grid else shown

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Return the first observation of the next episode."""
        if self.seed is not None:
            self.first, self.seed = self._show(self.env.reset(seed=self.seed)[0]), None
        if self.first is None and self.starts_late:  # this step only begins the episode
            self.first = self._show(self.env.step(np.zeros(1, np.int64))[0])
        assert self.first is not None
        first, self.first = self.first, None
        return first, {}

    def step(self, action: Any) -> Any:
        """Take one step."""
        result = self.env.step(np.asarray([action]))
        observations, rewards, terminated, truncated, infos = result
        shown = self._show(observations)
        if (terminated[0] or truncated[0]) and not self.starts_late:
            self.first, shown = shown, self._show(np.stack(list(infos["final_obs"])))
        return shown, float(rewards[0]), bool(terminated[0]), bool(truncated[0]), {}


def zoo(program: str) -> dict[str, Any]:
    """Return what RL Zoo sets for Atari."""
    if program == "a2c":
        from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike

        return {
            "ent_coef": 0.01,
            "vf_coef": 0.25,
            "policy_kwargs": {"optimizer_class": RMSpropTFLike, "optimizer_kwargs": {"eps": 1e-5}},
        }
    return {
        "n_steps": 128,
        "n_epochs": 4,
        "batch_size": 256,
        "learning_rate": lambda left: 2.5e-4 * left,
        "clip_range": lambda left: 0.1 * left,
        "vf_coef": 0.5,
        "ent_coef": 0.01,
    }


class ClippedReward(gymnasium.RewardWrapper[Any, Any]):
    """Atari's rewards are learned from as -1, 0 and 1."""

    def reward(self, reward: Any) -> float:
        """Return the sign."""
        return float(np.sign(reward))


def sb3_return(program: str, work: Work, seed: int) -> float:
    """Train and evaluate by Stable-Baselines3; return the mean return."""
    import torch
    from stable_baselines3 import A2C, PPO
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv

    torch.set_num_threads(1)
    is_atari = work.flavor.startswith("atari")
    num_envs = {"ppo": 8, "a2c": 16}[program] if is_atari else {"ppo": 4, "a2c": 8}[program]

    def maker(number: int, *, to_learn: bool) -> Callable[[], gymnasium.Env[Any, Any]]:
        def make() -> gymnasium.Env[Any, Any]:
            env: gymnasium.Env[Any, Any] = Monitor(OneEnv(work, 1_000 * seed + number))
            return ClippedReward(env) if to_learn and is_atari else env

        return make

    train = DummyVecEnv([maker(number, to_learn=True) for number in range(num_envs)])
    space = train.observation_space
    policy = "CnnPolicy" if len(space.shape or ()) == 3 else "MlpPolicy"
    algorithm = {"ppo": PPO, "a2c": A2C}[program]
    settings = zoo(program) if is_atari else {}
    model = algorithm(policy, train, seed=seed, device="cpu", **settings)
    model.learn(work.decisions)
    test = DummyVecEnv([maker(500 + number, to_learn=False) for number in range(4)])
    found, _ = evaluate_policy(model, test, n_eval_episodes=EPISODES, deterministic=False)
    return float(np.mean(found))


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a file; none if it is not there."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def measure(path: Path, environments: Sequence[str], programs: Sequence[str], seeds: range) -> None:
    """Make the rows that are missing."""
    there = {(row["environment"], row["program"], int(row["seed"])) for row in rows(path)}
    for name in environments:
        for seed in seeds:
            for program in programs:
                if (name, program, seed) in there:
                    continue
                work, began = WORKS[name], time.monotonic()
                found = (
                    thaw_return(work, seed)
                    if program == "thaw"
                    else sb3_return(program, work, seed)
                )
                row = [
                    name,
                    program,
                    seed,
                    work.decisions,
                    found,
                    f"{time.monotonic() - began:.0f}",
                ]
                is_new = not path.is_file()
                with path.open("a", newline="") as file:
                    writer = csv.writer(file)
                    writer.writerows([COLUMNS, row] if is_new else [row])
                print(*row, flush=True)


def table(path: Path) -> str:
    """Return the table: each mean over the seeds, and each seed."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    decisions: dict[str, str] = {}
    for row in rows(path):
        found[row["environment"], row["program"]].append(float(row["mean_return"]))
        decisions[row["environment"]] = f"{int(row['decisions']):,}"
    lines = ["| environment | decisions | thaw | PPO | A2C |", "|---|---|---|---|---|"]
    for name, budget in decisions.items():
        cells = []
        for program in PROGRAMS:
            values = sorted(found[name, program])
            each = ", ".join(f"{value:.3g}" for value in values)
            cells.append(f"{np.mean(values):.3g} ({each})" if values else "-")
        lines.append(f"| {name} | {budget} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, or print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("learning.csv"))
    parser.add_argument("--environments", nargs="+", choices=list(WORKS), default=list(WORKS))
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--print", type=Path, dest="shown")
    options = parser.parse_args()
    if options.shown is None:
        measure(options.out, options.environments, options.programs, range(options.seeds))
    print(table(options.shown or options.out))


if __name__ == "__main__":
    main()
