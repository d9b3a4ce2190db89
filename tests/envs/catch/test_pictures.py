from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from shrink import shrink

from thaw.envs.catch.knobs import VARIANTS
from thaw.envs.catch.pictures import PictureParts, parts_of
from thaw.envs.catch.screen import Pixels
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


def test_what_one_environment_has_drawn_no_other_one_draws(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts_of.cache_clear()
    drawn: list[tuple[Any, ...]] = []
    draw = PictureParts._draw_patch

    def counted(self: PictureParts, *what: Any) -> Pixels:
        drawn.append(what)
        return draw(self, *what)

    monkeypatch.setattr(PictureParts, "_draw_patch", counted)

    def play(downsample: int) -> int:
        drawn.clear()
        env = CatchVectorEnv(4, variant="small_paddle", downsample=downsample)
        env.reset(seed=7)
        rng = np.random.default_rng(7)
        for _ in range(40):
            env.step(rng.integers(6, size=4))
        return len(drawn)

    assert play(10) > 20
    assert play(10) == 0
    assert play(20) > 20
