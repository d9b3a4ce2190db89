"""An embedding that can be slowed down or broken from outside, without a change of its numbers."""

from __future__ import annotations

import os
import time

import torch
from torch import nn


class Sleepy(nn.Module):
    def __init__(self, observation_shape: tuple[int, ...], embedding_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(observation_shape[-1], embedding_size)
        self.num_forwards = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.num_forwards += 1
        if self.num_forwards > int(os.environ.get("FAIL_AFTER", "1000000")):
            print("the lens cap is on")
            raise RuntimeError("the camera\nis broken")
        if self.num_forwards > int(os.environ.get("FULL_AFTER", "1000000")):
            raise MemoryError("no room for a frame")
        time.sleep(float(os.environ.get("SLEEP", "0")))
        embedded: torch.Tensor = self.linear(images.float().mean((1, 2)) / 255)
        return embedded


def make(observation_shape: tuple[int, ...], embedding_size: int) -> nn.Module:
    return Sleepy(observation_shape, embedding_size)
