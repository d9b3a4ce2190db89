"""A NumPy generator's state as an array, so that checkpoints need no pickle."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_LOW_64_BITS = 2**64 - 1


def encode_generator(generator: np.random.Generator) -> npt.NDArray[np.uint64]:
    """Return the state of a PCG64 generator, which is NumPy's and Gymnasium's default.

    Args:
        generator: It is not changed.

    Returns:
        [6] uint64: each of its two 128-bit numbers in two halves, whether it holds 32 unused bits,
        and these bits.

    Raises:
        ValueError: It is another kind of generator.
    """
    state = generator.bit_generator.state
    if state["bit_generator"] != "PCG64":
        raise ValueError(
            f"the generator is a {state['bit_generator']}, whose state cannot be saved; "
            "use numpy.random.default_rng"
        )
    numbers: list[int] = []
    for number in (state["state"]["state"], state["state"]["inc"]):
        numbers += [number >> 64, number & _LOW_64_BITS]
    return np.array([*numbers, state["has_uint32"], state["uinteger"]], np.uint64)


def restore_generator(generator: np.random.Generator, code: npt.NDArray[np.uint64]) -> None:
    """Set a generator to a state from `encode_generator`.

    Args:
        generator: A PCG64; changed in place.
        code: [6] uint64.
    """
    number = [int(part) for part in code]
    generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": number[0] << 64 | number[1], "inc": number[2] << 64 | number[3]},
        "has_uint32": number[4],
        "uinteger": number[5],
    }
