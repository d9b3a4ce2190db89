"""Compare the speed of thaw's Atari environment with that of EnvPool alone, in alternation.

python benchmarks/atari_steps_per_second.py [FLAVOR] [NUM_ENVS] [ROUNDS]

Both have the same settings and uniformly random actions. Prints the steps per second of all
environments together, and the ratio with its bootstrap interval. It should be at least 0.95.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is imported

import envpool
import numpy as np

from thaw.config.flavor import Flavor
from thaw.envs.atari.vector_env import AtariVectorEnv, envpool_task, make_atari


def bare_envpool(env: AtariVectorEnv, num_threads: int) -> Any:
    """EnvPool itself, with the same settings as thaw's defaults."""
    return envpool.make_gymnasium(
        envpool_task(env.game),
        num_envs=env.num_envs,
        num_threads=num_threads,
        seed=0,
        mode=env.task.settings["mode"],
        difficulty=env.task.settings["difficulty"],
        repeat_action_probability=0.25,
        full_action_space=True,
        use_fire_reset=False,
        noop_max=1,
        max_episode_steps=27_000,
    )


def steps_per_second(env: Any, actions: Any) -> float:
    start = time.perf_counter()
    for step_actions in actions:
        env.step(step_actions)
    return float(actions.size / (time.perf_counter() - start))


if __name__ == "__main__":
    flavor = Flavor(sys.argv[1] if len(sys.argv) > 1 else "atari/breakout")
    num_envs = int(sys.argv[2]) if len(sys.argv) > 2 else 32
    num_rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 300
    num_threads = min(num_envs, len(os.sched_getaffinity(0)))
    ours = make_atari(flavor, num_envs, {"num_threads": num_threads})
    bare = bare_envpool(ours, num_threads)
    ours.reset(seed=0)
    bare.reset()
    # Short turns, so that other work on the machine slows both alike; they take turns to go first.
    rng = np.random.default_rng(0)
    actions = rng.integers(0, 18, (max(1, 160 // num_envs), num_envs))
    pairs = []
    for turn in range(num_rounds):
        if turn % 2:
            pairs.append((steps_per_second(ours, actions), steps_per_second(bare, actions)))
        else:
            pairs.append((steps_per_second(bare, actions), steps_per_second(ours, actions))[::-1])
    rates = np.array(pairs[num_rounds // 10 :])  # the first rounds warm up
    ratios = rates[:, 0] / rates[:, 1]
    medians = np.median(rng.choice(ratios, (10_000, len(ratios))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    print(f"{flavor}, {num_envs} environments, {num_threads} threads, {num_rounds} rounds")
    print(f"thaw     {np.median(rates[:, 0]):9,.0f} steps/s")
    print(f"EnvPool  {np.median(rates[:, 1]):9,.0f} steps/s")
    print(
        f"ratio    {np.median(ratios):9.3f} (median of rounds; 95 % from {low:.3f} to {high:.3f})"
    )
