"""The tutorial's script and commands, with small budgets, in their order and in one folder."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import gymnasium
import pandas as pd
import pytest
from command_line import thaw_command
from stable_baselines3 import PPO

PAGE = Path(__file__).resolve().parents[2] / "docs/tutorial-sb3.md"
SMALL = ["--set", "transfer_steps=400", "--set", "evaluation.episodes=4", "--workers", "1"]


def blocks(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tutorial_runs(tmp_path: Path) -> None:
    (script,) = blocks("python")
    small = script.replace("25_000", "512")
    assert small != script
    subprocess.run([sys.executable, "-c", small], cwd=tmp_path, check=True, capture_output=True)
    (suite,) = blocks("yaml")
    (tmp_path / "moved.yaml").write_text(suite)
    printed = {}
    for line in "".join(blocks("sh")).splitlines():
        words = shlex.split(line)[1:]
        spoken = thaw_command(*words, *(SMALL if words[0] == "run" else []), cwd=tmp_path)
        assert spoken.status == 0, (line, spoken.err)
        printed[words[0]] = spoken.out
    assert set(printed) == {"import", "evaluate", "rules", "run", "report"}
    shown, table = blocks("text")
    assert printed["import"] == shown.replace("seed0", "seed2")
    assert printed["rules"].strip() == table.strip()
    scores = pd.read_csv(tmp_path / "moved/scores.csv")
    assert len(scores) == 27
    assert scores["mean_return"].notna().all()
    (verdict,) = json.loads((tmp_path / "moved/report/card.json").read_text())["verdicts"]
    assert verdict["outcome"] in ("decided", "equal", "open", "no_verdict")
    assert (tmp_path / "moved/report/index.html").is_file()


OPTIONS = "?downsample=8&frames_per_step=39"
CATCH = f"""\
name: moved
transfers:
  - {{source: "catch{OPTIONS}", target: "catch@large_ball{OPTIONS}"}}
conditions: [random, freeze_all, update_all, freeze_embedding, freeze_head, reset_value]
seeds: 1
source_checkpoint: imported
transfer_steps: 400
environment: {{num_envs: 4}}
evaluation: {{episodes: 4}}
"""


@pytest.mark.slow
def test_a_policy_that_sees_pictures_goes_the_same_way(tmp_path: Path) -> None:
    env = gymnasium.make("thaw.envs.catch:thaw/Catch-v0", downsample=8, frames_per_step=39)
    model = PPO("CnnPolicy", env, n_steps=64, seed=0, device="cpu")
    model.learn(64)
    model.save(tmp_path / "catch.zip")
    (tmp_path / "moved.yaml").write_text(CATCH)
    flavor = f"catch{OPTIONS}"
    for words in (
        ["import", "sb3", "catch.zip", "--out", "imported", "--flavor", flavor],
        ["evaluate", "imported", flavor, "--episodes", "4"],
        ["run", "moved.yaml", "--out", "moved"],
        ["report", "moved"],
    ):
        spoken = thaw_command(*words, cwd=tmp_path)
        assert spoken.status == 0, (words, spoken.err)
    scores = pd.read_csv(tmp_path / "moved/scores.csv")
    assert set(scores["condition"]) >= {"freeze_all", "freeze_embedding", "reset_value"}
    assert scores["mean_return"].notna().all()
