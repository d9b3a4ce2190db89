"""Atari by ALE's own interface, one game, written apart from thaw and EnvPool.

No sticky actions unless asked: the frame skip, the maximum of two frames, the area average and
the stack are made by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ale_py
import numpy as np
import numpy.typing as npt
from ale_py import roms

FloatArray = npt.NDArray[np.float64]
SCREEN_HEIGHT_PX = 210

THE_13_FLAVORS = [
    ("breakout", 0, 0), ("breakout", 12, 0),
    ("freeway", 0, 0), ("freeway", 1, 0), ("freeway", 1, 1), ("freeway", 4, 0),
    ("hero", 0, 0), ("hero", 1, 0), ("hero", 2, 0),
    ("space_invaders", 0, 0), ("space_invaders", 1, 0), ("space_invaders", 1, 1),
    ("space_invaders", 9, 0),
]  # fmt: skip
"""Of Dean, Toyama, Precup 2022: the defaults of four games, and the nine targets."""


def area_weights(pixels: int, size: int) -> FloatArray:
    """How much of each old pixel is in each new one, [size, pixels]; the rows sum to 1."""
    edges = np.linspace(0, pixels, size + 1)
    overlap = np.minimum.outer(edges[1:], np.arange(1, pixels + 1)) - np.maximum.outer(
        edges[:-1], np.arange(pixels)
    )
    return overlap.clip(0) * size / pixels


class AleGame:
    """One game of ALE.

    Args:
        game: The ROM id.
        mode: Of the game select.
        difficulty: Of the switches.
        frame_skip: Frames of one step.
        sticky: Chance of each frame that it repeats the last action.
        seed: Of the sticky actions.
        size: Of a picture.
        grayscale: Else RGB.
        stack: Pictures in an observation.
        full_action_space: Else the minimal one.
        start: The actions of the frames after a reset. EnvPool waits one frame with NOOP.
    """

    def __init__(
        self,
        game: str,
        mode: int,
        difficulty: int,
        *,
        frame_skip: int = 4,
        sticky: float = 0.0,
        seed: int = 0,
        size: int = 84,
        grayscale: bool = True,
        stack: int = 4,
        full_action_space: bool = True,
        start: Sequence[int] = (0,),
    ) -> None:
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self.ale = ale_py.ALEInterface()
        self.ale.setFloat("repeat_action_probability", sticky)
        self.ale.setInt("random_seed", seed)
        path = roms.get_rom_path(game)
        assert path is not None
        self.ale.loadROM(path)
        self.ale.setMode(mode)
        self.ale.setDifficulty(difficulty)
        ale = self.ale
        self.actions = ale.getLegalActionSet() if full_action_space else ale.getMinimalActionSet()
        self.frame_skip, self.grayscale, self.stack = frame_skip, grayscale, stack
        self.start = start
        self.rows = area_weights(SCREEN_HEIGHT_PX, size)
        self.columns = area_weights(160, size).T
        self.latest: npt.NDArray[Any] = np.zeros(0)
        self.pictures: list[FloatArray] = []

    def reset(self) -> FloatArray:
        """Start a game; the first picture fills the stack. Returns [size, size, channels]."""
        self.ale.reset_game()
        for action in self.start:
            self.ale.act(action)
        self.latest = self.screen()
        self.pictures = [self.shrink(self.latest)] * self.stack
        return self.observation()

    def play(self, action: int) -> tuple[float, bool]:
        """One step without pictures; returns reward and whether the game is over."""
        reward = 0
        for _ in range(self.frame_skip):
            reward += self.ale.act(self.actions[action])
            if self.ale.game_over():
                break
        return float(reward), self.ale.game_over()

    def step(self, action: int) -> tuple[FloatArray, float, bool]:
        """One step; returns the observation, the reward and whether the game is over."""
        screens: list[npt.NDArray[Any]] = []
        reward = 0
        while len(screens) < self.frame_skip and not self.ale.game_over():
            reward += self.ale.act(self.actions[action])
            screens.append(self.screen())
        if len(screens) == self.frame_skip:
            self.latest = np.max(screens[-2:], axis=0)
        elif len(screens) == self.frame_skip - 1:
            # The game ended a frame early: EnvPool shows the last but one planned frame alone,
            # and if it ended yet earlier, the image of the step before. No learner uses an
            # observation after the end.
            self.latest = screens[-1]
        self.pictures = [*self.pictures[1:], self.shrink(self.latest)]
        return self.observation(), float(reward), self.ale.game_over()

    def observation(self) -> FloatArray:
        """The stack, the newest last; exact, so not whole numbers."""
        return np.concatenate(self.pictures, axis=-1)

    def screen(self) -> npt.NDArray[Any]:
        """The screen [210, 160, colors]; taller ones lose what is below, as in EnvPool."""
        ale = self.ale
        pixels = ale.getScreenGrayscale()[:, :, None] if self.grayscale else ale.getScreenRGB()
        return pixels[:SCREEN_HEIGHT_PX]

    def shrink(self, screen: npt.NDArray[Any]) -> FloatArray:
        """The area average [size, size, colors]."""
        colors = np.moveaxis(screen.astype(np.float64), -1, 0)
        return np.moveaxis(self.rows @ colors @ self.columns, 0, -1)
