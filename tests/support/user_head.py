"""Heads as a user would plug them in, by the address ``user_head:function``."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import dropout

Output = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Fading(nn.Module):
    """Remembers a fading mean of the embeddings of the episode, which is its state."""

    def __init__(self, embedding_size: int, num_actions: int) -> None:
        super().__init__()
        self.state_size = embedding_size
        self.policy = nn.Linear(embedding_size, num_actions)
        self.value = nn.Linear(embedding_size, 1)

    def forward(
        self,
        embeddings: torch.Tensor,
        first: torch.Tensor,
        last_actions: torch.Tensor,
        last_rewards: torch.Tensor,
        state: torch.Tensor,
    ) -> Output:
        memory, steps = state[0], []
        for embedding, starts in zip(embeddings, first, strict=True):
            memory = 0.5 * memory * (~starts).unsqueeze(-1) + 0.5 * embedding
            steps.append(memory)
        features = torch.stack(steps)
        state = torch.stack((memory, torch.zeros_like(memory)))
        return self.policy(features), self.value(features).squeeze(-1), state


def fading(embedding_size: int, num_actions: int) -> nn.Module:
    return Fading(embedding_size, num_actions)


class _Dropping(Fading):
    def forward(self, embeddings: torch.Tensor, *others: torch.Tensor) -> Output:
        return super().forward(dropout(embeddings, training=self.training), *others)


def with_dropout(embedding_size: int, num_actions: int) -> nn.Module:
    return _Dropping(embedding_size, num_actions)


def not_a_module(embedding_size: int, num_actions: int) -> str:
    return "head"


def without_size(embedding_size: int, num_actions: int) -> nn.Module:
    return nn.Linear(embedding_size, num_actions)


class _Wrong(Fading):
    def forward(self, *inputs: torch.Tensor) -> Output:
        logits, values, state = super().forward(*inputs)
        return logits, values.unsqueeze(-1), state


def wrong_shape(embedding_size: int, num_actions: int) -> nn.Module:
    return _Wrong(embedding_size, num_actions)


class _Failing(Fading):
    def forward(self, *inputs: torch.Tensor) -> Output:
        raise RuntimeError("no such layer")


def failing(embedding_size: int, num_actions: int) -> nn.Module:
    return _Failing(embedding_size, num_actions)
