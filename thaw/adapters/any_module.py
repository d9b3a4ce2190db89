"""Update rules for any PyTorch module, in a training loop that is not thaw's."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from thaw.adapters.module_parts import ModuleParts
from thaw.adapters.rates import TIMES
from thaw.config.errors import InputError
from thaw.config.parts import ROOTS
from thaw.config.update_rule import PartRule, UpdateRule
from thaw.policy.parts_table import part_rows, table_of
from thaw.policy.update_rules import FrozenParts, apply_update_rule

Source: TypeAlias = Mapping[str, torch.Tensor] | str | PathLike[str] | nn.Module


def apply_rule(
    module: nn.Module,
    rule: str,
    *,
    source: Source | None = None,
    parts: Mapping[str, Any] | None = None,
    steps: int | None = None,
) -> AppliedRule:
    """Let a module of any library follow an update rule, in place.

    This copies the source's weights, takes the gradient from frozen parts, and keeps their modules
    in evaluation mode, also when ``module.train()`` is called. Then give the parameter groups to
    your optimizer, call ``step`` before each batch if the rule has a schedule, and ``check`` at the
    end.

    Args:
        module: Newly built, and on its device: what the rule calls ``random`` keeps the weights
            that it has.
        rule: A named rule, or one in words.
        source: The pretrained policy: a module like this one, its state dict, or the path of a
            safetensors file. Names are those of this module.
        parts: Where the parts ``embedding`` and ``head`` are in the module, by dotted path, as in
            ``{"embedding": "network", "head": {"lstm": "lstm", "policy": "actor",
            "value": "critic"}}``. Rules that speak of ``head.policy`` or ``head.value`` need these
            names; else a list will do: ``"head": ["lstm", "actor", "critic"]``. By default the
            module has an ``embedding`` and a ``head``.
        steps: Of the whole training; needed if the rule speaks of shares of it, as in @25%.

    Raises:
        InputError: The parts are not in the module or leave out a tensor, the source has other
            tensors, the rule does not fit, or the module follows a rule already.
    """
    parsed = UpdateRule(rule)
    if parsed.teacher is not None or parsed.optimizer == "source":
        raise InputError(
            f"update rule '{parsed}': a teacher and optimizer=source exist in thaw's own runs "
            "only; leave them out"
        )
    view = ModuleParts(module, parts or {root: root for root in ROOTS})
    tensors = None if source is None else view.named_as_parts(_tensors(source))
    if tensors is not None:
        _check_is_new(view, parsed, tensors)
    applied = AppliedRule(view, parsed, apply_update_rule(view, parsed, tensors, steps=steps))
    view.follow_modes()
    return applied


class AppliedRule:
    """An update rule that a module follows; printed, it is the table of parts."""

    def __init__(self, view: ModuleParts, rule: UpdateRule, frozen: FrozenParts) -> None:
        """Made by :func:`apply_rule`."""
        self.rule = rule
        self._view = view
        self._frozen = frozen
        self._pulled: set[str] = set()
        self._pull()

    @property
    def parameter_groups(self) -> list[dict[str, Any]]:
        """For an optimizer of PyTorch: all parameters that train at any time of the training.

        A parameter that is frozen has no gradient, so optimizers pass it over, and it begins with
        fresh state. There is one group for each rate; where no rate is scaled, one without a key of
        thaw's. In every step each group's rate is the first group's, times the number of the rule.
        """
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self._view.named_parameters():
            if (rule := self._rules[name]).trains:
                groups.setdefault(rule.lr, []).append(parameter)
        if set(groups) <= {1.0}:
            return [{"params": groups.get(1.0, [])}]
        return [{"params": group, TIMES: times} for times, group in groups.items()]

    def step(self, steps: int) -> bool:
        """Let parts begin and end to train whose step has come; call it before each batch.

        Args:
            steps: Decisions of this training before the batch.

        Returns:
            Whether any did.

        Raises:
            RuntimeError: A tensor changed while it was frozen.
        """
        changed = self._frozen.advance(steps)
        self._pull()
        return changed

    def resume(self, steps: int) -> None:
        """Go on after ``steps`` decisions, with the weights of a checkpoint in the module.

        Raises:
            RuntimeError: A part that never trains differs from what it was.
        """
        self._frozen.resume(steps, {})
        self._pull()

    def check(self) -> None:
        """Check bit for bit that what is frozen has not changed.

        Raises:
            RuntimeError: A tensor has; the message names it.
        """
        self._frozen.check()

    def __str__(self) -> str:
        return table_of(part_rows(self._view, self._rules), None)

    @property
    def _rules(self) -> Mapping[str, PartRule]:
        return self._view.part_rules

    def _pull(self) -> None:
        """Let each backward pass add the gradient of ``pull / 2 * |w - w_source|^2``."""
        for name, parameter in self._view.named_parameters():
            if name in self._view.anchors and name not in self._pulled and parameter.requires_grad:
                anchor = self._view.anchors[name].to(parameter.device)
                register: Any = parameter.register_hook
                register(functools.partial(_pulled, parameter, anchor, self._rules[name].pull))
                self._pulled.add(name)


def _pulled(
    parameter: nn.Parameter, anchor: torch.Tensor, strength: float, gradient: torch.Tensor
) -> torch.Tensor:
    """Return a gradient with that of the pull."""
    return gradient.add(parameter.detach() - anchor, alpha=strength)


def _tensors(source: Source) -> Mapping[str, torch.Tensor]:
    """Return the source's tensors by its own names.

    Raises:
        InputError: It is none of the three, or no safetensors file.
    """
    if isinstance(source, nn.Module):
        named = [
            *source.named_parameters(remove_duplicate=False),
            *source.named_buffers(remove_duplicate=False),
        ]
        return {name: tensor.detach().clone() for name, tensor in named}
    if isinstance(source, Mapping):
        if not all(isinstance(tensor, torch.Tensor) for tensor in source.values()):
            raise InputError("the source is no state dict: not all of its values are tensors")
        return source
    try:
        return load_file(Path(source))
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{source}: not a safetensors file ({error}); for a file of torch.save give the state "
            "dict: source=torch.load(file, weights_only=True)"
        ) from None


def _check_is_new(view: ModuleParts, rule: UpdateRule, source: Mapping[str, torch.Tensor]) -> None:
    """Check that what the rule calls random is not the source's.

    Raises:
        InputError: It is, so the module has been loaded before.
    """
    rules = rule.on(view.network())
    drawn = {
        name: parameter
        for name, parameter in view.named_parameters()
        if (rules[name].weights == "random" or rules[name].fresh) and parameter.dim() > 1
    }
    if drawn and all(
        name in source
        and source[name].shape == parameter.shape
        and torch.equal(source[name].to(parameter), parameter.detach())
        for name, parameter in drawn.items()
    ):
        raise InputError(
            f"update rule '{rule}' draws {next(iter(drawn))}, but the module has the source's "
            "weights there already; apply the rule to a newly built module"
        )
