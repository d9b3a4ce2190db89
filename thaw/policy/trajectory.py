"""The data that moves between actor and learner, and the meaning of the letters in shapes.

``T``: steps of an unroll; ``B``: environments that act together (an update's batch of unrolls);
``A``: actions; ``D``: width of the embedding; ``H``: width of the LSTM; ``...``: the shape of one
observation. An *entry* is one index of the first axis: there are T+1 observations, since the
policy also sees the one after the last action.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trajectory:
    """One unroll of every environment.

    Entry T of an unroll is entry 0 of the next one: what the policy saw after the last action.
    So the learner gets all that it needs from one unroll. Exactly one of ``observations`` and
    ``embeddings`` is there: embeddings where the learner uses those that the actor has computed,
    because the embedding is frozen or because their graph comes with them.
    """

    observations: torch.Tensor | None
    """[T+1, B, ...] as the environment returned them."""
    embeddings: torch.Tensor | None
    """[T+1, B, D] float32."""
    first: torch.Tensor
    """[T+1, B] bool: the observation starts an episode."""
    last_actions: torch.Tensor
    """[T+1, B] int64: the action before the observation; no meaning where ``first``."""
    last_rewards: torch.Tensor
    """[T+1, B] float32, not clipped: the reward of that action; no meaning where ``first``."""
    actions: torch.Tensor
    """[T, B] int64."""
    rewards: torch.Tensor
    """[T, B] float32, not clipped: the learner clips."""
    discounts: torch.Tensor
    """[T, B] float32: the discount; 0 where the step ended the episode."""
    bootstraps: torch.Tensor
    """[T, B] float32: discounted value after a truncated step (``truncation: bootstrap``)."""
    behavior_logits: torch.Tensor
    """[T, B, A] float32: the logits from which the actor sampled."""
    valid: torch.Tensor
    """[T, B] bool: False where an environment only reset itself; such an entry is not a step."""
    state: torch.Tensor
    """[2, B, H] float32: the LSTM's (h, c) before entry 0."""

    def __post_init__(self) -> None:
        steps, batch = self.actions.shape
        inputs = self.observations if self.observations is not None else self.embeddings
        assert inputs is not None, "a trajectory holds observations or embeddings"
        check_shapes(
            {"T+1": steps + 1, "T": steps, "B": batch, "2": 2},
            inputs=(inputs, "T+1 B ..."),
            first=(self.first, "T+1 B"),
            last_actions=(self.last_actions, "T+1 B"),
            last_rewards=(self.last_rewards, "T+1 B"),
            rewards=(self.rewards, "T B"),
            discounts=(self.discounts, "T B"),
            bootstraps=(self.bootstraps, "T B"),
            behavior_logits=(self.behavior_logits, "T B A"),
            valid=(self.valid, "T B"),
            state=(self.state, "2 B H"),
        )

    def copy_to(self, device: torch.device) -> Trajectory:
        """Return a copy on a device; it has the same types, so that images move as uint8."""
        return dataclasses.replace(
            self, **{name: tensor.to(device, copy=True) for name, tensor in self.tensors().items()}
        )

    def copy_from(self, other: Trajectory) -> None:
        """Overwrite all tensors with those of a trajectory of the same shapes, on any device."""
        theirs = other.tensors()
        for name, tensor in self.tensors().items():
            tensor.copy_(theirs[name], non_blocking=True)

    def columns(self, begin: int, end: int) -> Trajectory:
        """Return the part of the environments ``begin`` to ``end - 1``, in the same memory."""
        return dataclasses.replace(
            self, **{name: tensor[:, begin:end] for name, tensor in self.tensors().items()}
        )

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors that are there, by field name."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None}


class EmbeddingGraph:
    """The autograd graph of an unroll's embeddings, in the portions in which they were computed.

    Args:
        num_groups: Groups of environments; all have the same size.
    """

    def __init__(self, num_groups: int) -> None:
        self.portions: list[list[torch.Tensor]] = [[] for _ in range(num_groups)]
        """By group: one [1, B / groups, D] for each entry but the last.

        The last entry only gives the bootstrap value, a target without a gradient."""

    def backward(self, gradient: torch.Tensor) -> None:
        """Send the gradient [T+1, B, D] of the embeddings back to what computed them.

        It takes the portions one by one, last step first. Each frees its memory as it goes, and
        gradients add up in the same order every time, whatever thread computed a portion.
        """
        columns = gradient.chunk(len(self.portions), dim=1)
        for t in reversed(range(len(gradient) - 1)):
            for portions, column in zip(self.portions, columns, strict=True):
                torch.autograd.backward(portions.pop(), column[t : t + 1])


class PolicyOutput(NamedTuple):
    """The policy's output for T (or T+1) entries of B environments."""

    logits: torch.Tensor
    """[T, B, A] float32."""
    values: torch.Tensor
    """[T, B] float32."""
    state: torch.Tensor
    """[2, B, H] float32: the LSTM's (h, c) after the last entry."""


class EpisodeStats(NamedTuple):
    """One finished episode."""

    step: int
    """Decisions that the run had made when the episode ended."""
    episode_return: float
    """Sum of the environment's rewards, not clipped."""
    length_steps: int
    environment: int
    """Index of the environment, from 0 to B-1."""
    truncated: bool = False
    """Whether a limit ended the episode; it counts like any other episode."""


def check_shapes(sizes: dict[str, int], **tensors: tuple[torch.Tensor, str]) -> None:
    """Check named tensors against shapes written as ``"T B A"``.

    Args:
        sizes: Known sizes by axis name; the size of any other axis is set by its first tensor.
        **tensors: Tensor and its shape; ``...`` at the end allows any further axes.

    Raises:
        ValueError: A rank or size is wrong; the message has tensor, actual and expected shape.
    """
    sizes = dict(sizes)
    for name, (tensor, shape) in tensors.items():
        axes = shape.split()
        open_ended = axes[-1] == "..."
        axes = axes[:-1] if open_ended else axes
        fits = tensor.ndim >= len(axes) if open_ended else tensor.ndim == len(axes)
        if fits:
            pairs = zip(axes, tensor.shape, strict=False)
            fits = all(sizes.setdefault(axis, size) == size for axis, size in pairs)
        if not fits:
            expected = ", ".join(f"{axis}={sizes.get(axis, chr(63))}" for axis in axes)
            raise ValueError(f"{name} has shape {list(tensor.shape)}, expected [{expected}]")
