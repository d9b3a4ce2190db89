"""The policy: an embedding and a head."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from thaw.config.agent import AgentConfig
from thaw.policy.embeddings import build_embedding
from thaw.policy.head import build_head
from thaw.policy.trajectory import PolicyOutput, check_shapes
from thaw.policy.two_parts import TwoParts

IMAGES_AT_ONCE = 32
"""Images that a CPU embeds at once. More do not fit into the cache, and the system would have to
provide their memory again each time (docs/performance.md)."""


class Acting(Protocol):
    """The methods of a policy that acting needs."""

    def initial_state(self, batch_size: int) -> torch.Tensor:
        """Return the LSTM's state [2, B, H] at the start of an episode."""

    def embed(self, observations: torch.Tensor) -> torch.Tensor:
        """Map observations [T, B, ...] to embeddings [T, B, D]."""

    def unroll(
        self,
        embeddings: torch.Tensor,
        first: torch.Tensor,
        last_actions: torch.Tensor,
        last_rewards: torch.Tensor,
        state: torch.Tensor,
    ) -> PolicyOutput:
        """Map embeddings [T, B, D], last actions and last rewards to logits, values and state."""


class Policy(TwoParts):
    """The recurrent policy in two named parts, ``embedding.*`` and ``head.*``.

    Args:
        observation_shape: Of one observation; images are [height, width, channels].
        num_actions: Number of discrete actions.
        config: Network sizes and precision; its other settings are not used here.
    """

    def __init__(
        self,
        observation_shape: tuple[int, ...],
        num_actions: int,
        config: AgentConfig | None = None,
    ) -> None:
        super().__init__()
        config = config or AgentConfig()
        self.observation_shape = tuple(observation_shape)
        self.num_actions = num_actions
        self.config = config
        self.optimizer_state: dict[str, torch.Tensor] = {}
        """Where a parameter's optimizer state begins as the source's: by name and slot, as in
        ``head.fc.bias/square_avg``."""
        self.embedding = build_embedding(config, self.observation_shape)
        self._has_statistics = next(self.embedding.buffers(), None) is not None
        self.head: Any = build_head(config, num_actions)

    @property
    def embedding_frozen(self) -> bool:
        """Whether no part of the embedding trains, so that the learner can use the actor's."""
        return all(name in self.frozen for name, _ in self.parts() if name.startswith("embedding."))

    def embedding_frozen_at(self, steps: int) -> bool:
        """Whether no part of the embedding trains in such an update."""
        frozen = self.frozen_at(steps)
        return all(name in frozen for name, _ in self.parts() if name.startswith("embedding."))

    @property
    def embedding_never_trains(self) -> bool:
        """Whether no part of the embedding trains in the whole run."""
        rules = self.part_rules
        names = [name for name, _ in self.parts() if name.startswith("embedding.")]
        return all(name in rules and not rules[name].trains for name in names)

    def initial_state(self, batch_size: int) -> torch.Tensor:
        """Return zeros [2, B, H], an LSTM's (h, c); H is 0 for a head without memory."""
        device = next(self.head.parameters()).device
        return torch.zeros(2, batch_size, self.head.state_size, device=device)

    def embed(self, observations: torch.Tensor) -> torch.Tensor:
        """Map observations [T, B, ...] to embeddings [T, B, D] float32."""
        flat, device = observations.flatten(0, 1), observations.device.type
        # With a cache, all portions would share one cast of the weights, and their gradients would
        # add up in bfloat16. That would also depend on when another thread clears the cache.
        with torch.autocast(
            device,
            dtype=torch.bfloat16,
            enabled=self.config.precision == "bfloat16",
            cache_enabled=False,
        ):
            embeddings = torch.cat([self.embedding(part) for part in self.portions(flat)])
        return embeddings.float().reshape(*observations.shape[:2], -1)

    def portions(self, observations: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Divide observations [N, ...] into the portions that are embedded at once."""
        is_image = observations.ndim == 4
        # An embedding with running statistics must get whole batches, on any device.
        if observations.device.type != "cpu" or not is_image or self._has_statistics:
            return (observations,)
        return torch.split(observations, IMAGES_AT_ONCE)

    def unroll(
        self,
        embeddings: torch.Tensor,
        first: torch.Tensor,
        last_actions: torch.Tensor,
        last_rewards: torch.Tensor,
        state: torch.Tensor,
    ) -> PolicyOutput:
        """Run the head over T entries.

        Args:
            embeddings: [T, B, D] float32.
            first: [T, B] bool.
            last_actions: [T, B] int64.
            last_rewards: [T, B] float32, not clipped.
            state: [2, B, H] float32, before entry 0.

        Returns:
            Logits [T, B, A], values [T, B] and the state after the last entry.
        """
        output = PolicyOutput(*self.head(embeddings, first, last_actions, last_rewards, state))
        steps, batch = first.shape
        check_shapes(
            {"T": steps, "B": batch, "A": self.num_actions, "2": 2},
            logits=(output.logits, "T B A"),
            values=(output.values, "T B"),
            state=(output.state, "2 B H"),
        )
        return output


class UniformPolicy:
    """The ``random`` control: equal logits for all actions."""

    def __init__(self, num_actions: int) -> None:
        self.num_actions = num_actions

    def initial_state(self, batch_size: int) -> torch.Tensor:
        """Return an empty state [2, B, 0]."""
        return torch.zeros(2, batch_size, 0)

    def embed(self, observations: torch.Tensor) -> torch.Tensor:
        """Return empty embeddings [T, B, 0]."""
        return observations.new_zeros((*observations.shape[:2], 0), dtype=torch.float32)

    def unroll(
        self,
        embeddings: torch.Tensor,
        first: torch.Tensor,
        last_actions: torch.Tensor,
        last_rewards: torch.Tensor,
        state: torch.Tensor,
    ) -> PolicyOutput:
        """Return equal logits [T, B, A], values of 0 [T, B] and the same state."""
        logits = torch.zeros(*first.shape, self.num_actions)
        return PolicyOutput(logits, torch.zeros(first.shape), state)
