"""Applies an update rule: loads parts of a policy from its source policy and freezes parts."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from thaw.config.errors import InputError, nearest
from thaw.config.update_rule import UpdateRule, covers
from thaw.policy.policy import Policy


def apply_update_rule(
    policy: Policy, rule: UpdateRule, source: Mapping[str, torch.Tensor] | None = None
) -> FrozenParts:
    """Load and freeze the parts of ``policy`` as the rule says, in place.

    A frozen part gets no gradient. It is not in the optimizer (give that
    :func:`trained_parameters`) and not in the clip of the gradient norm, and its running
    statistics do not change. The gradient still flows through a frozen head into the embedding
    (Dean, Toyama, Precup 2022, section 3.3).

    Args:
        policy: Newly built; parts whose weights are ``random`` keep their initial values.
        rule: Where each part's weights come from and whether it trains.
        source: Parameters and buffers of the source policy, which was pretrained, by name.

    Returns:
        The frozen parts as they are now; they can be checked at any later time.

    Raises:
        InputError: The rule names a part that the policy lacks, the rule needs a source policy
            but there is none, or the source policy's tensors have other names or shapes.
    """
    names = dict(policy.parts())
    for prefix in rule.parts:
        if not any(covers(prefix, name) for name in names):
            prefixes = {name[:i] for name in names for i, c in enumerate(name) if c == "."}
            raise InputError(
                f"update rule '{rule}' names '{prefix}', which this policy does not have"
                f"{nearest(prefix, prefixes | set(names))}"
            )
    if rule.needs_source and source is None:
        raise InputError(f"update rule '{rule}' needs a pretrained policy to start from")
    frozen = set()
    with torch.no_grad():
        for name, tensor in names.items():
            part = rule.of(name)
            if part.weights == "source":
                assert source is not None
                tensor.copy_(_source_tensor(name, tensor, source))
            if not part.trains:
                frozen.add(name)
                tensor.requires_grad_(False)
    policy.frozen = frozenset(frozen)
    policy.train(policy.training)
    return FrozenParts(policy)


def trained_parameters(policy: Policy) -> dict[str, torch.nn.Parameter]:
    """Return the parameters that train by name, in the order of the policy."""
    return {name: p for name, p in policy.named_parameters() if name not in policy.frozen}


class FrozenParts:
    """The tensors of a policy that may not change, with a copy of their values.

    Args:
        policy: One to which :func:`apply_update_rule` was applied.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.reference = {
            name: tensor.detach().clone()
            for name, tensor in policy.parts()
            if name in policy.frozen
        }

    def check(self) -> None:
        """Check bit for bit that the frozen tensors still have those values.

        Raises:
            RuntimeError: A tensor has changed; the message names it.
        """
        for name, tensor in self.policy.parts():
            if name in self.reference and not torch.equal(
                tensor.detach().cpu(), self.reference[name].cpu()
            ):
                raise RuntimeError(f"frozen tensor '{name}' changed during training; this is a bug")


def _source_tensor(
    name: str, tensor: torch.Tensor, source: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    if name not in source:
        raise InputError(
            f"the source policy has no '{name}'{nearest(name, source)} Source and target must "
            "use the same network"
        )
    if source[name].shape != tensor.shape:
        raise InputError(
            f"'{name}' has shape {list(source[name].shape)} in the source policy and "
            f"{list(tensor.shape)} here: observations, actions and network must be the same"
        )
    return source[name]
