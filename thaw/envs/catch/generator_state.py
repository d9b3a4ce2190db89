"""A NumPy generator's state as an array of numbers, so that a checkpoint needs no pickle."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_LOW_64_BITS = 2**64 - 1


def encode_generator(generator: np.random.Generator) -> npt.NDArray[np.uint64]:
    """The state of a PCG64 generator, NumPy's default and Gymnasium's.

    Args:
        generator: Is left as it is.

    Returns:
        [6] uint64: its two 128-bit numbers in halves, whether it has 32 bits to spare, and those.

    Raises:
        ValueError: If it is another kind of generator.
    """
    state = generator.bit_generator.state
    if state["bit_generator"] != "PCG64":
        raise ValueError(
            f"the generator is a {state['bit_generator']}, of which the state cannot be saved; "
            "use numpy.random.default_rng"
        )
    numbers: list[int] = []
    for number in (state["state"]["state"], state["state"]["inc"]):
        numbers += [number >> 64, number & _LOW_64_BITS]
    return np.array([*numbers, state["has_uint32"], state["uinteger"]], np.uint64)


def restore_generator(generator: np.random.Generator, code: npt.NDArray[np.uint64]) -> None:
    """Give a generator the state that `encode_generator` wrote down.

    Args:
        generator: A PCG64; is changed in place.
        code: [6] uint64.
    """
    number = [int(part) for part in code]
    generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": number[0] << 64 | number[1], "inc": number[2] << 64 | number[3]},
        "has_uint32": number[4],
        "uinteger": number[5],
    }
