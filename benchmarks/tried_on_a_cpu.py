"""What else could make acting and learning faster on a CPU? Each idea beside what thaw does.

``python benchmarks/tried_on_a_cpu.py`` prints one row for each idea: CPU time of one thread, in
turns within each round, and the ratio now / idea within rounds (above 1: the idea is faster). CPU
time and not wall time, so that other programs on the machine disturb it less. The deep network at
84x84x4, 32 environments, unrolls of 20, bfloat16 where the processor multiplies in it.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from thaw.policy.embeddings import ConvEmbedding, impala_deep
from thaw.policy.layers import _halve, halve
from thaw.policy.lstm import LSTM

N, T, D, H = 32, 20, 256, 256
Call = Callable[[], object]


class Idea(NamedTuple):
    """An idea and what it would replace; both do the same work."""

    name: str
    now: Call
    idea: Call
    repeats: int
    """Calls in one reading."""


def acting(embedding: ConvEmbedding, images: torch.Tensor, dtype: torch.dtype) -> Call:
    """Return the forward pass of acting, as thaw makes it."""

    def act() -> torch.Tensor:
        with (
            torch.no_grad(),
            torch.autocast("cpu", dtype, enabled=dtype != torch.float32, cache_enabled=False),
        ):
            result: torch.Tensor = embedding(images)
            return result

    return act


def cast_once(embedding: ConvEmbedding, images: torch.Tensor, dtype: torch.dtype) -> Call:
    """Return acting with weights that were cast in advance, as once per update."""
    copy = impala_deep((84, 84, 4), D)
    copy.load_state_dict(embedding.state_dict())
    copy = copy.to(dtype)

    def act() -> torch.Tensor:
        with torch.no_grad():
            result: torch.Tensor = copy(images)
            return result

    return act


def packed(embedding: ConvEmbedding, images: torch.Tensor, dtype: torch.dtype) -> Call:
    """Return acting with each convolution's weights in oneDNN's own order in advance."""
    from torch.utils import mkldnn

    to_mkldnn: Any = mkldnn.to_mkldnn  # PyTorch gives it no types
    copy = impala_deep((84, 84, 4), D)
    copy.load_state_dict(embedding.state_dict())
    dense = to_mkldnn(copy.sections.eval(), dtype)

    def act() -> torch.Tensor:
        with torch.no_grad():
            x = (images.permute(0, 3, 1, 2).to(dtype) / 255).contiguous().to_mkldnn()
            for section in dense:
                x = F.max_pool2d(section.conv(x), 3, 2, 1)
                for block in (section.block0, section.block1):
                    x = x + block.conv1(F.relu(block.conv0(F.relu(x))))
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32, cache_enabled=False):
                return F.relu(embedding.linear(F.relu(x.to_dense(dtype)).flatten(1)))

    return act


def int8(images: torch.Tensor) -> Call | None:
    """Return the convolutions of acting in int8; None if this PyTorch has no engine for them."""
    warnings.filterwarnings("ignore", module="torch.ao")
    if "onednn" not in torch.backends.quantized.supported_engines:
        return None
    torch.backends.quantized.engine = "onednn"
    from torch.ao.nn import quantized as layers

    conv2d: Any = layers.Conv2d  # PyTorch gives it no types

    def convolution(channels_in: int, channels_out: int) -> Any:
        quantized = conv2d(channels_in, channels_out, 3, padding=1)
        weight = torch.randn(channels_out, channels_in, 3, 3) * 0.1
        quantized.set_weight_bias(
            torch.quantize_per_tensor(weight, 0.01, 0, torch.qint8), torch.zeros(channels_out)
        )
        quantized.scale, quantized.zero_point = 0.05, 0
        return quantized

    widths = (4, 16, 32, 32)
    sections = [
        [convolution(a, b), *(convolution(b, b) for _ in range(4))]
        for a, b in itertools.pairwise(widths)
    ]

    def act() -> torch.Tensor:
        with torch.no_grad():
            x: Any = torch.quantize_per_tensor(
                images.permute(0, 3, 1, 2).float() / 255, 1 / 255, 0, torch.quint8
            )
            for first, *blocks in sections:
                x = F.max_pool2d(first(x), 3, 2, 1)
                for one, two in (blocks[:2], blocks[2:]):
                    y = two(F.relu(one(F.relu(x))))
                    x = torch.ops.quantized.add(x, y, 0.05, 0)
            result: torch.Tensor = x.dequantize()
            return result

    return act


def first_convolution(channels: int, dtype: torch.dtype) -> Call:
    """Return forward and backward of the first convolution, its input padded to some channels."""
    layer = nn.Conv2d(channels, 16, 3, padding=1)
    layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
    images = torch.randint(0, 255, (N, 84, 84, 4), dtype=torch.uint8)

    def learn() -> None:
        x = F.pad(images, (0, channels - 4)) if channels > 4 else images
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32, cache_enabled=False):
            layer(x.permute(0, 3, 1, 2).to(dtype) / 255).sum().backward()

    return learn


def reordered_convolution() -> tuple[Call, Call]:
    """Return one bfloat16 convolution of the second section, and with oneDNN's order of weights."""
    ops: Any = torch.ops.mkldnn  # PyTorch gives it no types
    x = torch.randn(N, 32, 21, 21).bfloat16().contiguous(memory_format=torch.channels_last)
    weight = torch.randn(32, 32, 3, 3).bfloat16().contiguous(memory_format=torch.channels_last)
    bias = torch.randn(32).bfloat16()
    ones = [1, 1]
    reordered = ops._reorder_convolution_weight(weight, ones, ones, ones, 1, list(x.shape))

    def now() -> None:
        F.conv2d(x, weight, bias, padding=1)

    def idea() -> None:
        ops._convolution_pointwise(x, reordered, bias, ones, ones, ones, 1, "none", [], "")

    return now, idea


class MaskedPooling(torch.autograd.Function):
    """Pooling by maxima of slices; the backward pass finds each window's first maximum again.

    Bits are compared and selected as 16-bit whole numbers: twice as fast as bfloat16.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        """Map bfloat16 [N, C, height, width], channels last, to half the size."""
        images = x.permute(0, 2, 3, 1)
        rows = _halve(images, 1)
        maxima = _halve(rows, 2)
        ctx.save_for_backward(images, rows, maxima)
        return maxima.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        """Return the gradient of the images."""
        images, rows, maxima = ctx.saved_tensors
        gradient = gradients[0].permute(0, 2, 3, 1).contiguous()
        gradient = _to_first_maxima(gradient, rows, maxima, 2)
        return _to_first_maxima(gradient, images, rows, 1).permute(0, 3, 1, 2)


def _to_first_maxima(
    gradient: torch.Tensor, x: torch.Tensor, maxima: torch.Tensor, axis: int
) -> torch.Tensor:
    """Undo `_halve` along an axis of even length."""
    result = torch.empty_like(x)
    bits, wanted, ours, out = (t.view(torch.int16) for t in (x, maxima, gradient, result))
    before = (slice(None),) * axis
    even, odd = bits[*before, 0::2], bits[*before, 1::2]
    last = even.shape[axis] - 1
    left = torch.zeros_like(wanted)  # of each window, its left neighbor's share of the gradient
    shared = left.narrow(axis, 1, last)
    torch.eq(odd.narrow(axis, 0, last), wanted.narrow(axis, 1, last), out=shared)
    left.mul_(ours)
    rest = ours - left
    center = torch.empty_like(rest)
    torch.eq(even, wanted, out=center)
    center.mul_(rest)
    out[*before, 0::2].copy_(center)
    rest.sub_(center)
    rest.narrow(axis, 0, last).view(x.dtype).add_(shared.view(x.dtype))
    out[*before, 1::2].copy_(rest)
    return result


def masked_pooling() -> tuple[Call, Call]:
    """Return forward and backward of the first pooling, PyTorch's and by masks."""
    x = torch.randn(N, 16, 84, 84).bfloat16().contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    gradient = torch.randn_like(halve(x))
    pool: Any = MaskedPooling.apply  # PyTorch gives it no types

    def now() -> None:
        torch.autograd.backward(halve(x), gradient)

    def idea() -> None:
        torch.autograd.backward(pool(x), gradient)

    return now, idea


def folded_convolution() -> tuple[Call, Call]:
    """Return the first 8x8 convolution of the shallow network, and as 2x2 over blocks of 4x4."""
    layer = nn.Conv2d(4, 16, 8, stride=4)
    layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
    images = torch.rand(N, 84, 84, 4)

    def now() -> None:
        torch.autograd.backward(layer(images.permute(0, 3, 1, 2)).sum())

    def idea() -> None:
        x = images.view(N, 21, 4, 21, 4, 4).permute(0, 1, 3, 2, 4, 5).reshape(N, 21, 21, 64)
        weight = layer.weight.view(16, 4, 2, 4, 2, 4).permute(0, 2, 4, 3, 5, 1)
        weight = weight.reshape(16, 2, 2, 64).permute(0, 3, 1, 2)
        y = F.conv2d(x.permute(0, 3, 1, 2), weight, layer.bias)
        torch.autograd.backward(y.sum())

    return now, idea


def head_in_one_call() -> tuple[Call, Call]:
    """Return thaw's LSTM over an unroll, and ``nn.LSTM``, which cannot reset inside of it."""
    ours, theirs = LSTM(D, H), nn.LSTM(D, H)
    inputs = torch.randn(T, N, D)
    first, state = torch.zeros(T, N, dtype=torch.bool), torch.zeros(2, N, H)

    def now() -> None:
        ours(inputs, first, state)[0].sum().backward()

    def idea() -> None:
        theirs(inputs)[0].sum().backward()

    return now, idea


def optimizers(embedding: ConvEmbedding) -> tuple[Call, Call]:
    """Return norm clip and RMSProp as thaw makes them, and PyTorch's Adam fused into one call."""
    from thaw.config.agent import AgentConfig
    from thaw.impala.optimizers import build_optimizer

    parameters = list(embedding.parameters())
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    ours = build_optimizer({1.0: parameters}, AgentConfig(), torch.device("cpu"))
    fused = torch.optim.Adam(parameters, fused=True)

    def now() -> None:
        nn.utils.clip_grad_norm_(parameters, 40.0)
        ours.step()

    def idea() -> None:
        nn.utils.clip_grad_norm_(parameters, 40.0)
        fused.step()

    return now, idea


def ideas() -> list[Idea]:
    """Return everything that is measured."""
    capabilities = torch.cpu.get_capabilities()
    dtype = torch.bfloat16 if capabilities.get("avx512_bf16") else torch.float32
    torch.manual_seed(0)
    embedding = impala_deep((84, 84, 4), D)
    images = torch.randint(0, 255, (2 * N, 84, 84, 4), dtype=torch.uint8)
    half = images[:N]
    act = acting(embedding, half, dtype)
    both = acting(embedding, images, dtype)

    def twice() -> None:
        act()
        act()

    found = [
        Idea("weights cast once per update", act, cast_once(embedding, half, dtype), 4),
        Idea(
            "oneDNN's own layout: weights cast and reordered once per update",
            act,
            packed(embedding, half, dtype),
            4,
        ),
        Idea("two seeds in one process: 64 images at once", twice, both, 3),
        Idea(
            "first convolution's input padded to 16 channels",
            first_convolution(4, dtype),
            first_convolution(16, dtype),
            8,
        ),
        Idea("first pooling by masks", *masked_pooling(), 8),
        Idea("shallow network's 8x8 convolution folded to 2x2", *folded_convolution(), 8),
        Idea("one convolution's weights reordered in advance", *reordered_convolution(), 40),
        Idea("the LSTM's 20 steps in one call of oneDNN", *head_in_one_call(), 4),
        Idea("a fused optimizer", *optimizers(embedding), 20),
    ]
    if (quantized := int8(half)) is not None:
        found.insert(2, Idea("convolutions in int8", act, quantized, 4))
    return found


def seconds(call: Call, repeats: int) -> float:
    """Return the CPU time of one call."""
    began = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - began) / repeats


def main() -> None:
    """Measure in rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = ideas()
    for idea in found:  # the first call of each is slower
        idea.now(), idea.idea()
    readings: list[list[tuple[float, float]]] = [[] for _ in found]
    for _ in range(options.rounds):
        for idea, reading in zip(found, readings, strict=True):
            reading.append((seconds(idea.now, idea.repeats), seconds(idea.idea, idea.repeats)))
    print("| idea | now, ms | idea, ms | now / idea |\n|---|---:|---:|---:|")
    for idea, reading in zip(found, readings, strict=True):
        now, then = (statistics.median(part) * 1e3 for part in zip(*reading, strict=True))
        ratios = sorted(a / b for a, b in reading)
        print(
            f"| {idea.name} | {now:.2f} | {then:.2f} | {statistics.median(ratios):.2f} "
            f"[{ratios[0]:.2f}, {ratios[-1]:.2f}] |"
        )


if __name__ == "__main__":
    main()
