"""A network in the two parts that update rules speak of, and what of it is frozen now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

import torch
from torch import nn

from thaw.config.parts import Network
from thaw.config.update_rule import PartRule

NORMS = (
    nn.modules.batchnorm._NormBase,  # batch and instance normalization
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)
"""Layers that ``embedding[norms]`` stands for in an update rule."""


class TwoParts(nn.Module):
    """A network whose tensors are named ``embedding.*`` and ``head.*``."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen: frozenset[str] = frozenset()
        """Names of the parameters and buffers that may not change now; set by
        ``apply_update_rule``, and wherever a part begins or ends to train."""
        self.part_rules: Mapping[str, PartRule] = {}
        """By name of parameter or buffer; set by ``apply_update_rule``, else everything trains."""
        self.anchors: dict[str, torch.Tensor] = {}
        """The source's weights, by name, of the parameters that are drawn to them (``pull``)."""

    def parts(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield all parameters and buffers by dotted name."""
        yield from self.named_parameters()
        yield from self.named_buffers()

    def frozen_at(self, steps: int) -> frozenset[str]:
        """Return what may not change in an update whose batch begins after ``steps`` decisions."""
        return frozenset(n for n, rule in self.part_rules.items() if not rule.trains_at(steps))

    def network(self) -> Network:
        """Return the names of the tensors, as update rules need them."""
        norms = [
            name
            for name, module in self.named_modules()
            if isinstance(module, NORMS) and name.startswith("embedding.")
        ]
        return Network(
            tuple(name for name, _ in self.parts()),
            tuple(name for name, _ in self.named_parameters()),
            tuple(
                norm for norm in norms if any(True for _ in self.get_submodule(norm).parameters())
            ),
        )

    def train(self, mode: bool = True) -> Self:
        """Switch training mode; modules that hold frozen tensors stay in evaluation mode."""
        super().train(mode)
        for module in self.frozen_modules():
            module.training = False
        return self

    def refresh_mode(self) -> None:
        """Bring every module into the mode that it has now; called where ``frozen`` changes."""
        self.train(self.training)

    def frozen_modules(self) -> Iterator[nn.Module]:
        """Yield the modules that hold frozen tensors themselves, and all that is wholly frozen.

        What a wholly frozen module contains follows it, also what has no tensors, as dropout.
        """
        for name, module in self.named_modules():
            tensors = [*module.named_parameters(), *module.named_buffers()]
            below = [f"{name}.{tensor_name}" in self.frozen for tensor_name, _ in tensors]
            if name and below and all(below):
                yield from module.modules()
            own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
            if any(f"{name}.{tensor_name}" in self.frozen for tensor_name, _ in own):
                yield module
