"""Train Catch with your own embedding, then transfer the policy with that embedding frozen.

    python examples/your_own_embedding.py

It takes a minute on one core. `thaw run --trust-code` does the same with a suite file that has
``agent: {embedding: "your_own_embedding:small_convolutions"}``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import nn

import thaw


class SmallConvolutions(nn.Module):
    """Three convolutions with normalization, an average over the image, one linear layer."""

    def __init__(self, channels: int, embedding_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 16, 5, stride=2),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.LazyLinear(embedding_size),
            nn.ReLU(),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map uint8 images [N, height, width, channels] to [N, embedding_size]."""
        embeddings: torch.Tensor = self.layers(images.permute(0, 3, 1, 2).float() / 255)
        return embeddings


def small_convolutions(observation_shape: tuple[int, ...], embedding_size: int) -> nn.Module:
    """Build the embedding; thaw calls this function."""
    embedding = SmallConvolutions(observation_shape[-1], embedding_size).eval()
    embedding(torch.zeros(1, *observation_shape, dtype=torch.uint8))  # sets LazyLinear's size
    return embedding


def main() -> None:
    """Run a tiny suite and print its scores."""
    suite = thaw.Suite(
        name="own-embedding",
        transfers=(
            thaw.Transfer(source=thaw.Flavor("catch"), target=thaw.Flavor("catch@red_background")),
        ),
        conditions=("scratch", "freeze_embedding", "freeze_all"),
        seeds=1,
        pretrain_steps=10_000,
        transfer_steps=5_000,
        environment={"downsample": 8, "frames_per_step": 8, "num_envs": 16},
        agent=thaw.AgentConfig(
            embedding="your_own_embedding:small_convolutions", lstm_size=64, fc_size=64
        ),
    )
    with tempfile.TemporaryDirectory() as folder:
        thaw.run(suite, Path(folder) / "suite")
        print(thaw.load_results(Path(folder) / "suite").scores[["key", "mean_return"]])


if __name__ == "__main__":
    main()
