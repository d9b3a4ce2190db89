"""Heads: networks that map embeddings to action logits and a value."""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import nn
from torch.nn import functional as F

from thaw.config.agent import AgentConfig, check_network_names
from thaw.config.errors import InputError, one_line
from thaw.config.user_code import call_by_name
from thaw.policy.branches import BranchedHead
from thaw.policy.layers import LastInputs, initialize
from thaw.policy.lstm import LSTM


class Head(Protocol):
    """What a policy needs of its head, which is an ``nn.Module``."""

    state_size: int
    """H, the width of its recurrent state; 0 without one."""

    def __call__(
        self,
        embeddings: torch.Tensor,
        first: torch.Tensor,
        last_actions: torch.Tensor,
        last_rewards: torch.Tensor,
        state: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Map embeddings, last actions and last rewards to logits, values and the state.

        Args:
            embeddings: [T, B, D] float32.
            first: [T, B] bool; where it is True, an episode starts: last action and reward belong
                to the episode before, and the state must be set to zero before that entry.
            last_actions: [T, B] int64.
            last_rewards: [T, B] float32, not clipped.
            state: [2, B, H] float32 before entry 0; of an LSTM (h, c).

        Returns:
            Logits [T, B, A], values [T, B], state [2, B, H].
        """


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
        self.state_size = lstm_size
        self.inputs = LastInputs(num_actions, last_action_input, last_reward_input)
        self.lstm = LSTM(embedding_size + self.inputs.size, lstm_size)
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
        """See :class:`Head`."""
        inputs = self.inputs.beside(embeddings, first, last_actions, last_rewards)
        core, state = self.lstm(inputs, first, state)
        features = F.relu(self.fc(core))
        return self.policy(features), self.value(features).squeeze(-1), state


class FeedforwardHead(nn.Module):
    """[embedding, clipped last reward, one-hot last action] -> FC -> policy and value: no memory.

    Args:
        embedding_size: D.
        num_actions: A.
        fc_size: Width of the fully connected layer; None leaves it out: the head is linear.
        last_action_input: Whether the head sees the last action.
        last_reward_input: Whether the head sees the last reward.
    """

    state_size = 0

    def __init__(
        self,
        embedding_size: int,
        num_actions: int,
        *,
        fc_size: int | None,
        last_action_input: bool,
        last_reward_input: bool,
    ) -> None:
        super().__init__()
        self.inputs = LastInputs(num_actions, last_action_input, last_reward_input)
        size = embedding_size + self.inputs.size
        self.fc = nn.Linear(size, fc_size) if fc_size is not None else None
        self.policy = nn.Linear(fc_size or size, num_actions)
        self.value = nn.Linear(fc_size or size, 1)
        initialize(*self.modules())

    def forward(
        self,
        embeddings: torch.Tensor,
        first: torch.Tensor,
        last_actions: torch.Tensor,
        last_rewards: torch.Tensor,
        state: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See :class:`Head`; the state is empty."""
        features = self.inputs.beside(embeddings, first, last_actions, last_rewards)
        if self.fc is not None:
            features = F.relu(self.fc(features))
        return self.policy(features), self.value(features).squeeze(-1), state


def build_head(config: AgentConfig, num_actions: int) -> nn.Module:
    """Build a built-in head, or call ``module:function(embedding_size, num_actions)``.

    Returns:
        A module that is a :class:`Head`.

    Raises:
        InputError: Unknown name, or the function returned something else.
    """
    sees = {
        "last_action_input": config.last_action_input,
        "last_reward_input": config.last_reward_input,
    }
    check_network_names(config)
    match config.head:
        case "lstm":
            return RecurrentHead(
                config.embedding_size, num_actions,
                lstm_size=config.lstm_size, fc_size=config.fc_size, **sees,
            )  # fmt: skip
        case "feedforward" | "linear":
            fc_size = config.fc_size if config.head == "feedforward" else None
            return FeedforwardHead(config.embedding_size, num_actions, fc_size=fc_size, **sees)
        case "branches":
            return BranchedHead(config, num_actions)
    return _head_of_user(config.head, config.embedding_size, num_actions)


def _head_of_user(name: str, embedding_size: int, num_actions: int) -> nn.Module:
    """Build a user's head, and try it on zeros.

    Raises:
        InputError: It is no head.
    """
    head = call_by_name(name, embedding_size, num_actions)
    if not isinstance(head, nn.Module):
        raise InputError(f"head '{name}' returned {type(head).__name__}, no nn.Module")
    if not isinstance(size := getattr(head, "state_size", None), int):
        raise InputError(
            f"head '{name}' has no whole number state_size, the width of its recurrent state; set "
            "it to 0 for a head without one"
        )
    steps, batch = 2, 3
    trains, head = head.training, head.eval()
    try:
        with torch.no_grad():
            output = cast(Head, head)(
                torch.zeros(steps, batch, embedding_size),
                torch.zeros(steps, batch, dtype=torch.bool),
                torch.zeros(steps, batch, dtype=torch.int64),
                torch.zeros(steps, batch),
                torch.zeros(2, batch, size),
            )
            shapes = [list(tensor.shape) for tensor in output]
    except Exception as error:  # a user's code may raise anything
        raise InputError(f"head '{name}' failed on zeros: {one_line(error)}") from error
    head.train(trains)
    expected = [[steps, batch, num_actions], [steps, batch], [2, batch, size]]
    if shapes != expected:
        raise InputError(
            f"head '{name}' returned tensors of shapes {shapes}; logits [T, B, A], values [T, B] "
            f"and state [2, B, H] would be {expected}"
        )
    return head
