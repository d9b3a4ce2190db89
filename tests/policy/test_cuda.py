"""Replayed work is the work itself: here on a CPU, where it is called each time."""

from __future__ import annotations

import torch

from thaw.policy.cuda import Replayed


def test_it_works_on_the_same_memory_in_every_call() -> None:
    inputs, total = torch.zeros(3), torch.zeros(3)

    def add() -> torch.Tensor:
        return total.add_(inputs)

    replayed = Replayed(add, torch.device("cpu"))
    for number in range(6):
        inputs.fill_(number)
        assert replayed() is total
    assert total.tolist() == [15.0] * 3
    assert replayed.graph is None
