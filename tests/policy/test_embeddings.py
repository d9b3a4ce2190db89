from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.policy.embeddings import ConvEmbedding, build_embedding, impala_deep, impala_shallow
from thaw.policy.head import RecurrentHead
from thaw.policy.layers import halve
from thaw.policy.lstm import LSTM, _Recurrence
from thaw.policy.policy import Policy

ATARI, CATCH = (84, 84, 4), (120, 80, 3)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(256, shape, generator=draw, dtype=torch.uint8)


# ---------------------------------------------------------------------------- parameter counts


@pytest.mark.parametrize(
    ("shape", "num_actions", "total"),
    [
        (ATARI, 18, 1_704_675),
        (CATCH, 54, 1_988_215),
        (CATCH, 56, 1_990_777),
        (CATCH, 108, 2_057_389),
        (CATCH, 162, 2_126_563),
    ],
)
def test_parameters_of_the_whole_policy(
    shape: tuple[int, ...], num_actions: int, total: int
) -> None:
    assert count(Policy(shape, num_actions, AgentConfig(embedding="impala_deep"))) == total


@pytest.mark.parametrize(("fc_size", "total"), [(128, 1_669_347), (512, 1_775_331)])
def test_parameters_with_another_added_layer(fc_size: int, total: int) -> None:
    assert count(Policy(ATARI, 18, AgentConfig(fc_size=fc_size))) == total


def test_parameters_without_last_action_and_reward() -> None:
    config = AgentConfig(last_action_input=False, last_reward_input=False)
    assert count(Policy(ATARI, 18, config)) == 1_685_219
    assert count(Policy(ATARI, 18, AgentConfig(last_reward_input=False))) == 1_704_675 - 4 * 256


def test_parameters_part_by_part() -> None:
    policy = Policy(ATARI, 18)
    assert isinstance(policy.embedding, ConvEmbedding)
    convolutions = [m for m in policy.embedding.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 15
    assert count(policy.embedding.sections) == 97_744
    assert count(policy.embedding.linear) == 991_488
    assert count(policy.embedding) == 1_089_232
    assert count(policy.head.lstm) == 544_768
    assert count(policy.head.fc) == 65_792
    assert count(policy.head.policy) == 4_626
    assert count(policy.head.value) == 257
    assert count(policy.head) == 615_443


@pytest.mark.parametrize(
    ("height", "width", "flat"), [(84, 84, 3872), (120, 80, 4800), (30, 20, 4 * 3 * 32)]
)
def test_each_section_halves_the_image_rounding_up(height: int, width: int, flat: int) -> None:
    assert impala_deep((height, width, 3), 256).linear.in_features == flat


# ----------------------------------------------------------------------------- the embeddings


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


def test_bytes_are_pixels_and_other_numbers_are_taken_as_they_are() -> None:
    network = impala_shallow((36, 36, 3), 8)
    pictures = images(2, 36, 36, 3)
    with torch.no_grad():
        np.testing.assert_allclose(network(pictures), network(pictures.float() / 255), rtol=1e-5)
        assert not torch.allclose(network(pictures), network(pictures.float()))


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


def test_an_unknown_embedding_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="unknown embedding 'impala_dep'; did you mean 'impala_d"):
        build_embedding("impala_dep", CATCH, 256)


def test_an_embedding_of_the_user_s_own_is_found_by_address() -> None:
    embedding = build_embedding("user_embedding:batch_norm", (4, 4, 3), 16)
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
        build_embedding(address, (4, 4, 3), 16)


def test_images_that_are_too_small_or_no_images_are_refused() -> None:
    with pytest.raises(InputError, match="images of 15x10 are too small"):
        impala_shallow((15, 10, 3), 16)
    with pytest.raises(InputError, match=r"not observations of shape \[7\]"):
        impala_deep((7,), 16)


# --------------------------------------------------------------------------------------- LSTM


def plain_lstm(
    inputs: torch.Tensor,
    keep: torch.Tensor,
    hidden: torch.Tensor,
    cell: torch.Tensor,
    weight_input: torch.Tensor,
    weight_hidden: torch.Tensor,
    bias: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The textbook's loop, for autograd to differentiate."""
    outputs = []
    for x, k in zip(inputs, keep, strict=True):
        hidden, cell = hidden * k, cell * k
        i, f, g, o = (x @ weight_input.t() + bias + hidden @ weight_hidden.t()).chunk(4, dim=-1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        hidden = o.sigmoid() * cell.tanh()
        outputs.append(hidden)
    return torch.stack(outputs), hidden, cell


def lstm_and_data() -> tuple[LSTM, torch.Tensor, torch.Tensor, torch.Tensor]:
    """An LSTM of size 4, inputs [7, 3, 5], first [7, 3] and a state, in double precision."""
    torch.manual_seed(0)
    lstm = LSTM(5, 4).double()
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.mul_(2)  # away from where everything is linear
    first = torch.zeros(7, 3, dtype=torch.bool)
    first[0, 1] = first[3, 0] = first[3, 2] = first[4, 2] = first[6, 1] = True
    inputs = randn(7, 3, 5, seed=1, dtype=torch.float64)
    return lstm, inputs, first, randn(2, 3, 4, seed=2, dtype=torch.float64)


def test_equals_torch_where_nothing_resets() -> None:
    lstm, inputs, first, state = lstm_and_data()
    reference = nn.LSTM(5, 4).double()
    weights = {
        "weight_ih_l0": lstm.weight_input,
        "weight_hh_l0": lstm.weight_hidden,
        "bias_ih_l0": lstm.bias,
        "bias_hh_l0": torch.zeros_like(lstm.bias),
    }
    reference.load_state_dict({name: tensor.detach() for name, tensor in weights.items()})
    outputs, end = lstm(inputs, torch.zeros_like(first), state)
    expected, (hidden, cell) = reference(inputs, (state[0:1], state[1:2]))
    np.testing.assert_allclose(outputs.detach(), expected.detach(), rtol=1e-12)
    np.testing.assert_allclose(end.detach(), torch.cat((hidden, cell)).detach(), rtol=1e-12)


def test_resets_where_an_episode_starts() -> None:
    lstm, inputs, first, state = lstm_and_data()
    outputs, end = lstm(inputs, first, state)
    # Environment 0 starts an episode at entry 3: from there on as with nothing before.
    start = torch.zeros(4, 1, dtype=torch.bool)
    fresh, fresh_end = lstm(inputs[3:, :1], start, torch.zeros_like(state[:, :1]))
    np.testing.assert_allclose(outputs[3:, :1].detach(), fresh.detach(), rtol=1e-12)
    np.testing.assert_allclose(end[:, :1].detach(), fresh_end.detach(), rtol=1e-12)
    # And before it, as if no episode had started.
    other, _ = lstm(inputs[:3, :1], torch.zeros(3, 1, dtype=torch.bool), state[:, :1])
    np.testing.assert_allclose(outputs[:3, :1].detach(), other.detach(), rtol=1e-12)


def test_in_pieces_equals_in_one() -> None:
    lstm, inputs, first, state = lstm_and_data()
    whole, end = lstm(inputs, first, state)
    pieces = []
    for t in range(len(inputs)):
        output, state = lstm(inputs[t : t + 1], first[t : t + 1], state)
        pieces.append(output)
    np.testing.assert_allclose(torch.cat(pieces).detach(), whole.detach(), rtol=1e-12)
    np.testing.assert_allclose(state.detach(), end.detach(), rtol=1e-12)


def test_gradient_equals_autograd_of_the_plain_loop() -> None:
    lstm, inputs, first, state = lstm_and_data()
    inputs.requires_grad_()
    keep = (~first).double().unsqueeze(-1)
    weights = [lstm.weight_input, lstm.weight_hidden, lstm.bias]
    outputs, _ = lstm(inputs, first, state)
    expected, _, _ = plain_lstm(inputs, keep, state[0], state[1], *weights)
    np.testing.assert_allclose(outputs.detach(), expected.detach(), rtol=1e-12)
    loss_weights = randn(*outputs.shape, seed=1, dtype=torch.float64)
    ours = torch.autograd.grad((outputs * loss_weights).sum(), [inputs, *weights])
    theirs = torch.autograd.grad((expected * loss_weights).sum(), [inputs, *weights])
    for name, g, reference in zip(
        ("inputs", "weight_input", "weight_hidden", "bias"), ours, theirs, strict=True
    ):
        np.testing.assert_allclose(g, reference, rtol=1e-9, atol=1e-12, err_msg=name)


def test_gradient_passes_gradcheck() -> None:
    _, _, first, state = lstm_and_data()
    keep = (~first).double().unsqueeze(-1)
    projected = randn(7, 3, 16, seed=3, dtype=torch.float64).requires_grad_()
    weight_hidden = randn(16, 4, seed=4, dtype=torch.float64).requires_grad_()

    def outputs(projected: torch.Tensor, weight_hidden: torch.Tensor) -> torch.Tensor:
        recurrence: Any = _Recurrence
        hiddens: torch.Tensor = recurrence.apply(projected, weight_hidden, keep, *state)[0]
        return hiddens

    assert torch.autograd.gradcheck(outputs, (projected, weight_hidden))


def test_frozen_recurrent_weights_get_no_gradient_and_the_inputs_still_do() -> None:
    lstm, inputs, first, state = lstm_and_data()
    inputs.requires_grad_()
    expected = torch.autograd.grad(lstm(inputs, first, state)[0].sum(), inputs)[0]
    lstm.requires_grad_(False)
    torch.autograd.backward(lstm(inputs, first, state)[0].sum())
    assert lstm.weight_hidden.grad is None
    assert inputs.grad is not None
    assert torch.equal(inputs.grad, expected)


# --------------------------------------------------------------------------------------- head


def test_head_is_lstm_then_one_layer_then_policy_and_value() -> None:
    torch.manual_seed(0)
    head = RecurrentHead(
        6, 3, lstm_size=4, fc_size=5, last_action_input=True, last_reward_input=True
    )
    embeddings, state = randn(2, 3, 6), randn(2, 3, 4)
    first = torch.tensor([[False, True, False], [False, False, True]])
    last_actions = torch.tensor([[0, 1, 2], [2, 2, 0]])
    last_rewards = torch.tensor([[0.5, 7.0, -3.0], [2.0, -0.25, 0.75]])
    logits, values, end = head(embeddings, first, last_actions, last_rewards, state)
    # [embedding, reward clipped to [-1, 1], one-hot action]; zeros where an episode starts.
    before = torch.tensor(
        [
            [[0.5, 1, 0, 0], [0, 0, 0, 0], [-1, 0, 0, 1]],
            [[1, 0, 0, 1], [-0.25, 0, 0, 1], [0, 0, 0, 0]],
        ]
    )
    core, expected_end = head.lstm(torch.cat((embeddings, before), dim=-1), first, state)
    features = F.relu(core @ head.fc.weight.t() + head.fc.bias)
    np.testing.assert_allclose(
        logits.detach(), (features @ head.policy.weight.t() + head.policy.bias).detach(), rtol=1e-5
    )
    np.testing.assert_allclose(
        values.detach(), (features @ head.value.weight[0] + head.value.bias).detach(), rtol=1e-5
    )
    assert torch.equal(end, expected_end)


@pytest.mark.parametrize("last_action_input", [False, True])
@pytest.mark.parametrize("last_reward_input", [False, True])
def test_head_sees_last_action_and_reward_only_where_told(
    last_action_input: bool, last_reward_input: bool
) -> None:
    torch.manual_seed(0)
    head = RecurrentHead(
        6, 3, lstm_size=4, fc_size=5,
        last_action_input=last_action_input, last_reward_input=last_reward_input,
    )  # fmt: skip
    embeddings, state, first = randn(1, 1, 6), randn(2, 1, 4), torch.zeros(1, 1, dtype=torch.bool)

    def logits(action: int, reward: float) -> torch.Tensor:
        out: torch.Tensor = head(
            embeddings, first, torch.tensor([[action]]), torch.tensor([[reward]]), state
        )[0]
        return out

    assert torch.equal(logits(0, 0.0), logits(1, 0.0)) == (not last_action_input)
    assert torch.equal(logits(0, 0.0), logits(0, 0.5)) == (not last_reward_input)


def test_what_came_before_an_episode_does_not_matter() -> None:
    torch.manual_seed(0)
    head = RecurrentHead(
        6, 3, lstm_size=4, fc_size=5, last_action_input=True, last_reward_input=True
    )
    first = torch.ones(1, 2, dtype=torch.bool)
    logits, _, _ = head(
        randn(1, 1, 6).expand(1, 2, 6), first, torch.tensor([[0, 2]]),
        torch.tensor([[0.0, 9.0]]), randn(2, 2, 4),
    )  # fmt: skip
    assert torch.equal(logits[0, 0], logits[0, 1])
