"""Measure how much each optimization speeds up the deep embedding on a CPU.

python benchmarks/embedding_on_a_cpu.py [ROUNDS] [THREADS]
python benchmarks/embedding_on_a_cpu.py --precisions [ROUNDS]

The first command lets the variants take turns. It prints images per second for acting (32 at
once) and for learning (672, forward and gradient), and the ratio to the first variant within
rounds. The last variant is what thaw does.

With --precisions it compares float32 and bfloat16 for the networks of the built-in suites, by the
CPU time of one thread: an image's forward pass as in acting, then forward and gradient as in
learning. The rule of `agent.precision: auto` rests on this table.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

import thaw.policy.embeddings
import thaw.policy.policy
from thaw.config.agent import AgentConfig
from thaw.policy.policy import IMAGES_AT_ONCE, Policy
from thaw.policy.precision import count_multiplications, has_bfloat16, resolve_precision


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


class Network(NamedTuple):
    """An embedding at the size of some observations."""

    suite: str
    embedding: str
    observation_shape: tuple[int, ...]


NETWORKS = (
    Network("catch-paper", "impala_deep", (120, 80, 3)),
    Network("atari-paper", "impala_deep", (84, 84, 4)),
    Network("(none)", "impala_deep", (64, 64, 3)),
    Network("(none)", "impala_deep", (42, 42, 4)),
    Network("(none)", "impala_shallow", (84, 84, 4)),
    Network("procgen-quick", "impala_shallow", (64, 64, 3)),
    Network("catch-quick, androidenv-quick", "impala_shallow", (60, 40, 3)),
    Network("atari-quick", "impala_shallow", (42, 42, 4)),
    Network("minigrid-quick", "mlp", (7, 7, 20)),
)
LEAST_SECONDS = 0.05
"""A reading of a small network repeats its work for at least so long."""


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


def compare_measures(num_rounds: int, num_threads: int) -> None:
    """Print what each measure gives the deep embedding."""
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


def cpu_seconds(policy: Policy, images: torch.Tensor) -> float:
    """Return one thread's CPU time per image, to act and to learn from it."""
    repeats, started = 0, time.thread_time()
    while (seconds := time.thread_time() - started) < LEAST_SECONDS:
        with torch.no_grad():
            policy.embed(images)
        torch.autograd.backward(policy.embed(images).sum())
        repeats += 1
    return seconds / repeats / images.shape[1]


def compare_precisions(num_rounds: int) -> None:
    """Print a table of what bfloat16 gives the networks of the built-in suites."""
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    flag = "has" if has_bfloat16(cpu) else "lacks"
    print(f"1 thread, {num_rounds} rounds, medians [lowest, highest]; the CPU {flag} AVX512_BF16\n")
    print("| suite | embedding | multiplications | float32, ms | float32 / bfloat16 | auto |")
    print("|---|---|---:|---:|---:|---|")
    for suite, embedding, shape in NETWORKS:
        agent = AgentConfig(embedding=embedding)
        images = torch.randint(256, (1, IMAGES_AT_ONCE, *shape), dtype=torch.uint8)
        exact, rounded = (
            Policy(shape, 18, AgentConfig(embedding=embedding, precision=precision))
            for precision in ("float32", "bfloat16")
        )
        rounds = np.array(
            [
                (cpu_seconds(exact, images), cpu_seconds(rounded, images))
                for _ in range(num_rounds + 1)
            ][1:]  # the first one warms up
        )
        ratio = rounds[:, 0] / rounds[:, 1]
        print(
            f"| {suite} | {embedding}, {'x'.join(map(str, shape))} "
            f"| {count_multiplications(agent, shape) / 1e6:.1f} M "
            f"| {1000 * np.median(rounds[:, 0]):.3f} "
            f"| {np.median(ratio):.2f} [{ratio.min():.2f}, {ratio.max():.2f}] "
            f"| {resolve_precision(agent, shape, cpu).precision} |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=5)
    parser.add_argument("threads", nargs="?", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--precisions", action="store_true")
    given = parser.parse_args()
    if given.precisions:
        compare_precisions(given.rounds)
    else:
        compare_measures(given.rounds, given.threads)
