"""Applies an update rule: loads parts of a policy from its source policy and freezes parts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fractions import Fraction

import torch

from thaw.config.errors import InputError, nearest
from thaw.config.update_rule import PartRule, UpdateRule
from thaw.policy.two_parts import TwoParts


def apply_update_rule(
    policy: TwoParts,
    rule: UpdateRule,
    source: Mapping[str, torch.Tensor] | None = None,
    *,
    steps: int | None = None,
) -> FrozenParts:
    """Load and freeze the parts of ``policy`` as the rule says, in place.

    A frozen part gets no gradient. It is not in the optimizer (give that
    :func:`trained_parameters`) and not in the clip of the gradient norm, and its running
    statistics do not change. The gradient still flows through a frozen head into the embedding
    (Dean, Toyama, Precup 2022, section 3.3).

    Args:
        policy: A policy, or another network in two parts, newly built. Parts whose weights are
            ``random`` keep their initial values, and ``source~x`` mixes a share x of them into
            the source's.
        rule: Where each part's weights come from, and when it trains.
        source: Parameters and buffers of the source policy, which was pretrained, by name.
        steps: Decisions of the run; needed if the rule speaks of shares of them.

    Returns:
        The frozen parts as they are now; they can be checked at any later time.

    Raises:
        InputError: The rule names a part that the policy lacks, the rule needs a source policy
            but there is none, the source policy's tensors have other names or shapes, a part
            changes only after the run, nothing trains for a while, or a layer that was drawn would
            be frozen between pretrained ones and the head.
    """
    part_rules = _within(rule, steps).on(policy.network())
    if rule.needs_source and source is None:
        raise InputError(f"update rule '{rule}' needs a pretrained policy to start from")
    parameters = dict(policy.named_parameters())
    rules = {name: part_rules[name] for name in parameters}
    _check_trains(rule, rules)
    _check_no_gap(rule, rules)
    _check_drawn(rule, rules, policy)
    policy.anchors = {}
    with torch.no_grad():
        for name, tensor in policy.parts():
            part = part_rules[name]
            if part.weights == "random":
                continue
            assert source is not None
            theirs = _source_tensor(name, tensor, source)
            if part.fresh and name in parameters:  # statistics are no weights: all the source's
                tensor.mul_(part.fresh).add_(theirs.to(tensor.device), alpha=1 - part.fresh)
            else:
                tensor.copy_(theirs)
            if part.pull and name in parameters:
                policy.anchors[name] = theirs.detach().to(tensor.device, copy=True)
    policy.part_rules = part_rules
    _freeze(policy, policy.frozen_at(0))
    return FrozenParts(policy)


def trained_parameters(policy: TwoParts) -> dict[str, torch.nn.Parameter]:
    """Return the parameters that train now by name, in the order of the policy."""
    return {name: p for name, p in policy.named_parameters() if name not in policy.frozen}


class FrozenParts:
    """The tensors of a policy that may not change now, with a copy of their values.

    Args:
        policy: One to which :func:`apply_update_rule` was applied.
    """

    def __init__(self, policy: TwoParts) -> None:
        self.policy = policy
        self.reference = self._copies(policy.frozen)

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

    def advance(self, steps: int) -> bool:
        """Let parts begin and end to train whose step has come.

        Args:
            steps: Decisions before the next batch.

        Returns:
            Whether any did.

        Raises:
            RuntimeError: A tensor changed while it was frozen.
        """
        frozen = self.policy.frozen_at(steps)
        if not self.policy.part_rules or frozen == self.policy.frozen:
            return False
        self.check()
        added = frozen - self.policy.frozen
        kept = {name: value for name, value in self.reference.items() if name in frozen}
        self.reference = kept | self._copies(added)
        _freeze(self.policy, frozen)
        return True

    def digests(self) -> dict[str, str]:
        """Return checksums of the tensors that are frozen now and trained before, by name."""
        return {
            name: hashlib.sha256(
                value.cpu().flatten().view(torch.uint8).numpy().tobytes()
            ).hexdigest()
            for name, value in self.reference.items()
            if self.policy.part_rules[name].trains
            and self.policy.part_rules[name].state == "frozen"
        }

    def resume(self, steps: int, digests: Mapping[str, str]) -> None:
        """Continue after ``steps`` decisions, with the tensors of a checkpoint in the policy.

        Args:
            steps: Decisions before the next batch.
            digests: What :meth:`digests` returned when the checkpoint was saved.

        Raises:
            RuntimeError: A tensor differs that was frozen when the checkpoint was saved.
        """
        frozen = self.policy.frozen_at(steps) if self.policy.part_rules else self.policy.frozen
        self.reference = {n: value for n, value in self.reference.items() if n in frozen}
        self.check()
        self.reference |= self._copies(frozen - self.reference.keys())
        _freeze(self.policy, frozen)
        now = self.digests()
        for name, digest in digests.items():
            if now[name] != digest:
                raise RuntimeError(f"frozen tensor '{name}' changed during training; this is a bug")

    def _copies(self, names: frozenset[str]) -> dict[str, torch.Tensor]:
        parts = self.policy.parts()
        return {name: tensor.detach().clone() for name, tensor in parts if name in names}


def _freeze(policy: TwoParts, frozen: frozenset[str]) -> None:
    """Freeze these tensors of a policy and no others."""
    before, policy.frozen = policy.frozen, frozen
    for name, parameter in policy.named_parameters():
        if name in before ^ frozen:  # others keep what their module decided
            parameter.requires_grad_(name in before)
            parameter.grad = None
    policy.refresh_mode()


def _within(rule: UpdateRule, steps: int | None) -> UpdateRule:
    """Return the rule with its steps as numbers, checked if the run's length is known."""
    if steps is not None:
        return rule.within(steps)
    if any(isinstance(part.at, Fraction) for part in rule.parts.values()):
        raise InputError(
            f"update rule '{rule}' speaks of shares of the run: say how many steps the run has"
        )
    return rule


def _check_trains(rule: UpdateRule, parts: Mapping[str, PartRule]) -> None:
    """Check that a rule that trains anything trains a parameter.

    Raises:
        InputError: It trains none, because the embedding has none.
    """
    if rule.trains and not any(part.trains for part in parts.values()):
        raise InputError(
            f"update rule '{rule}' trains nothing in this network, whose embedding has no "
            "parameters; let a part of the head train"
        )


def _check_drawn(rule: UpdateRule, parts: Mapping[str, PartRule], policy: TwoParts) -> None:
    """Check that no layer after a pretrained network stays as it was drawn.

    Raises:
        InputError: One would.
    """
    for drawn in getattr(policy.embedding, "drawn", ()):
        part = parts[f"embedding.{drawn}.weight"]
        if part.weights == "random" and not part.trains:
            raise InputError(
                f"update rule '{rule}' would freeze 'embedding.{drawn}' as it was drawn, because "
                "the file of pretrained weights has none for it; add "
                f"embedding.{drawn}=random:trained"
            )


def _check_no_gap(rule: UpdateRule, parts: Mapping[str, PartRule]) -> None:
    """Check that a rule that trains anything always trains something.

    Raises:
        InputError: For a while nothing would train.
    """
    if not any(part.trains for part in parts.values()):
        return
    for steps in sorted({0, *(int(part.at) for part in parts.values())}):
        if not any(part.trains_at(steps) for part in parts.values()):
            raise InputError(
                f"update rule '{rule}' trains nothing from step {steps:,} on; let a part train then"
            )


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
