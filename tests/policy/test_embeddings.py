from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thaw.config.agent import EMBEDDING_NAMES, AgentConfig, Branches
from thaw.config.errors import InputError
from thaw.policy.branches import BranchedImageEmbedding
from thaw.policy.embeddings import (
    EMBEDDINGS,
    ConvEmbedding,
    MLPEmbedding,
    build_embedding,
    impala_deep,
    impala_shallow,
    nature,
)

CATCH = (120, 80, 3)


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(256, shape, generator=draw, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("height", "width", "flat"), [(84, 84, 3872), (120, 80, 4800), (30, 20, 4 * 3 * 32)]
)
def test_each_section_halves_the_image_rounding_up(height: int, width: int, flat: int) -> None:
    assert impala_deep((height, width, 3), 256).linear.in_features == flat


def convolved(weights: Mapping[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)


def with_biases(network: ConvEmbedding) -> ConvEmbedding:
    """Biases start at 0, where a missing one would not show."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-0.3, 0.3)
    return network


def test_impala_deep_is_figure_3_right() -> None:
    torch.manual_seed(0)
    network = with_biases(impala_deep((20, 30, 3), 16))
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    pictures = images(4, 20, 30, 3)
    x = pictures.permute(0, 3, 1, 2).float().contiguous() / 255
    for section in ("sections.0", "sections.1", "sections.2"):
        x = F.max_pool2d(convolved(weights, f"{section}.conv", x), 3, stride=2, padding=1)
        for block in ("block0", "block1"):
            y = convolved(weights, f"{section}.{block}.conv0", F.relu(x))
            x = x + convolved(weights, f"{section}.{block}.conv1", F.relu(y))
    x = F.relu(x).flatten(1) @ weights["linear.weight"].t() + weights["linear.bias"]
    assert (x < 0).any(), "the last ReLU must matter"
    with torch.no_grad():
        np.testing.assert_allclose(network(pictures), F.relu(x), rtol=1e-4, atol=1e-5)


def test_impala_shallow_is_figure_3_left() -> None:
    torch.manual_seed(0)
    network = with_biases(impala_shallow((36, 44, 3), 16))
    weights = network.state_dict()
    pictures = images(4, 36, 44, 3)
    x = pictures.permute(0, 3, 1, 2).float() / 255
    x = F.relu(F.conv2d(x, weights["sections.0.weight"], weights["sections.0.bias"], stride=4))
    x = F.relu(F.conv2d(x, weights["sections.2.weight"], weights["sections.2.bias"], stride=2))
    x = F.relu(x.flatten(1) @ weights["linear.weight"].t() + weights["linear.bias"])
    with torch.no_grad():
        np.testing.assert_allclose(network(pictures), x, rtol=1e-4, atol=1e-5)


def test_nature_is_the_network_of_mnih_2015() -> None:
    torch.manual_seed(0)
    network = with_biases(nature((84, 84, 4), 16))
    assert network.linear.in_features == 64 * 7 * 7
    weights = network.state_dict()
    pictures = images(2, 84, 84, 4)
    x = pictures.permute(0, 3, 1, 2).float() / 255
    for layer, stride in (("0", 4), ("2", 2), ("4", 1)):
        layers = (weights[f"sections.{layer}.weight"], weights[f"sections.{layer}.bias"])
        x = F.relu(F.conv2d(x, *layers, stride=stride))
    x = F.relu(x.flatten(1) @ weights["linear.weight"].t() + weights["linear.bias"])
    with torch.no_grad():
        np.testing.assert_allclose(network(pictures), x, rtol=1e-4, atol=1e-5)


def test_the_layers_of_two_branches_are_side_by_side() -> None:
    agent = AgentConfig(
        embedding="mlp_branches", embedding_size=12, branches=Branches(policy=(3,), value=(4, 9))
    )
    embedding = build_embedding(agent, (2, 3))
    parameters = dict(embedding.named_parameters())
    x = torch.linspace(-1, 1, 12).reshape(2, 2, 3)
    branches = []
    for layers in (["0.policy"], ["0.value", "1.value"]):
        branch = x.flatten(1)
        for layer in layers:
            weights = [parameters[f"layers.{layer}.{name}"] for name in ("weight", "bias")]
            branch = torch.tanh(F.linear(branch, *weights))
        branches.append(branch)
    torch.testing.assert_close(embedding(x), torch.cat(branches, dim=-1))
    two = AgentConfig(embedding="nature_branches", embedding_size=8)
    pair = build_embedding(two, (84, 84, 1))
    assert isinstance(pair, BranchedImageEmbedding)
    pictures = images(2, 84, 84, 1)
    both = torch.cat([pair.branches["policy"](pictures), pair.branches["value"](pictures)], dim=-1)
    assert torch.equal(pair(pictures), both)
    flat = build_embedding(AgentConfig(embedding="flatten", embedding_size=6), (2, 3))
    assert torch.equal(flat(x), x.flatten(1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"embedding": "flatten"}, "'flatten' is 6 wide, as the observation says.*set it to 6"),
        ({"embedding": "mlp_branches"}, "is 128 wide, as agent.branches says.*set it to 128"),
        (
            {"embedding": "mlp_branches", "branches": Branches(policy=(), value=())},
            "the hidden layers of policy and value, and there are none",
        ),
    ],
)
def test_widths_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_embedding(AgentConfig(**settings), (2, 3))


def test_an_unknown_embedding_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="unknown embedding 'impala_dep'; did you mean 'impala_d"):
        build_embedding(AgentConfig(embedding="impala_dep", embedding_size=256), CATCH)


def test_the_names_are_those_that_can_be_made() -> None:
    assert set(EMBEDDINGS) < set(EMBEDDING_NAMES)
    for name in EMBEDDING_NAMES:
        size = 12 if name == "flatten" else 128
        shape = CATCH if name in ("impala_deep", "impala_shallow") else (2, 6)
        shape = (84, 84, 4) if name.startswith("nature") else shape
        config = AgentConfig(embedding=name, embedding_size=size)
        assert isinstance(build_embedding(config, shape), nn.Module)


def test_an_embedding_of_the_user_s_own_is_found_by_address() -> None:
    embedding = build_embedding(
        AgentConfig(embedding="user_embedding:batch_norm", embedding_size=16), (4, 4, 3)
    )
    assert embedding(images(5, 4, 4, 3)).shape == (5, 16)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("user_embedding:not_a_module", "returned str, no nn.Module"),
        ("user_embedding:missing", "is not module:function"),
        ("no_such_module:function", "is not module:function"),
    ],
)
def test_a_wrong_address_is_refused(address: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_embedding(AgentConfig(embedding=address, embedding_size=16), (4, 4, 3))


def test_images_that_are_too_small_or_no_images_are_refused() -> None:
    with pytest.raises(InputError, match="images of 15x10 are too small"):
        impala_shallow((15, 10, 3), 16)
    with pytest.raises(InputError, match=r"not observations of shape \[7\]"):
        impala_deep((7,), 16)


def test_two_hidden_layers_of_64_and_an_output_with_relus() -> None:
    embedding = MLPEmbedding((3,), 16)
    parameters = dict(embedding.named_parameters())
    inputs = torch.linspace(-1, 1, 15).reshape(5, 3)
    expected = inputs
    for layer in ("linear0", "linear1", "linear2"):
        expected = F.linear(expected, parameters[f"{layer}.weight"], parameters[f"{layer}.bias"])
        expected = expected.clamp(min=0)
    torch.testing.assert_close(embedding(inputs), expected)
    assert [tuple(p.shape) for n, p in parameters.items() if n.endswith("weight")] == [
        (64, 3), (64, 64), (16, 64)
    ]  # fmt: skip


def test_any_shape_is_flattened() -> None:
    embedding = build_embedding(AgentConfig(embedding="mlp", embedding_size=8), (7, 7, 20))
    assert embedding(torch.zeros(3, 7, 7, 20, dtype=torch.uint8)).shape == (3, 8)


@pytest.mark.parametrize("shape", [(7, 7, 20), (64, 64, 1), (33, 51, 12), (5, 1, 2)])
def test_a_convolutional_embedding_takes_any_size_and_number_of_channels(
    shape: tuple[int, ...],
) -> None:
    embedding = impala_deep(shape, 8)
    assert embedding(torch.zeros(2, *shape)).shape == (2, 8)


@pytest.mark.parametrize("name", ["impala_deep", "impala_shallow"])
def test_a_convolutional_embedding_names_the_one_for_vectors(name: str) -> None:
    with pytest.raises(InputError, match=r"shape \[4\].*--set agent.embedding=mlp"):
        build_embedding(AgentConfig(embedding=name, embedding_size=8), (4,))
