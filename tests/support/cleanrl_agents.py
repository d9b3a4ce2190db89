"""An agent as CleanRL writes them, with a normalization layer and dropout."""

from __future__ import annotations

import torch
from torch import nn

PARTS = {"embedding": "network", "head": {"policy": "actor", "value": "critic"}}


class ConvAgent(nn.Module):
    """Sees images [N, 3, 8, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
        )  # fmt: skip
        self.actor = nn.Linear(4 * 6 * 6, 3)
        self.critic = nn.Linear(4 * 6 * 6, 1)

    def forward(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits [N, 3] and values [N, 1]."""
        hidden = self.network(observations)
        return self.actor(hidden), self.critic(hidden)
