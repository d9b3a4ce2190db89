from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from thaw.envs.catch.touches import NO_TOUCH, Touches
from thaw.envs.catch.vector_env import CatchVectorEnv


def test_touch_noise_is_a_clipped_normal_within_the_cell() -> None:
    def touches(noise: float) -> np.ndarray[Any, np.dtype[np.int64]]:
        env = CatchVectorEnv(2000, touch_noise=noise, downsample=10)
        env.reset(seed=0)
        return np.concatenate([env.step(np.full(2000, 2))[4]["paddle_x"] for _ in range(2)])

    cell_px = 320 / 6
    x = touches(0.1)
    assert x.mean() == pytest.approx(2.5 * cell_px - 0.5, abs=0.3)  # pixels are cut down
    assert x.std() == pytest.approx(0.1 * cell_px, rel=0.05)
    assert (x[:2000] != x[2000:]).mean() > 0.9  # fresh in every step and environment
    assert len(np.unique(x[:2000])) > 20
    x = touches(10.0)
    assert (x.min(), x.max()) == (106, 159)  # int((2 + 0.0001) x 53.33), int(2.9999 x 53.33)
    assert np.isin(x, [106, 159]).mean() > 0.9
    assert (touches(0) == 133).all()  # int(2.5 x 53.33)


def test_a_touch_arrives_after_the_latency_unless_it_is_dropped() -> None:
    touches, random = Touches(2, noise=0.0, latency_steps=2), np.random.default_rng(0)
    first, last, lift = np.array([0, 0]), np.array([5, 53]), np.array([54, 54])
    assert touches.send(first, random).tolist() == [NO_TOUCH, NO_TOUCH]
    assert touches.send(last, random).tolist() == [NO_TOUCH, NO_TOUCH]
    assert touches.pending_x.tolist() == [[26, 293], [26, 293]]
    touches.clear(np.array([1]))
    assert touches.send(lift, random).tolist() == [26, NO_TOUCH]
    assert touches.send(lift, random).tolist() == [293, NO_TOUCH]
    assert touches.send(lift, random).tolist() == [NO_TOUCH, NO_TOUCH]


def test_without_noise_no_random_numbers_are_drawn() -> None:
    random = np.random.default_rng(0)
    before = random.bit_generator.state
    Touches(3, noise=0.0, latency_steps=0).send(np.array([0, 1, 2]), random)
    assert random.bit_generator.state == before
    Touches(3, noise=0.1, latency_steps=0).send(np.array([0, 1, 2]), random)
    assert random.bit_generator.state != before
