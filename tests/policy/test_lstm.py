from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from thaw.policy.lstm import LSTM, _Recurrence


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


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
