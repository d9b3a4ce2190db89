"""Networks whose policy and value have layers of their own, as in Stable-Baselines3 and CleanRL.

T, B, D, H as in :mod:`thaw.policy.trajectory`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.policy.layers import LastInputs, as_numbers
from thaw.policy.lstm import LSTM

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


def orthogonal(module: nn.Module, gain: float) -> None:
    """Draw the weights of all layers in a module orthogonal, and set their biases to 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.orthogonal_(layer.weight, gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class BranchedVectorEmbedding(nn.Module):
    """The hidden layers of policy and value, side by side; layer 0 of both is one block.

    A branch without hidden layers passes the observation on.

    Args:
        observation_shape: Of one observation, flattened before the layers.
        config: Its ``branches`` give the widths; the last two must add up to ``embedding_size``.

    Raises:
        InputError: They do not, or neither branch has a hidden layer.
    """

    def __init__(self, observation_shape: tuple[int, ...], config: AgentConfig) -> None:
        super().__init__()
        branches, size = config.branches, math.prod(observation_shape)
        widths = {"policy": [size, *branches.policy], "value": [size, *branches.value]}
        depth = max(len(branches.policy), len(branches.value))
        if not depth:
            raise InputError(
                "the embedding 'mlp_branches' is the hidden layers of policy and value, and there "
                "are none; give agent.branches.policy or agent.branches.value a width, or use the "
                "embedding flatten"
            )
        check_width(config, widths["policy"][-1] + widths["value"][-1], "agent.branches")
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    branch: nn.Linear(sizes[place], sizes[place + 1])
                    for branch, sizes in widths.items()
                    if place + 1 < len(sizes)
                }
            )
            for place in range(depth)
        )
        self.activation = ACTIVATIONS[branches.activation]()
        orthogonal(self, math.sqrt(2))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Map observations [N, ...] to [N, D]."""
        x = as_numbers(observations.flatten(1), torch.float32)
        features = {"policy": x, "value": x}
        for layers in self.layers:
            assert isinstance(layers, nn.ModuleDict)
            for branch, layer in layers.items():
                features[branch] = self.activation(layer(features[branch]))
        return torch.cat(list(features.values()), dim=-1)


class BranchedImageEmbedding(nn.Module):
    """Two convolutional networks side by side, the policy's and the value's."""

    def __init__(self, policy: nn.Module, value: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleDict({"policy": policy, "value": value})

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images [N, height, width, channels] to [N, D]."""
        return torch.cat([network(images) for network in self.branches.values()], dim=-1)


class Flatten(nn.Module):
    """No network: the observation's numbers are the embedding.

    Raises:
        InputError: ``embedding_size`` is not how many there are.
    """

    def __init__(self, observation_shape: tuple[int, ...], config: AgentConfig) -> None:
        super().__init__()
        check_width(config, math.prod(observation_shape), "the observation")

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Map observations [N, ...] to [N, D]."""
        return as_numbers(observations.flatten(1), torch.float32)


def check_width(config: AgentConfig, width: int, what: str) -> None:
    """Check that ``embedding_size`` is the width that something else decides.

    Raises:
        InputError: It is not.
    """
    if config.embedding_size != width:
        raise InputError(
            f"the embedding '{config.embedding}' is {width} wide, as {what} says, and "
            f"agent.embedding_size is {config.embedding_size}; set it to {width}"
        )


class BranchedHead(nn.Module):
    """Embedding -> LSTMs, if there are any -> hidden layers of policy and of value -> both.

    If the embedding has branches too, the policy's branch sees its first half (or the policy's
    width), and the value's branch the rest. After ``mlp_branches`` there are no hidden layers,
    because that embedding has them. The last action and reward go to both branches.

    Its parts: ``lstm`` (the policy's, or both branches'), ``value_lstm``, ``value_linear`` (in
    place of the value's LSTM), ``policy_layers``, ``value_layers``, ``policy``, ``value``.
    """

    def __init__(self, config: AgentConfig, num_actions: int) -> None:
        super().__init__()
        branches = config.branches
        self.inputs = LastInputs(num_actions, config.last_action_input, config.last_reward_input)
        widths, layers = embedding_widths(config)
        self.widths = widths
        """Of the embedding's branches; one number where they share it."""
        policy_size, value_size = (width + self.inputs.size for width in (widths[0], widths[-1]))
        self.lstm: LSTM | None = None
        self.value_lstm: LSTM | None = None
        self.value_linear: nn.Linear | None = None
        if branches.lstm != "none":
            if branches.lstm == "shared" and len(widths) > 1:
                raise InputError(
                    f"agent.branches.lstm is shared, but the embedding '{config.embedding}' gives "
                    "policy and value inputs of their own; use separate or policy"
                )
            self.lstm = LSTM(policy_size, config.lstm_size)
            if branches.lstm == "separate":
                self.value_lstm = LSTM(value_size, config.lstm_size)
            elif branches.lstm == "policy":
                self.value_linear = nn.Linear(value_size, config.lstm_size)
            policy_size = value_size = config.lstm_size
        self.state_size = config.lstm_size * (
            (self.lstm is not None) + (self.value_lstm is not None)
        )
        self.policy_layers = _hidden(policy_size, layers[0], branches.activation)
        self.value_layers = _hidden(value_size, layers[1], branches.activation)
        self.policy = nn.Linear([policy_size, *layers[0]][-1], num_actions)
        self.value = nn.Linear([value_size, *layers[1]][-1], 1)
        orthogonal(self.policy_layers, math.sqrt(2))
        orthogonal(self.value_layers, math.sqrt(2))
        orthogonal(self.policy, 0.01)
        orthogonal(self.value, 1.0)

    def forward(
        self,
        embeddings: torch.Tensor,
        first: torch.Tensor,
        last_actions: torch.Tensor,
        last_rewards: torch.Tensor,
        state: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See :class:`thaw.policy.head.Head`; the state of two LSTMs is side by side, [2, B, H]."""
        last = (first, last_actions, last_rewards)
        parts = torch.split(embeddings, self.widths, dim=-1)
        policy = self.inputs.beside(parts[0], *last)
        value = self.inputs.beside(parts[1], *last) if len(parts) > 1 else policy
        if self.lstm is not None:
            states = list(torch.split(state, self.lstm.hidden_size, dim=-1))
            seen = value
            policy, states[0] = self.lstm(policy, first, states[0])
            if self.value_lstm is not None:
                value, states[1] = self.value_lstm(seen, first, states[1])
            elif self.value_linear is not None:
                value = self.value_linear(seen)
            else:
                value = policy
            state = torch.cat(states, dim=-1)
        logits = self.policy(self.policy_layers(policy))
        return logits, self.value(self.value_layers(value)).squeeze(-1), state


def embedding_widths(config: AgentConfig) -> tuple[list[int], tuple[Sequence[int], Sequence[int]]]:
    """Return how an embedding is divided, and which hidden layers the head has after it.

    Returns:
        The widths of the policy's and the value's part, or one width where they share it; then the
        widths of the head's hidden layers of policy and of value.

    Raises:
        InputError: The embedding has two halves, and its width is odd.
    """
    branches = config.branches
    if config.embedding == "mlp_branches":
        first = config.embedding_size - sum(branches.value[-1:])
        first = branches.policy[-1] if branches.policy else first
        return [first, config.embedding_size - first], ((), ())
    if config.embedding == "nature_branches":
        return [half_of(config)] * 2, (branches.policy, branches.value)
    return [config.embedding_size], (branches.policy, branches.value)


def half_of(config: AgentConfig) -> int:
    """Return half of the embedding's width.

    Raises:
        InputError: It is odd.
    """
    if config.embedding_size % 2:
        raise InputError(
            f"the embedding '{config.embedding}' has two halves, and agent.embedding_size is "
            f"{config.embedding_size}; give an even number"
        )
    return config.embedding_size // 2


def _hidden(size: int, widths: Sequence[int], activation: str) -> nn.Sequential:
    """Build linear layers with an activation after each."""
    layers: list[nn.Module] = []
    for before, width in zip([size, *widths], widths, strict=False):
        layers += [nn.Linear(before, width), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)
