"""Embeddings: networks that map an observation to D numbers.

``N`` is the number of observations; see :mod:`thaw.policy.trajectory` for the other letters.
Observations are as the environment returned them: images have channels last, pixels are uint8.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn import functional as F

from thaw.config.agent import TIMM, AgentConfig, check_network_names
from thaw.config.errors import InputError
from thaw.config.user_code import call_by_name
from thaw.policy.branches import BranchedImageEmbedding, BranchedVectorEmbedding, Flatten, half_of
from thaw.policy.layers import as_numbers, halve, initialize
from thaw.policy.timm_embedding import timm_embedding


class ResidualBlock(nn.Module):
    """Two pre-activated 3x3 convolutions with a skip connection (IMPALA, figure 3, right)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, C, height, width] to the same shape."""
        residual: torch.Tensor = self.conv1(F.relu(self.conv0(F.relu(x))))
        return x + residual


class Section(nn.Module):
    """Convolution, pooling to half the size (rounded up), two residual blocks."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel_size=3, padding=1)
        self.block0 = ResidualBlock(channels)
        self.block1 = ResidualBlock(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, C, height, width] to [N, channels, ceil(height / 2), ceil(width / 2)]."""
        y: torch.Tensor = self.block1(self.block0(halve(self.conv(x))))
        return y


def shape_after(module: nn.Module, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the shape (channels, height, width) of a module's output for images of a shape.

    It is computed without running the module, because a checkpoint's network is first built
    without memory for its numbers. A size is below 1 where the images are too small.
    """
    _, *sides = shape
    match module:
        case Section():
            height, width = ((side + 1) // 2 for side in sides)
            return module.conv.out_channels, height, width
        case nn.Conv2d(kernel_size=kernels, stride=strides):
            height, width = (
                (side - kernel) // stride + 1
                for side, kernel, stride in zip(sides, kernels, strides, strict=True)
            )
            return module.out_channels, height, width
        case _:
            return shape


class ConvEmbedding(nn.Module):
    """A convolutional stack, then ReLU, one linear layer and ReLU."""

    def __init__(
        self, observation_shape: tuple[int, ...], embedding_size: int, *sections: nn.Module
    ) -> None:
        super().__init__()
        if len(observation_shape) != 3:
            raise InputError(
                f"a convolutional embedding needs images [height, width, channels], not "
                f"observations of shape {list(observation_shape)}; for vectors use "
                "--set agent.embedding=mlp"
            )
        height, width, channels = observation_shape
        self.sections = nn.Sequential(*sections)
        shape = (channels, height, width)
        for module in sections:
            shape = shape_after(module, shape)
        if min(shape) < 1:
            raise InputError(
                f"images of {height}x{width} are too small for this embedding; "
                "use impala_deep or a smaller downsample"
            )
        self.linear = nn.Linear(math.prod(shape), embedding_size)
        initialize(*self.modules())
        for convolution in self.modules():
            if isinstance(convolution, nn.Conv2d):
                weight = convolution.weight.data.contiguous(memory_format=torch.channels_last)
                convolution.weight.data = weight

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images [N, height, width, channels] to [N, D]."""
        # Permuted to N, C, H, W, images with channels last already have channels_last strides.
        x = as_numbers(images.permute(0, 3, 1, 2), self.linear.weight.dtype)
        x = F.relu(self.sections(x))
        return F.relu(self.linear(x.flatten(1)))


def impala_deep(observation_shape: tuple[int, ...], embedding_size: int) -> ConvEmbedding:
    """Build the 15-convolution residual network (IMPALA, figure 3, right)."""
    channels = observation_shape[-1]
    return ConvEmbedding(
        observation_shape, embedding_size, Section(channels, 16), Section(16, 32), Section(32, 32)
    )


def impala_shallow(observation_shape: tuple[int, ...], embedding_size: int) -> ConvEmbedding:
    """Build the two-convolution network (IMPALA, figure 3, left)."""
    return ConvEmbedding(
        observation_shape,
        embedding_size,
        nn.Conv2d(observation_shape[-1], 16, kernel_size=8, stride=4),
        nn.ReLU(),
        nn.Conv2d(16, 32, kernel_size=4, stride=2),
    )


def nature(observation_shape: tuple[int, ...], embedding_size: int) -> ConvEmbedding:
    """Build the three-convolution network of Mnih et al. 2015 (Nature 518, Methods).

    Its linear layer had 512 units; stacked frames are channels, oldest first.
    """
    return ConvEmbedding(
        observation_shape,
        embedding_size,
        nn.Conv2d(observation_shape[-1], 32, kernel_size=8, stride=4),
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=4, stride=2),
        nn.ReLU(),
        nn.Conv2d(64, 64, kernel_size=3, stride=1),
    )


class MLPEmbedding(nn.Module):
    """Two hidden layers of 64 and an output layer, each with ReLU, over flattened numbers."""

    HIDDEN_SIZE = 64

    def __init__(self, observation_shape: tuple[int, ...], embedding_size: int) -> None:
        super().__init__()
        self.linear0 = nn.Linear(math.prod(observation_shape), self.HIDDEN_SIZE)
        self.linear1 = nn.Linear(self.HIDDEN_SIZE, self.HIDDEN_SIZE)
        self.linear2 = nn.Linear(self.HIDDEN_SIZE, embedding_size)
        initialize(*self.modules())

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Map observations [N, ...] to [N, D]."""
        x = as_numbers(observations.flatten(1), self.linear0.weight.dtype)
        x = F.relu(self.linear1(F.relu(self.linear0(x))))
        return F.relu(self.linear2(x))


EMBEDDINGS: Mapping[str, Callable[[tuple[int, ...], int], nn.Module]] = {
    "impala_deep": impala_deep,
    "impala_shallow": impala_shallow,
    "nature": nature,
    "mlp": MLPEmbedding,
}
"""Those that shape and width describe completely."""


def build_embedding(config: AgentConfig, observation_shape: tuple[int, ...]) -> nn.Module:
    """Build a built-in embedding, or call ``module:function(observation_shape, embedding_size)``.

    Args:
        config: Its ``embedding`` is the name; ``embedding_size`` and ``branches`` are used too.
        observation_shape: Of one observation; images are [height, width, channels].

    Raises:
        InputError: Unknown name, a network that does not fit the observations, or the function
            returned no torch module.
    """
    check_network_names(config)
    name, size = config.embedding, config.embedding_size
    if name in EMBEDDINGS:
        return EMBEDDINGS[name](observation_shape, size)
    match name:
        case "flatten":
            return Flatten(observation_shape, config)
        case "mlp_branches":
            return BranchedVectorEmbedding(observation_shape, config)
        case "nature_branches":
            half = half_of(config)
            halves = (nature(observation_shape, half), nature(observation_shape, half))
            return BranchedImageEmbedding(*halves)
    if name.startswith(TIMM):
        return timm_embedding(config, observation_shape)
    embedding = call_by_name(name, observation_shape, size)
    if not isinstance(embedding, nn.Module):
        raise InputError(f"embedding '{name}' returned {type(embedding).__name__}, no nn.Module")
    return embedding
