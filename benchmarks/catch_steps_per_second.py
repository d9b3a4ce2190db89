"""Measure Catch's steps per second on one core, for each variant and two image sizes.

python benchmarks/catch_steps_per_second.py [NUM_ENVS [DRAWN_ON]]
"""

from __future__ import annotations

import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is imported

import numpy as np

from thaw.envs.catch.knobs import VARIANTS
from thaw.envs.catch.vector_env import CatchVectorEnv


def steps_per_second(env: CatchVectorEnv, seconds: float = 2.0) -> float:
    """Steps of all environments together, under random actions, observations included."""
    rng = np.random.default_rng(0)
    actions = rng.integers(0, 54, (100, env.num_envs))
    env.reset(seed=0)
    for step_actions in actions:  # fills the cache of patches
        env.step(step_actions)
    num_steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for step_actions in actions:
            observations = env.step(step_actions)[0]
        observations[0, 0, 0, 0].item()  # waits for a GPU
        num_steps += actions.size
    return num_steps / (time.perf_counter() - start)


if __name__ == "__main__":
    num_envs = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    drawn_on = sys.argv[2] if len(sys.argv) > 2 else None
    for downsample in (4, 16):
        for variant in VARIANTS:
            env = CatchVectorEnv(
                num_envs, variant=variant, downsample=downsample, drawn_on=drawn_on
            )
            speed = steps_per_second(env)
            print(f"downsample {downsample:2}  {variant:14} {speed:9,.0f} steps/s")
