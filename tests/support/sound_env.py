"""A small vector environment that is correct in all three autoreset modes."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

Array = NDArray[Any]
Infos = dict[str, Any]
NUM_ENVS, LENGTH = 3, 4
SAME, NEXT, DISABLED = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED


class SoundEnv(gymnasium.vector.VectorEnv[Array, Array, Array]):
    """Two numbers change at random and by the action; an episode has ``LENGTH`` steps.

    Tests derive environments from it that have one problem each.
    """

    def __init__(self, mode: AutoresetMode = SAME) -> None:
        self.num_envs = NUM_ENVS
        self.metadata = {"autoreset_mode": mode}
        self.mode = mode
        self.single_observation_space = spaces.Box(-100, 100, (2,), np.float32)
        self.single_action_space = spaces.Discrete(3)
        self.observation_space = batch_space(self.single_observation_space, NUM_ENVS)
        self.action_space = batch_space(self.single_action_space, NUM_ENVS)
        self.places = np.zeros((NUM_ENVS, 2), np.float32)
        self.ages = np.zeros(NUM_ENVS, np.int64)
        self.resetting = np.zeros(NUM_ENVS, np.bool_)

    def start(self, mask: Array) -> None:
        self.places[mask] = self.np_random.uniform(-1, 1, (int(mask.sum()), 2))
        self.ages[mask] = 0
        self.resetting[mask] = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, Infos]:
        super().reset(seed=seed)
        self.start((options or {}).get("reset_mask", np.ones(NUM_ENVS, np.bool_)))
        return self.places.copy(), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, Infos]:
        infos: Infos = {}
        again = self.resetting.copy()
        self.ages += 1
        self.places += actions[:, None] * np.float32(0.1)
        self.places += self.np_random.uniform(-0.1, 0.1, self.places.shape).astype(np.float32)
        ended = (self.ages == LENGTH) & ~again
        rewards = np.where(again, 0.0, self.places[:, 0])
        if again.any():
            self.start(again)
        if self.mode == NEXT:
            self.resetting = ended.copy()
        elif self.mode == SAME and ended.any():
            infos["final_obs"] = np.full(NUM_ENVS, None, object)
            for index in np.flatnonzero(ended):
                infos["final_obs"][index] = self.places[index].copy()
            self.start(ended)
        return self.places.copy(), rewards, ended, np.zeros(NUM_ENVS, np.bool_), infos
