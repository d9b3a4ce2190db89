"""The data that moves between actor and learner, and the legend of shapes.

``T`` steps of an unroll, ``B`` environments acting together (an update's batch of unrolls),
``A`` actions, ``D`` the embedding's width, ``H`` the LSTM's width, ``...`` an observation's shape.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trajectory:
    """One unroll of every environment, sized so that the learner never shifts.

    Entry T of an unroll is entry 0 of the next: what the policy saw after the last action.
    Exactly one of ``observations`` and ``embeddings`` is there (the latter when the embedding
    is frozen and the actor's own work is all the learner needs).
    """

    observations: torch.Tensor | None
    """[T+1, B, ...] as the environment gave them."""
    embeddings: torch.Tensor | None
    """[T+1, B, D] float32."""
    first: torch.Tensor
    """[T+1, B] bool: this observation starts an episode."""
    last_actions: torch.Tensor
    """[T+1, B] int64: the action before; meaningless where ``first``."""
    last_rewards: torch.Tensor
    """[T+1, B] float32, raw: the reward before; meaningless where ``first``."""
    actions: torch.Tensor
    """[T, B] int64."""
    rewards: torch.Tensor
    """[T, B] float32, raw: clipping is the learner's."""
    discounts: torch.Tensor
    """[T, B] float32: the discount, 0 where the step ended the episode."""
    bootstraps: torch.Tensor
    """[T, B] float32: discounted value behind a truncated step (``truncation: bootstrap``)."""
    behavior_logits: torch.Tensor
    """[T, B, A] float32: what the actor sampled from."""
    valid: torch.Tensor
    """[T, B] bool: False on the row an environment spends on resetting itself; not a step."""
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
        """Return a copy on a device; observations stay uint8 until they are there."""
        return dataclasses.replace(
            self, **{name: tensor.to(device, copy=True) for name, tensor in self.tensors().items()}
        )

    def copy_from(self, other: Trajectory) -> None:
        """Overwrite with what another of the same shapes holds, on whatever device."""
        theirs = other.tensors()
        for name, tensor in self.tensors().items():
            tensor.copy_(theirs[name], non_blocking=True)

    def columns(self, begin: int, end: int) -> Trajectory:
        """Return what belongs to some of the environments, in the same memory."""
        return dataclasses.replace(
            self, **{name: tensor[:, begin:end] for name, tensor in self.tensors().items()}
        )

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors that are there, by field name."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None}


class PolicyOutput(NamedTuple):
    """What the policy says about T (or T+1) entries of B environments."""

    logits: torch.Tensor
    """[T, B, A] float32."""
    values: torch.Tensor
    """[T, B] float32."""
    state: torch.Tensor
    """[2, B, H] float32: the LSTM's (h, c) behind the last entry."""


class EpisodeStats(NamedTuple):
    """One finished episode, in the environment's own raw reward."""

    step: int
    """Decisions the run had made when it ended."""
    episode_return: float
    length_steps: int
    environment: int
    """Which of the B environments it was."""
    truncated: bool = False
    """Cut off by a limit, as a game that stalls is; it counts all the same."""


def check_shapes(sizes: dict[str, int], **tensors: tuple[torch.Tensor, str]) -> None:
    """Check named tensors against shapes written as ``"T B A"``.

    Args:
        sizes: Known sizes by axis name; an axis met first is remembered.
        **tensors: Tensor and its shape; a trailing ``...`` allows any further axes.

    Raises:
        ValueError: A rank or size differs; the message names tensor, expected and actual shape.
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
