"""The environment of all programs: Space Invaders, as thaw's `atari/space_invaders@m1d1`.

All use EnvPool's C++ engine, so that no program is slower because of its environment.
"""

from __future__ import annotations

from typing import Any

import envpool

PICTURES = (4, 84, 84)
NUM_ACTIONS = 18


def make_pool(num_games: int, num_threads: int, seed: int) -> Any:
    """Make games; images are [num_games, 4, 84, 84] uint8, rewards are clipped to [-1, 1]."""
    return envpool.make_gymnasium(
        "SpaceInvaders-v5",
        num_envs=num_games,
        num_threads=num_threads,
        seed=seed,
        mode=1,
        difficulty=1,
        repeat_action_probability=0.25,
        full_action_space=True,
        use_fire_reset=False,
        noop_max=1,
        max_episode_steps=27_000,
        reward_clip=True,
    )
