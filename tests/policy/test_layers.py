from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from thaw.config.agent import AgentConfig
from thaw.policy.embeddings import build_embedding, impala_shallow
from thaw.policy.layers import halve
from thaw.policy.policy import Policy

CATCH = (120, 80, 3)


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(256, shape, generator=draw, dtype=torch.uint8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(84, 84), (21, 42), (11, 1), (1, 2), (2, 3)])
def test_halving_is_max_pooling_with_and_without_a_gradient(
    size: tuple[int, int], dtype: torch.dtype
) -> None:
    x = torch.randn(5, 3, *size).to(dtype).contiguous(memory_format=torch.channels_last)
    expected = F.max_pool2d(x, 3, stride=2, padding=1)
    assert torch.equal(halve(x), expected)
    assert torch.equal(halve(x.requires_grad_()), expected)
    with torch.no_grad():
        assert torch.equal(halve(x), expected)


def test_bytes_are_pixels_and_other_numbers_are_taken_as_they_are() -> None:
    network = impala_shallow((36, 36, 3), 8)
    pictures = images(2, 36, 36, 3)
    with torch.no_grad():
        np.testing.assert_allclose(network(pictures), network(pictures.float() / 255), rtol=1e-5)
        assert not torch.allclose(network(pictures), network(pictures.float()))


@pytest.mark.parametrize("name", ["mlp", "impala_deep"])
def test_bytes_are_scaled_and_floats_taken_as_they_are(name: str) -> None:
    torch.manual_seed(0)
    embedding = build_embedding(AgentConfig(embedding=name, embedding_size=8), (9, 8, 2))
    pixels = torch.randint(256, (4, 9, 8, 2), dtype=torch.uint8)
    torch.testing.assert_close(embedding(pixels), embedding(pixels.float() / 255))
    assert not torch.allclose(embedding(pixels), embedding(pixels.float()))


def test_weights_start_with_a_variance_of_one_over_their_inputs_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    policy = Policy(CATCH, 54)
    for name, parameter in policy.named_parameters():
        if name.startswith("head.lstm."):
            # As torch's own: uniform between -1/16 and 1/16 for 256 units.
            assert 0.99 / 16 < parameter.abs().max() <= 1 / 16
        elif name.endswith("bias"):
            assert not parameter.any(), name
        else:
            std = parameter[0].numel() ** -0.5
            assert parameter.abs().max() <= 2 * std, name  # cut off there, which leaves 0.88 std
            assert parameter.std().item() == pytest.approx(0.88 * std, rel=0.2), name
