"""Which of IMPALA's settings of Atari lets a short training learn Breakout?

``python benchmarks/lost_lives.py --out lost_lives`` trains with and without sticky actions, and
with and without an end of the episode at each lost life: four runs for each seed, five minutes
each on one core. It prints the mean return of a game in the last tenth of the training. Finished
runs are not made again, so a stopped call goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
from pathlib import Path

DECISIONS = 400_000
SETTINGS = (
    "agent.preset=quick",
    "agent.optimizer=adam",
    "agent.learning_rate=5e-4",
    "agent.learning_rate_schedule=linear",
    "agent.entropy_cost=0.003",
    "environment.num_envs=8",
    "environment.full_action_space=false",
    "environment.noop_max=30",
    "environment.num_threads=1",
)


def game_return(folder: Path, sticky: float, lives: bool, seed: int) -> float:
    """Train, unless that is done; return the mean return of a game at the end of the training.

    Args:
        folder: The run's.
        sticky: The probability that the emulator repeats an action.
        lives: Whether a lost life ends an episode for the learner.
        seed: Of the run.
    """
    ends = str(lives).lower()
    settings = (*SETTINGS, f"environment.sticky={sticky}", f"environment.life_loss_ends={ends}")
    command = [sys.executable, "-m", "thaw", "train", "atari/breakout", "--out", str(folder)]
    command += ["--steps", str(DECISIONS), "--seed", str(seed)]
    for setting in settings:
        command += ["--set", setting]
    if not (folder / "result.json").exists():
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    steps = json.loads((folder / "result.json").read_text())["steps"]
    with (folder / "episodes.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if int(row["step"]) >= 0.9 * steps]
    return statistics.mean(float(row["return"]) for row in rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[71, 72])
    options = parser.parse_args()
    print("| a lost life | sticky actions | mean return of a game, for each seed |\n|---|---|---|")
    for lives in (True, False):
        for sticky in (0.0, 0.25):
            returns = [
                game_return(options.out / f"{lives}-{sticky}-{seed}", sticky, lives, seed)
                for seed in options.seeds
            ]
            numbers = ", ".join(f"{number:.1f}" for number in returns)
            print(f"| {'ends' if lives else 'goes on'} | {sticky} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
