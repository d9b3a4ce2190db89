"""Initial weights, inputs and pooling, shared by the networks."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def initialize(*modules: nn.Module) -> None:
    """Draw weights from a truncated normal of standard deviation 1 / sqrt(fan-in), biases 0.

    The library under IMPALA's code does the same. PyTorch's default has a third of this variance
    and random biases; with them, a small object on an empty background barely changes the output
    (docs/decisions.md).
    """
    for module in modules:
        if isinstance(module, nn.Conv2d | nn.Linear):
            std = module.weight[0].numel() ** -0.5
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class LastInputs(nn.Module):
    """What a head sees beside the embedding: the last reward and the last action.

    Args:
        num_actions: A.
        action: Whether it sees the last action, one-hot.
        reward: Whether it sees the last reward, clipped to [-1, 1] as in IMPALA's code.
    """

    def __init__(self, num_actions: int, action: bool, reward: bool) -> None:
        super().__init__()
        self.num_actions = num_actions
        self.action = action
        self.reward = reward
        self.size = action * num_actions + reward

    def beside(
        self,
        embeddings: torch.Tensor,
        first: torch.Tensor,
        last_actions: torch.Tensor,
        last_rewards: torch.Tensor,
    ) -> torch.Tensor:
        """Return [T, B, D + size]; where an episode starts, zeros follow the embedding.

        Args:
            embeddings: [T, B, D] float32.
            first: [T, B] bool.
            last_actions: [T, B] int64.
            last_rewards: [T, B] float32, not clipped.
        """
        keep = (~first).to(embeddings.dtype).unsqueeze(-1)
        inputs = [embeddings]
        if self.reward:
            inputs.append(last_rewards.clamp(-1, 1).unsqueeze(-1) * keep)
        if self.action:
            inputs.append(F.one_hot(last_actions, self.num_actions) * keep)
        return torch.cat(inputs, dim=-1)


def as_numbers(observations: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Scale bytes (pixels) to [0, 1]; only convert other numbers to ``dtype``."""
    device = observations.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)  # saves a pass over the images in float32
    numbers = observations.to(dtype)
    return numbers / 255 if observations.dtype == torch.uint8 else numbers


def halve(x: torch.Tensor) -> torch.Tensor:
    """Max-pool [N, C, height, width] over 3x3 windows at stride 2, padded by 1: half the size.

    Without a gradient, PyTorch's pooling still stores the position of each maximum. On a CPU that
    takes three times as long as the maxima themselves, so thaw computes only the maxima
    (docs/performance.md).
    """
    if x.device.type != "cpu" or (x.requires_grad and torch.is_grad_enabled()):
        return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
    # [N, height, width, C] is the order in memory, so that slices consist of contiguous parts.
    return _halve(_halve(x.permute(0, 2, 3, 1), 1), 2).permute(0, 3, 1, 2)


def _halve(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Return the maximum of each even element along an axis and its odd neighbors."""
    before = (slice(None),) * axis
    even, odd = x[*before, 0::2], x[*before, 1::2]
    num_even, num_odd = even.shape[axis], odd.shape[axis]
    if num_even == num_odd:
        maxima = torch.maximum(even, odd)
    else:  # the last element has no neighbor after it
        maxima = even.clone()
        first = maxima.narrow(axis, 0, num_odd)
        torch.maximum(first, odd, out=first)
    rest = maxima.narrow(axis, 1, num_even - 1)
    torch.maximum(rest, odd.narrow(axis, 0, num_even - 1), out=rest)
    return maxima
