"""PyTorch's idle threads leave the cores to the emulators soon."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from thaw.config.runtime import num_cores

MULTIPLY_AND_SLEEP = """
import statistics, time

import thaw
import torch

torch.set_num_threads(2)
numbers = torch.randn(800, 800)
seconds = []
for _ in range(20):
    numbers @ numbers  # on both threads
    start = time.process_time()
    time.sleep(0.02)
    seconds.append(time.process_time() - start)
print(statistics.median(seconds))
"""

PRINT = "import os, thaw; print(os.environ.get('GOMP_SPINCOUNT'))"


def answer(code: str, **variables: str) -> str:
    ours = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | variables,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return ended.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux" or num_cores() < 2, reason="GNU's OpenMP, two threads")
def test_threads_sleep_soon_after_their_work() -> None:
    assert float(answer(MULTIPLY_AND_SLEEP)) < 0.003  # by default 8 to 10 ms


def test_what_the_user_says_about_spinning_stays() -> None:
    assert answer(PRINT, GOMP_SPINCOUNT="7") == "7"
    assert answer(PRINT, OMP_WAIT_POLICY="active") == "None"
    assert answer(PRINT) == "10000"
