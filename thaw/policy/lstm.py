"""An LSTM whose state is reset where an episode starts.

T, B, H as in :mod:`thaw.policy.trajectory`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F


class LSTM(nn.Module):
    """One LSTM layer whose state is reset where an episode starts.

    ``nn.LSTM`` cannot reset inside a sequence. All inputs are projected by one matrix product;
    only the recurrence is a loop. There is one bias, because the second one of ``nn.LSTM`` is
    redundant.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.weight_input = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hidden = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(4 * hidden_size))
        for parameter in self.parameters():  # as nn.LSTM does
            nn.init.uniform_(parameter, -1 / math.sqrt(hidden_size), 1 / math.sqrt(hidden_size))

    def forward(
        self, inputs: torch.Tensor, first: torch.Tensor, state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Unroll.

        Args:
            inputs: [T, B, I] float32.
            first: [T, B] bool; where it is True, the state is set to zero before that entry.
            state: [2, B, H] float32, (h, c) before entry 0.

        Returns:
            Outputs [T, B, H] and the state [2, B, H] after the last entry.
        """
        projected = F.linear(inputs, self.weight_input, self.bias)
        keep = (~first).to(inputs.dtype).unsqueeze(-1)
        # PyTorch gives its autograd functions no types.
        recur: Callable[..., tuple[torch.Tensor, torch.Tensor]] = cast(Any, _Recurrence).apply
        hiddens, cells = recur(projected, self.weight_hidden, keep, *state)
        return hiddens, torch.stack((hiddens[-1], cells[-1]))


class _Recurrence(torch.autograd.Function):
    """The LSTM's recurrence and its gradient.

    Autograd would add up the gradient of the recurrent weights step by step; here it is one matrix
    product over all T steps.
    """

    @staticmethod
    def forward(
        ctx: Any,
        projected: torch.Tensor,
        weight_hidden: torch.Tensor,
        keep: torch.Tensor,
        hidden: torch.Tensor,
        cell: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Map projections [T, B, 4H], keep [T, B, 1], states [B, H] to h and c, each [T, B, H]."""
        steps, batch, _ = projected.shape
        recurrent = weight_hidden.t()
        hiddens = projected.new_empty(steps, batch, hidden.shape[-1])
        cells, gates = torch.empty_like(hiddens), torch.empty_like(projected)
        hiddens_before, cells_before = torch.empty_like(hiddens), torch.empty_like(hiddens)
        for t in range(steps):
            hidden = torch.mul(hidden, keep[t], out=hiddens_before[t])
            cell = torch.mul(cell, keep[t], out=cells_before[t])
            gates_t = torch.addmm(projected[t], hidden, recurrent, out=gates[t])
            in_gate, forget_gate, candidate, out_gate = gates_t.chunk(4, dim=-1)
            in_gate.sigmoid_()
            forget_gate.sigmoid_()
            candidate.tanh_()
            out_gate.sigmoid_()
            cell = torch.addcmul(forget_gate * cell, in_gate, candidate, out=cells[t])
            hidden = torch.mul(out_gate, cell.tanh(), out=hiddens[t])
        ctx.save_for_backward(weight_hidden, keep, gates, cells, hiddens_before, cells_before)
        ctx.mark_non_differentiable(cells)
        return hiddens, cells

    @staticmethod
    def backward(
        ctx: Any, hiddens_grad: torch.Tensor, cells_grad: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        """Go back in time; the state before the unroll gets no gradient."""
        del cells_grad
        weight_hidden, keep, gates, cells, hiddens_before, cells_before = ctx.saved_tensors
        in_gate, forget_gate, candidate, out_gate = gates.chunk(4, dim=-1)
        tanh_cells = cells.tanh()
        # Derivatives of cell and hidden state by each gate's pre-activation, for all steps at once.
        to_cell = torch.cat(
            (
                candidate * in_gate * (1 - in_gate),
                cells_before * forget_gate * (1 - forget_gate),
                in_gate * (1 - candidate.square()),
            ),
            dim=-1,
        )
        to_hidden = tanh_cells * out_gate * (1 - out_gate)
        cell_to_hidden = out_gate * (1 - tanh_cells.square())
        forget = forget_gate * keep
        projected_grad = torch.empty_like(gates)
        size = cells.shape[-1]
        hidden_grad = torch.zeros_like(cells[0])
        cell_grad = torch.zeros_like(cells[0])
        for t in range(len(gates) - 1, -1, -1):
            hidden_grad = hidden_grad + hiddens_grad[t]
            cell_grad = torch.addcmul(cell_grad, hidden_grad, cell_to_hidden[t])
            grad_t = projected_grad[t]
            torch.mul(
                to_cell[t].view(-1, 3, size),
                cell_grad.unsqueeze(1),
                out=grad_t[:, : 3 * size].view(-1, 3, size),
            )
            torch.mul(to_hidden[t], hidden_grad, out=grad_t[:, 3 * size :])
            hidden_grad = (grad_t @ weight_hidden) * keep[t]
            cell_grad = cell_grad * forget[t]
        weight_grad = None
        if ctx.needs_input_grad[1]:
            weight_grad = projected_grad.flatten(0, 1).t() @ hiddens_before.flatten(0, 1)
        return projected_grad, weight_grad, None, None, None
