"""Weights of any PyTorch module, from a safetensors file, as a policy of thaw."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from thaw.config.errors import InputError, nearest
from thaw.files.checkpoint import load_tensors
from thaw.policy import Policy

_LSTM = {"weight_ih_l0": "weight_input", "weight_hh_l0": "weight_hidden"}
"""Of ``torch.nn.LSTM``, whose two biases are added."""

Tensors = Mapping[str, torch.Tensor]


def fill_policy(policy: Policy, path: str | Path, maps: Iterable[str]) -> None:
    """Copy the tensors of a file into a policy, part by part.

    ``THERE=HERE`` says that the module THERE of the file is the part HERE of the policy. The names
    below are compared first. Where they differ, the layers are taken in the order of their names,
    and all shapes must be the same. An LSTM of ``torch.nn`` becomes thaw's.

    Args:
        policy: Changed in place; all of its tensors must be filled.
        path: A safetensors file.
        maps: As ``network=embedding`` or ``actor=head.policy``.

    Raises:
        InputError: The file is broken, a map names no module or no part, shapes differ, the names
            of layers do not tell their order, or tensors of the policy or the file are left.
    """
    file, parts = load_tensors(Path(path)), dict(policy.parts())
    empty, unread = dict(parts), dict(file)
    for item in maps:
        there, equals, here = item.partition("=")
        if not (there and equals and here):
            raise InputError(f"--map {item}: expected MODULE=PART, as in network=embedding")
        source = _as_thaw_names(_below(file, there, f"--map {item}: '{path}'"))
        target = _below(parts, here, f"--map {item}: the policy")
        for name, theirs in _pairs(source, target, item, policy):
            with torch.no_grad():
                parts[name].copy_(theirs)
            if empty.pop(name, None) is None:
                raise InputError(f"--map {item}: '{name}' is filled already; map each part once")
        for name in [n for n in unread if n == there or n.startswith(f"{there}.")]:
            del unread[name]
    if empty:
        raise InputError(
            f"no --map fills {_some(empty)} of the policy; its parts are "
            f"{', '.join(sorted({_module(name) for name in parts}))}"
        )
    if unread:
        raise InputError(
            f"no --map reads {_some(unread)} of '{path}'; a network that differs would act "
            "differently, so write a file without these tensors if they are not needed"
        )


def _below(tensors: Tensors, part: str, where: str) -> dict[str, torch.Tensor]:
    """Return a part's tensors by the rest of their names.

    Raises:
        InputError: There are none.
    """
    found = {
        name.removeprefix(part).removeprefix("."): tensor
        for name, tensor in tensors.items()
        if name == part or name.startswith(f"{part}.")
    }
    if not found:
        prefixes = {name[:i] for name in tensors for i, c in enumerate(name) if c == "."}
        raise InputError(f"{where} has no '{part}'{nearest(part, prefixes)}")
    return found


def _as_thaw_names(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Return tensors with LSTMs of ``torch.nn`` as thaw's, in natural order of the names."""
    renamed: dict[str, torch.Tensor] = {}
    for name in sorted(tensors, key=_natural):
        prefix, _, own = name.rpartition(".")
        dot = "." if prefix else ""
        if own in _LSTM:
            renamed[f"{prefix}{dot}{_LSTM[own]}"] = tensors[name]
        elif own == "bias_ih_l0":
            other = tensors.get(f"{prefix}{dot}bias_hh_l0")
            renamed[f"{prefix}{dot}bias"] = tensors[name] + (0 if other is None else other)
        elif own != "bias_hh_l0":
            renamed[name] = tensors[name]
    return renamed


def _pairs(
    source: Tensors, target: Tensors, item: str, policy: Policy
) -> Sequence[tuple[str, torch.Tensor]]:
    """Return full names in the policy, each with the file's tensor.

    Raises:
        InputError: The shapes differ, or how many layers there are, or the names of layers do not
            tell their order.
    """
    if source.keys() == target.keys():
        chosen = [(name, source[name]) for name in target]
    else:
        theirs, ours = _by_module(source), _by_module(target)
        if [set(layer) for layer in theirs.values()] != [set(layer) for layer in ours.values()]:
            raise InputError(
                f"--map {item}: {_some(source)} in the file do not fit {_some(target)} here, name "
                "by name or layer by layer; map smaller parts"
            )
        _check_order(source, theirs, item, ours)
        chosen = [
            (ours_below[own], source[theirs_below[own]])
            for ours_below, theirs_below in zip(ours.values(), theirs.values(), strict=True)
            for own in ours_below
        ]
    here = item.partition("=")[2]
    full = {name: f"{here}.{name}" if name else here for name in target}
    for name, tensor in chosen:
        if tensor.shape != target[name].shape:
            raise InputError(
                f"--map {item}: '{full[name]}' has shape {list(target[name].shape)}, and the "
                f"file's tensor in its place {list(tensor.shape)}; "
                + _advice(full[name], list(target[name].shape), list(tensor.shape), policy)
            )
    return [(full[name], tensor) for name, tensor in chosen]


def _check_order(
    source: Tensors, layers: Mapping[str, Mapping[str, str]], item: str, parts: Iterable[str]
) -> None:
    """Check that numbers order the layers that could be mistaken for each other.

    The alphabet is not the order in which a module computes: ``last`` stands before ``middle``.

    Args:
        source: The tensors of the file.
        layers: Their names by layer, as of :func:`_by_module`.
        item: The map.
        parts: The layers of the policy, for the message.

    Raises:
        InputError: Two layers are alike, and no number tells which comes first.
    """
    there, _, here = item.partition("=")
    alike: dict[object, list[str]] = {}
    for layer, tensors in layers.items():
        shapes = frozenset((own, tuple(source[name].shape)) for own, name in tensors.items())
        alike.setdefault(shapes, []).append(layer)
    for same in alike.values():
        for one, other in itertools.pairwise(same):
            if not _numbers_order(one, other):
                names = [f"{there}.{layer}".removesuffix(".") for layer in (one, other)]
                raise InputError(
                    f"--map {item}: '{names[0]}' and '{names[1]}' have tensors of the same shapes, "
                    "and no number in their names tells which comes first; give a --map for each "
                    f"layer, to {_some(f'{here}.{part}' for part in parts)}"
                )


def _numbers_order(one: str, other: str) -> bool:
    """Return whether two dotted paths differ first by a number, as ``linear1`` and ``linear2``."""
    for word, other_word in itertools.zip_longest(one.split("."), other.split(".")):
        if word != other_word:
            if word is None or other_word is None:
                return False
            return re.sub(r"\d+", "#", word) == re.sub(r"\d+", "#", other_word)
    return False


def _advice(name: str, here: Sequence[int], there: Sequence[int], policy: Policy) -> str:
    """Say how to make a tensor of the policy as large as the file's.

    Args:
        name: Of the tensor in the policy.
        here: Its shape.
        there: The shape in the file.
        policy: Which the file is to fill.
    """
    causes = []
    if name.startswith("head.policy.") and here[0] == policy.num_actions != there[0]:
        causes.append(
            f"the flavor has {here[0]} actions and the file {there[0]}: choose a flavor, or an "
            "option of it, with the file's actions (for Atari --flavor \"...?"
            'full_action_space=false")'
        )
    if name.startswith("head.") and len(here) == len(there) == 2 and here[1] > there[1]:
        sees = {
            "agent.last_action_input": (policy.num_actions, policy.config.last_action_input),
            "agent.last_reward_input": (1, policy.config.last_reward_input),
        }
        known = {setting: size for setting, (size, is_on) in sees.items() if is_on}
        by_width = {size: [setting] for setting, size in known.items()}
        by_width[sum(known.values())] = list(known)
        if settings := by_width.get(here[1] - there[1]):
            causes.append(
                "the head sees the last action or reward here, and the file's does not: add "
                + " ".join(f"--set {setting}=false" for setting in settings)
            )
    return "; ".join(causes) or (
        "give the network the file's sizes with --set agent.*, choose options of the flavor with "
        "the file's observations, or map smaller parts"
    )


def _by_module(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the names of tensors by module, and in it by their last word."""
    modules: dict[str, dict[str, str]] = {}
    for name in names:
        module, _, own = name.rpartition(".")
        modules.setdefault(module, {})[own] = name
    return modules


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts ``layers.10`` after ``layers.2``."""
    return [
        (int(word), "") if word.isdigit() else (-1, word)
        for word in re.split(r"(\d+)", name)
        if word
    ]


def _module(name: str) -> str:
    return name.rpartition(".")[0]


def _some(names: Iterable[str]) -> str:
    """Write the first of some names."""
    listed = list(names)
    return ", ".join(f"'{name}'" for name in listed[:3]) + ", ..." * (len(listed) > 3)
