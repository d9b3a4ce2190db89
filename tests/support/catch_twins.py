"""The same games of Catch twice, drawn in NumPy and on a torch device, compared byte by byte."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from thaw.envs.catch.vector_env import CatchVectorEnv


class CatchTwins:
    """Two environments that get the same calls, and must give the same answers.

    Args:
        num_envs: How many games.
        device: Where the second one draws.
        **options: Those of `CatchVectorEnv`.

    Attributes:
        kept: Every observation so far, as it is and as it was: (tensor, copy in NumPy).
        num_finals: How many `final_obs` there were.
        num_resets: How many games were reset by mask.
    """

    def __init__(self, num_envs: int, device: str, **options: Any) -> None:
        self.device = device
        self.plain = CatchVectorEnv(num_envs, **options)
        self.drawn = CatchVectorEnv(num_envs, drawn_on=device, **options)
        self.kept: list[tuple[torch.Tensor, np.ndarray[Any, Any]]] = []
        self.num_finals = self.num_resets = 0
        self.reset(seed=num_envs)

    def reset(self, **arguments: Any) -> None:
        observations, info = self.plain.reset(**arguments)
        tensors, info_drawn = self.drawn.reset(**arguments)
        self._compare(tensors, observations)
        assert_same_info(info_drawn, info)

    def step(self, actions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Play one step; return which throws have ended, [N] bool."""
        observations, *rest, info = self.plain.step(actions)
        tensors, *rest_drawn, info_drawn = self.drawn.step(actions)
        self._compare(tensors, observations)
        for drawn, plain in zip(rest_drawn, rest, strict=True):
            assert type(drawn) is np.ndarray
            np.testing.assert_array_equal(drawn, plain)
        finals = info.pop("final_obs", [])
        finals_drawn = info_drawn.pop("final_obs", [])
        for drawn, plain in zip(finals_drawn, finals, strict=True):
            assert (drawn is None) == (plain is None)
            if plain is not None:
                self._compare(drawn, plain)
                self.num_finals += 1
        assert_same_info(info_drawn, info)
        ended: np.ndarray[Any, Any] = rest[1]
        return ended

    def play(self, num_steps: int) -> None:
        """Random actions; resets by mask, of ended throws and of others; states taken over."""
        rng = np.random.default_rng(num_steps)
        num_envs = self.plain.num_envs
        is_disabled = self.plain.metadata["autoreset_mode"] == AutoresetMode.DISABLED
        for t in range(num_steps):
            ended = self.step(rng.integers(0, 54, num_envs))
            mask = (ended & is_disabled) | ((rng.random(num_envs) < 0.3) & (t % 20 == 9))
            if mask.any():
                self.num_resets += int(mask.sum())
                self.reset(options={"reset_mask": mask})
            if t % 50 == 30:
                earlier = self.drawn.get_state()
            if t % 50 == 44:  # the picture follows the state, so it is compared in the next step
                assert_same_info(self.drawn.get_state(), self.plain.get_state())
                self.drawn.set_state(earlier)
                self.plain.set_state(earlier)

    def check_kept(self) -> None:
        for tensor, copy in self.kept:
            np.testing.assert_array_equal(tensor.cpu().numpy(), copy)

    def _compare(self, tensor: torch.Tensor, expected: np.ndarray[Any, Any]) -> None:
        assert isinstance(tensor, torch.Tensor)
        assert tensor.device.type == torch.device(self.device).type
        assert tensor.dtype == torch.uint8
        np.testing.assert_array_equal(tensor.cpu().numpy(), expected)
        self.kept.append((tensor, expected.copy()))


def assert_same_info(drawn: dict[str, Any], plain: dict[str, Any]) -> None:
    assert drawn.keys() == plain.keys()
    for key, value in plain.items():
        if isinstance(value, dict):
            assert_same_info(drawn[key], value)
        else:
            assert type(drawn[key]) is np.ndarray
            np.testing.assert_array_equal(drawn[key], value)
