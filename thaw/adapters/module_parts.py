"""A module of any library, seen as the two parts that update rules speak of."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import nn

from thaw.config.errors import InputError, nearest
from thaw.config.parts import ROOTS
from thaw.policy.two_parts import TwoParts

Paths: TypeAlias = str | Sequence[str] | Mapping[str, "Paths"]
"""What a part consists of: a module or parameter by its dotted path, several of them, which keep
their names in the part, or finer parts by name."""


class ModuleParts(TwoParts):
    """A view: it owns no tensor, and shares every module with the module that it shows.

    Args:
        module: Stays as it is, but for :meth:`follow_modes`.
        parts: ``embedding`` and ``head``, which together hold every tensor once.

    Raises:
        InputError: They do not, or the module follows a rule already.
    """

    def __init__(self, module: nn.Module, parts: Mapping[str, Paths]) -> None:
        super().__init__()
        if set(parts) != set(ROOTS):
            raise InputError(
                f"parts has {', '.join(map(repr, parts)) or 'nothing'}; it must have 'embedding' "
                "and 'head', as in {'embedding': 'network', 'head': ['actor', 'critic']}"
            )
        if any("train" in vars(part) for part in module.modules()):
            raise InputError("the module follows an update rule already; build a new one")
        self.shown = (module,)  # in a tuple, so that it is no part of this module
        self.held: frozenset[nn.Module] = frozenset()
        for root in ROOTS:
            _put(self, root, _find(module, parts[root]))
        self._check_complete()

    def named_as_parts(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Give tensors with the module's own names the names that they have in this view.

        What a state dict never holds, such as buffers that are not persistent, is the module's.
        """
        (module,) = self.shown
        own: dict[int, list[str]] = {}
        for name, tensor in _all_tensors(module):
            own.setdefault(id(tensor), []).append(name)
        saved = module.state_dict().keys()
        renamed = {}
        for name, tensor in self.parts():
            aliases = own[id(tensor)]
            if found := [alias for alias in aliases if alias in tensors]:
                renamed[name] = tensors[found[0]]
            elif not any(alias in saved for alias in aliases):
                renamed[name] = tensor.detach().clone()
        return renamed

    def follow_modes(self) -> None:
        """Keep frozen modules in evaluation mode, also where a caller trains one of the modules."""
        (module,) = self.shown
        for part in module.modules():  # each by itself: a loop may switch only one of them
            part.__dict__["train"] = functools.partial(self._train, part)
        self.refresh_mode()

    def refresh_mode(self) -> None:
        """Bring every module into the mode that it has now."""
        self.held = frozenset(self.frozen_modules())
        (module,) = self.shown
        module.train(module.training)

    def _train(self, part: nn.Module, mode: bool = True) -> nn.Module:
        """Take the place of the method ``train`` of a module."""
        type(part).train(part, mode)
        if part in self.held:
            part.training = False
        return part

    def _check_complete(self) -> None:
        """Check that every tensor of the module is in one part.

        Raises:
            InputError: One is in none, or in both.
        """
        (module,) = self.shown
        inside = [
            {id(tensor) for name, tensor in _all_tensors(self) if name.partition(".")[0] == root}
            for root in ROOTS
        ]
        for name, tensor in _all_tensors(module):
            count = sum(id(tensor) in part for part in inside)
            if count != 1:
                raise InputError(
                    f"'{name}' of the module is in {'no part' if not count else 'both parts'}; "
                    "parts must name each tensor of the module once, in embedding or head"
                )
        for root, part in zip(ROOTS, inside, strict=True):
            if not part:
                raise InputError(f"the part '{root}' has no tensor; name modules that have some")


def _all_tensors(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Return all parameters and buffers, with a name for each place where one is."""
    return [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]


def _find(module: nn.Module, paths: Paths) -> nn.Module | torch.Tensor:
    """Return what stands at a path, or a module that holds what stands at several.

    Raises:
        InputError: Nothing stands there, or this is no path.
    """
    if isinstance(paths, str):
        return _at(module, paths)
    if not isinstance(paths, Mapping | Sequence):
        raise InputError(
            f"parts has {paths!r}; give a dotted path, several in a list, or finer parts by name"
        )
    inner = nn.Module()
    items = paths.items() if isinstance(paths, Mapping) else [(path, path) for path in paths]
    for name, below in items:
        _put(inner, name, _find(module, below))
    return inner


def _at(module: nn.Module, path: str) -> nn.Module | torch.Tensor:
    """Return a module, parameter or buffer by its dotted path.

    Raises:
        InputError: There is none.
    """
    found: object = module
    for word in path.split("."):
        found = getattr(found, word, None)
    if isinstance(found, nn.Module | torch.Tensor):
        return found
    known = [name for name, _ in module.named_modules()] + [
        name for name, _ in _all_tensors(module)
    ]
    raise InputError(
        f"parts names '{path}', which the module does not have{nearest(path, known)} Its modules: "
        f"{', '.join(name for name, _ in module.named_children())}"
    )


def _put(inner: nn.Module, name: str, found: nn.Module | torch.Tensor) -> None:
    """Register a module or tensor under a dotted name."""
    *outer, last = name.split(".")
    for word in outer:
        if word not in inner._modules:
            inner.add_module(word, nn.Module())
        inner = inner.get_submodule(word)
    if isinstance(found, nn.Module):
        inner.add_module(last, found)
    elif isinstance(found, nn.Parameter):
        inner.register_parameter(last, found)
    else:
        inner.register_buffer(last, found)
