"""The data of one decision: the policy's inputs, its choice, the result."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from thaw.policy.trajectory import EpisodeStats


class Entry(NamedTuple):
    """The policy's inputs at one time step; each [1, B, ...]."""

    observations: torch.Tensor
    first: torch.Tensor
    last_actions: torch.Tensor
    last_rewards: torch.Tensor


class Choice(NamedTuple):
    """The policy's choice in all environments."""

    actions: torch.Tensor
    """[B] int64, on the CPU."""
    logits: torch.Tensor
    """[B, A] float32, on the CPU."""
    state: torch.Tensor
    """[2, B, H] float32, the LSTM state after this entry."""


Outcome = tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]
"""The tuple that ``env.step`` returns."""


class Decision(NamedTuple):
    """One step of all environments; each [B, ...]."""

    actions: torch.Tensor
    logits: torch.Tensor
    rewards: NDArray[np.float64]
    """Not clipped."""
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    """False where the environment spent the step on its reset."""
    bootstraps: NDArray[np.float32]
    """Where an episode was truncated: the value of its final observation; elsewhere 0."""
    finished: list[EpisodeStats]


class DeviceMemory:
    """A fixed GPU buffer for one entry, filled from pinned memory."""

    def __init__(self, entry: Entry, device: torch.device) -> None:
        self.pinned = Entry(
            *(torch.empty_like(tensor, device="cpu", pin_memory=True) for tensor in entry)
        )
        self.entry = Entry(*(torch.empty_like(tensor, device=device) for tensor in entry))

    def fill(self, entry: Entry) -> Entry:
        """Start an asynchronous copy; reading the logits later synchronizes with it."""
        for there, pinned, here in zip(self.entry, self.pinned, entry, strict=True):
            if here.device == there.device:  # an environment drew it on the GPU
                there.copy_(here)
            else:
                pinned.copy_(here)
                there.copy_(pinned, non_blocking=True)
        return self.entry
