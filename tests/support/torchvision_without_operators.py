"""torchvision beside a PyTorch for CPUs: its compiled operators do not load there.

timm imports torchvision, whose import fails then for two operators that only detection needs.
"""

from __future__ import annotations

import importlib
from typing import Any, cast

import torch

_DECLARED: list[object] = []


def declare_operators() -> None:
    """Let torchvision be imported; does nothing where it can be."""
    if _DECLARED:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        library = cast(Any, torch.library.Library)("torchvision", "DEF")  # untyped
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _DECLARED.append(library)  # what is declared ends with its object
