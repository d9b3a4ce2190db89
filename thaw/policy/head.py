"""The head: LSTM, one fully connected layer, policy and value."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from thaw.policy.layers import initialize
from thaw.policy.lstm import LSTM


class RecurrentHead(nn.Module):
    """[embedding, clipped last reward, one-hot last action] -> LSTM -> FC -> policy and value."""

    def __init__(
        self,
        embedding_size: int,
        num_actions: int,
        *,
        lstm_size: int,
        fc_size: int,
        last_action_input: bool,
        last_reward_input: bool,
    ) -> None:
        super().__init__()
        self.num_actions = num_actions
        self.last_action_input = last_action_input
        self.last_reward_input = last_reward_input
        extra = last_action_input * num_actions + last_reward_input
        self.lstm = LSTM(embedding_size + extra, lstm_size)
        self.fc = nn.Linear(lstm_size, fc_size)
        self.policy = nn.Linear(fc_size, num_actions)
        self.value = nn.Linear(fc_size, 1)
        initialize(self.fc, self.policy, self.value)

    def forward(
        self,
        embeddings: torch.Tensor,
        first: torch.Tensor,
        last_actions: torch.Tensor,
        last_rewards: torch.Tensor,
        state: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Map embeddings, last actions and last rewards to logits, values and the LSTM's state.

        Args:
            embeddings: [T, B, D] float32.
            first: [T, B] bool; where it is True, last action and reward belong to the episode
                before and are replaced by zeros.
            last_actions: [T, B] int64.
            last_rewards: [T, B] float32; clipped to [-1, 1] here, as in IMPALA's code.
            state: [2, B, H] float32, the LSTM's (h, c) before entry 0.

        Returns:
            Logits [T, B, A], values [T, B], state [2, B, H].
        """
        keep = (~first).to(embeddings.dtype).unsqueeze(-1)
        inputs = [embeddings]
        if self.last_reward_input:
            inputs.append(last_rewards.clamp(-1, 1).unsqueeze(-1) * keep)
        if self.last_action_input:
            inputs.append(F.one_hot(last_actions, self.num_actions) * keep)
        core, state = self.lstm(torch.cat(inputs, dim=-1), first, state)
        features = F.relu(self.fc(core))
        return self.policy(features), self.value(features).squeeze(-1), state
