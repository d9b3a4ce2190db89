"""Embeddings as a user would plug them in, by the address ``user_embedding:function``."""

from __future__ import annotations

import math

import torch
from torch import nn


class Normalized(nn.Module):
    """A linear layer, batch normalization, and a constant that no file needs to hold."""

    scale: torch.Tensor

    def __init__(self, observation_shape: tuple[int, ...], embedding_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(math.prod(observation_shape), embedding_size)
        self.norm = nn.BatchNorm1d(embedding_size)
        self.register_buffer("scale", torch.tensor(1 / 255), persistent=False)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        embedded: torch.Tensor = self.norm(self.linear(observations.flatten(1) * self.scale))
        return torch.relu(embedded)


def batch_norm(observation_shape: tuple[int, ...], embedding_size: int) -> nn.Module:
    return Normalized(observation_shape, embedding_size)


def not_a_module(observation_shape: tuple[int, ...], embedding_size: int) -> str:
    return "embedding"


class Rows(nn.Module):
    """Any observation as a row of numbers; a byte becomes 0 to 1."""

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        scale = 1 / 255 if observations.dtype == torch.uint8 else 1.0
        return observations.flatten(1) * scale


def with_dropout(observation_shape: tuple[int, ...], embedding_size: int) -> nn.Module:
    """It has no buffers, but acts and learns differently."""
    return nn.Sequential(
        Rows(), nn.Linear(math.prod(observation_shape), embedding_size), nn.Dropout(0.5)
    )
