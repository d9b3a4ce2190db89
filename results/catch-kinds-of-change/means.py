"""Prints the last row of the study: the mean of the six changes of each kind, by seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from thaw.report import statistics
from thaw.report.scores import read_scores

BEHAVIOR = ("paddle_width", "action_latency_steps", "ball_speed")

scores = read_scores(Path(__file__).with_name("scores.csv"))
runs = scores.pivot_table(index=["target", "seed"], columns="condition", values="mean_return")
gaps = (runs["freeze_head"] - runs["freeze_embedding"]).dropna().unstack("target")
is_behavior = np.array([any(word in target for word in BEHAVIOR) for target in gaps.columns])
means = {
    "appearance": gaps.loc[:, ~is_behavior].mean(axis=1),
    "behavior": gaps.loc[:, is_behavior].mean(axis=1),
}
means["appearance minus behavior"] = means["appearance"] - means["behavior"]
for name, by_seed in means.items():
    found = statistics.mean(by_seed.to_numpy())
    print(f"{name}: {found.value:.3f} [{found.low:.3f}, {found.high:.3f}], {len(by_seed)} seeds")
