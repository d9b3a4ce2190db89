"""Parts of a policy by name: what a word like ``embedding.*.bias`` or ``embedding[-1]`` stands for.

A tensor's name is its path in the policy, in *segments* between dots:
``embedding.sections.0.conv.weight``. Nothing here imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from thaw.config.errors import InputError, nearest

ROOTS = ("embedding", "head")

_INDEXED = re.compile(r"embedding\[(-?\d+|norms)\](.*)")
_PART = re.compile(r"(embedding(\[(-?\d{1,3}|norms)\])?|\w+|\*)(\.(\w+|\*))*")


class Network(NamedTuple):
    """The tensors of a policy, by name."""

    tensors: tuple[str, ...]
    """Parameters and buffers, in the order of the policy."""
    parameters: tuple[str, ...]
    norms: tuple[str, ...] = ()
    """The embedding's normalization layers, such as ``embedding.norm``."""

    @property
    def blocks(self) -> tuple[str, ...]:
        """The embedding's blocks, from the observation on: ``embedding[0]`` is the first.

        A block is a module directly in the embedding that has parameters. The members of a list of
        modules count one by one.
        """
        blocks: dict[str, None] = {}
        for name in self.parameters:
            root, *path = name.split(".")
            if root != "embedding" or len(path) < 2:  # a tensor outside of any module
                continue
            depth = 2 if len(path) > 2 and path[1].isdigit() else 1
            blocks[".".join([root, *path[:depth]])] = None
        return tuple(blocks)


def check_part(part: str) -> bool:
    """Return whether a text has the form of a part's name."""
    return _PART.fullmatch(part) is not None


def root_of(part: str) -> str:
    """Return the first segment of a part, without an index."""
    return part.partition(".")[0].partition("[")[0]


def expand(part: str, network: Network) -> tuple[str, ...]:
    """Write a part without an index: ``embedding[-1]`` becomes ``embedding.linear``.

    Raises:
        InputError: The network has no such block, or no normalization layers.
    """
    indexed = _INDEXED.fullmatch(part)
    if indexed is None:
        return (part,)
    index, rest = indexed[1], indexed[2]
    if index == "norms":
        if not network.norms:
            raise InputError(
                f"names '{part}', but the embedding of this network has no normalization layers; "
                "choose another rule, or an embedding with such layers"
            )
        return tuple(norm + rest for norm in network.norms)
    blocks = network.blocks
    if not -len(blocks) <= int(index) < len(blocks):
        raise InputError(
            f"names '{part}', a block that this embedding does not have; its {len(blocks)} blocks "
            f"are {', '.join(blocks) or 'none'}"
        )
    return (blocks[int(index)] + rest,)


def reach(part: str, name: str) -> tuple[int, int, int] | None:
    """Return how far into a tensor's name a part reaches; None if the part does not contain it.

    A part contains the tensors whose names begin with its segments; ``*`` stands for one or more.

    Returns:
        The number of the name's segment that the part's last word fits, then how many words and
        how many stars the part has. The greater triple is the longer match.
    """
    pattern, segments = part.split("."), name.split(".")
    num_open = 0
    while num_open < len(pattern) and pattern[-1 - num_open] == "*":
        num_open += 1
    words = pattern[: len(pattern) - num_open]
    for end in range(len(segments) - num_open, -1, -1):
        if _fits(words, segments[:end]):
            return end, sum(word != "*" for word in words), pattern.count("*")
    return None


def _fits(pattern: Sequence[str], segments: Sequence[str]) -> bool:
    """Whether a pattern fits all of the segments."""
    if not pattern or not segments:
        return not pattern and not segments
    if pattern[0] != "*":
        return pattern[0] == segments[0] and _fits(pattern[1:], segments[1:])
    return any(_fits(pattern[1:], segments[n:]) for n in range(1, len(segments) + 1))


def check_names(part: str, network: Network) -> None:
    """Check that a part, written without an index, contains a tensor.

    Every rule names the embedding, so that one may be empty.

    Raises:
        InputError: It does not.
    """
    if part == ROOTS[0] or any(reach(part, name) is not None for name in network.tensors):
        return
    tensors = network.tensors
    prefixes = {name[:i] for name in tensors for i, c in enumerate(name) if c == "."}
    raise InputError(
        f"names '{part}', which this policy does not have{nearest(part, prefixes | set(tensors))}"
    )
