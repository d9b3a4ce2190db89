"""Training returns that Stable-Baselines3 published, beside those of a study, at equal decisions.

    git clone https://github.com/DLR-RM/rl-trained-agents
    python benchmarks/published_returns.py results/breakout-small \
        PPO=rl-trained-agents/ppo/BreakoutNoFrameskip-v4_1 \
        A2C=rl-trained-agents/a2c/BreakoutNoFrameskip-v4_1

Each number is the mean return of the training episodes that ended in the last fifth of a budget.
A budget stays empty where a point of a study's curve spans clearly more than that fifth.
Until results version 3, an episode of a study with ``life_loss_ends`` was scored as one life.
``--lives 5`` (Breakout's number) multiplies such returns: a whole game's mean return is the mean of
a life's times the number of lives.
The published folders hold one ``N.monitor.csv`` for each environment of one run: r is the game's
return, l its length in frames, of which the agent sees every fourth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

BUDGETS = (100_000, 250_000, 500_000, 1_000_000, 2_000_000, 3_000_000, 5_000_000, 10_000_000)
FRAMES_PER_DECISION = 4
LAST = 0.8
"""The last fifth of a budget begins after this share of it."""


def published(folder: Path) -> dict[int, float]:
    """Return the mean return by budget, of a run whose environments step together."""
    paths = sorted(folder.glob("*.monitor.csv"))
    games = []
    for path in paths:
        game = pd.read_csv(path, comment="#")
        # All environments have made as many decisions as this one.
        game["decisions"] = game["l"].cumsum() / FRAMES_PER_DECISION * len(paths)
        games.append(game)
    every = pd.concat(games)
    return {
        budget: every.loc[every["decisions"].between(LAST * budget, budget), "r"].mean()
        for budget in BUDGETS
    }


def pretrained(study: Path, lives: int) -> dict[int, tuple[float, float]]:
    """Return the mean over a study's pretrainings by budget, and half of its 95 % t interval.

    Args:
        study: Its folder, with curves.csv.gz.
        lives: How many of its episodes make one game.
    """
    curves = pd.read_csv(study / "curves.csv.gz")
    curves = curves[curves["condition"] == "pretrain"]
    # A point stands for all episodes since the point before.
    point_steps = curves.groupby("seed")["steps"].diff().median()
    found = {}
    for budget in (budget for budget in BUDGETS if budget <= curves["steps"].max()):
        last = curves[(curves["steps"] > LAST * budget) & (curves["steps"] <= budget)]
        if point_steps > 1.1 * (1 - LAST) * budget:
            continue
        sums = (last["mean_return"] * last["num_episodes"]).groupby(last["seed"]).sum()
        means = lives * sums / last.groupby("seed")["num_episodes"].sum()
        half = stats.t.ppf(0.975, len(means) - 1) * stats.sem(means)
        found[budget] = (float(np.mean(means)), float(half))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--lives", type=int, default=1, help="episodes of the study in one game")
    parser.add_argument("published", nargs="+", metavar="NAME=FOLDER")
    options = parser.parse_args()
    ours = pretrained(options.study, options.lives)
    others = {
        name: published(Path(folder))
        for name, _, folder in (text.partition("=") for text in options.published)
    }
    print("| decisions | thaw | " + " | ".join(others) + " |\n|---:|---:|" + "---:|" * len(others))
    for budget in BUDGETS:
        cells = [f"{returns[budget]:.1f}" for returns in others.values()]
        mine = ""
        if budget in ours:
            mean, half = ours[budget]
            mine = f"{mean:.1f} [{mean - half:.1f}, {mean + half:.1f}]"
        print(f"| {budget:,} | {mine} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
