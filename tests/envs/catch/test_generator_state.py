from __future__ import annotations

import numpy as np
import pytest

from thaw.envs.catch.generator_state import encode_generator, restore_generator


def test_a_restored_generator_draws_the_same_numbers() -> None:
    generator = np.random.default_rng(1)
    generator.integers(10, size=3, dtype=np.int32)  # leaves 32 bits to spare
    code = encode_generator(generator)
    assert code.dtype == np.uint64
    assert code[4] == 1
    other = np.random.default_rng(2)
    restore_generator(other, code)
    for _ in range(3):
        assert generator.integers(1000, dtype=np.int32) == other.integers(1000, dtype=np.int32)
        assert generator.normal() == other.normal()


def test_another_kind_of_generator_is_refused() -> None:
    with pytest.raises(ValueError, match="the generator is a MT19937"):
        encode_generator(np.random.Generator(np.random.MT19937(1)))
