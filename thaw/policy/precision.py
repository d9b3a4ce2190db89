"""Which arithmetic the embedding uses: what the config names, or a rule where it says ``auto``."""

from __future__ import annotations

import msgspec
import torch
from torch import nn

from thaw.config.agent import AgentConfig
from thaw.policy.embeddings import build_embedding

MIN_MULTIPLICATIONS = 50_000_000
"""Of an image, in convolutions. Measured to be faster in bfloat16: the deep network at 84x84 and
larger, 53 million and more (docs/performance.md)."""


def resolve_precision(
    agent: AgentConfig, observation_shape: tuple[int, ...], device: torch.device
) -> AgentConfig:
    """Replace ``precision: auto`` by bfloat16 for large convolutional networks, else float32.

    The precision is part of a run's result. So the rule asks only what the processor and the
    network are, and never measures: the same machine always gives the same answer.

    Args:
        agent: The agent; one that names its precision is returned as it is.
        observation_shape: Of one observation; images are [height, width, channels].
        device: Where the embedding computes.

    Raises:
        InputError: The network does not fit the observations.
    """
    if agent.precision != "auto":
        return agent
    in_bfloat16 = (
        has_bfloat16(device)
        and count_multiplications(agent, observation_shape) >= MIN_MULTIPLICATIONS
    )
    return msgspec.structs.replace(agent, precision="bfloat16" if in_bfloat16 else "float32")


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions that multiply matrices in bfloat16.

    On a CPU only AVX512_BF16 counts, which every processor with AMX_BF16 has too. Arm's bfloat16
    does not count, because no measurement shows that it is faster here.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def count_multiplications(agent: AgentConfig, observation_shape: tuple[int, ...]) -> int:
    """Count the multiplications in the embedding's convolutions, for one observation.

    The sizes of the convolutions' outputs are read while the embedding sees one black image. The
    answer is 0 if the observations are no images, and if a user's embedding cannot see this image
    on a CPU.

    Raises:
        InputError: The network does not fit the observations.
    """
    if len(observation_shape) != 3:
        return 0
    with torch.random.fork_rng(devices=[]):
        embedding = build_embedding(agent, observation_shape)
    counts: list[int] = []

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        counts.append(output.numel() * module.weight[0].numel())

    for module in embedding.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    try:
        with torch.no_grad():
            embedding.eval()(torch.zeros(1, *observation_shape, dtype=torch.uint8))
    except Exception:  # noqa: BLE001 - a user's code; training names what is wrong in it
        return 0
    return sum(counts)
