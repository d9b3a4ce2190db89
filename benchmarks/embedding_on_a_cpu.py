"""Measure how much each optimization speeds up the deep embedding on a CPU.

python benchmarks/embedding_on_a_cpu.py [ROUNDS] [THREADS]

The variants take turns. Prints images per second for acting (32 at once) and for learning (672,
forward and gradient), and the ratio to the first variant within rounds. The last variant is
what thaw does.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

import thaw.policy.embeddings
import thaw.policy.policy
from thaw.config.agent import AgentConfig
from thaw.policy.policy import Policy


class Variant(NamedTuple):
    """One way to compute the embedding."""

    name: str
    precision: Literal["float32", "bfloat16"]
    images_at_once: int
    halve: Callable[[torch.Tensor], torch.Tensor]


def pool(x: torch.Tensor) -> torch.Tensor:
    """PyTorch's pooling."""
    return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)


WHOLE, OURS = 10**9, thaw.policy.layers.halve
VARIANTS = (
    Variant("float32, channels last", "float32", WHOLE, pool),
    Variant("+ bfloat16", "bfloat16", WHOLE, pool),
    Variant("+ 32 images at once", "bfloat16", 32, pool),
    Variant("+ pooling by slices where no gradient is needed", "bfloat16", 32, OURS),
)


def images_per_second(variant: Variant, policy: Policy, images: torch.Tensor, learn: bool) -> float:
    """Embed images [T, B, 84, 84, 4] once and, to learn, also compute the gradient."""
    patched: Any = thaw.policy.policy
    patched.IMAGES_AT_ONCE = variant.images_at_once
    patched = thaw.policy.embeddings
    patched.halve = variant.halve
    started = time.perf_counter()
    with torch.set_grad_enabled(learn):
        embeddings = policy.embed(images)
    if learn:
        torch.autograd.backward(embeddings.sum())
    return images.shape[0] * images.shape[1] / (time.perf_counter() - started)


if __name__ == "__main__":
    num_rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    num_threads = int(sys.argv[2]) if len(sys.argv) > 2 else len(os.sched_getaffinity(0))
    torch.set_num_threads(num_threads)
    policies = {
        variant: Policy((84, 84, 4), 18, AgentConfig(precision=variant.precision))
        for variant in VARIANTS
    }
    unroll = torch.randint(256, (21, 32, 84, 84, 4), dtype=torch.uint8)
    rates: dict[tuple[str, bool], list[float]] = {}
    for turn in range(num_rounds + 1):  # the first one warms up
        for variant, policy in policies.items():
            acting = [images_per_second(variant, policy, unroll[:1], False) for _ in range(20)]
            learning = images_per_second(variant, policy, unroll, True)
            if turn:
                rates.setdefault((variant.name, False), []).append(float(np.median(acting)))
                rates.setdefault((variant.name, True), []).append(learning)
    print(f"{num_threads} threads, {num_rounds} rounds, medians; [lowest, highest] of the ratio")
    for learn in (False, True):
        print("learning" if learn else "acting")
        base = np.array(rates[VARIANTS[0].name, learn])
        for variant in VARIANTS:
            found = np.array(rates[variant.name, learn])
            ratio = found / base
            print(
                f"  {variant.name:50} {np.median(found):7,.0f} images/s  x {np.median(ratio):.2f} "
                f"[{ratio.min():.2f}, {ratio.max():.2f}]"
            )
