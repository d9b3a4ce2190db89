"""Measure what OpenMP's idle threads take from the emulators, by how long they spin.

    python benchmarks/idle_threads.py --rounds 5

Each round starts a process per setting of ``GOMP_SPINCOUNT``. It times 100 steps of 32 games of
Space Invaders twice: one step after another, and each after the deep network has acted. The
network's threads have then just become idle. It also times the network. Quiet cores are needed:
the effect is a few milliseconds. docs/performance.md says what thaw does about it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

NUM_ENVS = 32
NUM_STEPS = 100
NUM_WARM_UP_STEPS = 60
UNSET = "OpenMP's own"


def measure() -> dict[str, float]:
    """Return the median milliseconds of a step alone, of one after the network, and of the network.

    It runs in a process of its own, since OpenMP reads its settings once.
    """
    import numpy as np
    import torch

    from thaw.envs.families import make_env
    from thaw.policy.embeddings import impala_deep
    from thaw.policy.precision import has_bfloat16

    torch.set_num_threads(2)
    env = make_env("atari/space_invaders@m1d1", NUM_ENVS, 0)
    env.reset(seed=0)
    embedding, rng = impala_deep((84, 84, 4), 256), np.random.default_rng(0)
    images = torch.randint(0, 255, (NUM_ENVS, 84, 84, 4), dtype=torch.uint8)

    fast = has_bfloat16(torch.device("cpu"))

    @torch.no_grad()
    def act() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=fast, cache_enabled=False):
            embedding(images)

    def step() -> None:
        env.step(rng.integers(0, 6, NUM_ENVS))

    def milliseconds(timed: Callable[[], None], before: Callable[[], None] | None = None) -> float:
        times = []
        for _ in range(NUM_STEPS):
            if before is not None:
                before()
            began = time.perf_counter()
            timed()
            times.append(1e3 * (time.perf_counter() - began))
        return statistics.median(times)

    for _ in range(NUM_WARM_UP_STEPS):
        act()
        step()
    return {
        "alone": milliseconds(step),
        "after the network": milliseconds(step, before=act),
        "network": milliseconds(act, before=step),
    }


def measured_with(spin_count: str) -> dict[str, float]:
    """Measure in a process with this setting."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    # An empty value counts as set, so thaw does not replace it. OpenMP ignores it.
    environment["GOMP_SPINCOUNT"] = "" if spin_count == UNSET else spin_count
    command = [sys.executable, __file__, "--measure"]
    text = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    numbers: dict[str, float] = json.loads(text.stdout.splitlines()[-1])
    return numbers


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--spin-counts", nargs="+", default=[UNSET, "30000", "10000", "1000"])
    parser.add_argument("--measure", action="store_true", help="one setting, in this process")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure()))
        return
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in options.spin_counts}
    for number in range(options.rounds):
        for name in options.spin_counts[:: -1 if number % 2 else 1]:
            rounds[name].append(measured_with(name))
            print(f"round {number + 1}, {name}: {rounds[name][-1]}", file=sys.stderr)
    columns = ("alone", "after the network", "network")
    print("| GOMP_SPINCOUNT | " + " | ".join(f"{c}, ms" for c in columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for name, measured in rounds.items():
        cells = []
        for column in columns:
            values = [one[column] for one in measured]
            middle, low, high = statistics.median(values), min(values), max(values)
            cells.append(f"{middle:.1f} [{low:.1f}, {high:.1f}]")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
