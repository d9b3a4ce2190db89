from __future__ import annotations

import numpy as np
import pytest
from shrink import shrink

from thaw.envs.catch.knobs import VARIANTS
from thaw.envs.catch.vector_env import CatchVectorEnv


@pytest.mark.parametrize("downsample", [1, 4, 16])
@pytest.mark.parametrize("variant", VARIANTS)
def test_observations_are_the_shrunk_screens_in_every_step(variant: str, downsample: int) -> None:
    env = CatchVectorEnv(
        3, variant=variant, downsample=downsample, frame_jitter_ms=4, frames_per_step=12
    )
    observations, info = env.reset(seed=1)
    rng = np.random.default_rng(0)
    num_finals = 0
    for t in range(26):
        for i, screen in enumerate(env.render()):
            np.testing.assert_array_equal(observations[i], shrink(screen, downsample))
        near_ball = info["ball_x"] * 6 // 320 + rng.integers(-1, 2, 3)
        observations, _, _, _, info = env.step(near_ball.clip(0, 5))
        if t == 10:  # to the edges
            observations, info = env.reset(options={"ball_x": [0, 319, 5]})
        num_finals += "final_obs" in info
    assert num_finals
