"""What docs/import.md says for the agents of CleanRL imports them, and they act as they did."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from thaw.experiment.imports import import_torch
from thaw.files.checkpoint import load_policy


class OfCleanRL(nn.Module):
    """The agents of CleanRL's scripts, with their sizes; Pong has six actions."""

    actor: nn.Module
    critic: nn.Module

    def __init__(self, script: str) -> None:
        super().__init__()
        if script == "ppo.py":
            self.actor, self.critic = (
                nn.Sequential(
                    nn.Linear(4, 64),
                    nn.Tanh(),
                    nn.Linear(64, 64),
                    nn.Tanh(),
                    nn.Linear(64, outputs),
                )
                for outputs in (2, 1)
            )
            return
        is_recurrent = script == "ppo_atari_lstm.py"
        self.network = nn.Sequential(
            nn.Conv2d(1 if is_recurrent else 4, 32, 8, stride=4), nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(),
            nn.Flatten(), nn.Linear(64 * 7 * 7, 512), nn.ReLU(),
        )  # fmt: skip
        if is_recurrent:
            self.lstm = nn.LSTM(512, 128)
        width = 128 if is_recurrent else 512
        self.actor, self.critic = nn.Linear(width, 6), nn.Linear(width, 1)


def written(script: str) -> dict[str, Any]:
    """Return what docs/import.md says to give for the agent of a script of CleanRL."""
    page = (Path(__file__).parents[2] / "docs/import.md").read_text(encoding="utf-8")
    if row := re.search(rf"^\| CleanRL `{script}`.*$", page, re.M):
        words = re.findall("`([^`]+)`", row[0])[1:]
        flavor, networks, *rest = [word.strip('"') for word in words]
        overrides, maps = (
            [word for word in rest if word.startswith("agent.") == is_setting]
            for is_setting in (True, False)
        )
    else:
        command = re.search(r"^thaw import torch (.*?)^```", page, re.M | re.S)
        assert command
        assert f"This is the agent of CleanRL's `{script}`" in page
        words = shlex.split(
            command[1].replace("\\\n", "")
        )  # the first three are the file and --out
        given = list(zip(words[3::2], words[4::2], strict=True))
        flavor, networks = dict(given)["--flavor"], " ".join(words)
        overrides, maps = (
            [value for option, value in given if option == name] for name in ("--set", "--map")
        )
    overrides += [
        f"agent.{name}={value}" for name, value in re.findall(r"--(embedding|head) (\w+)", networks)
    ]
    return {"flavor": flavor, "maps": maps, "overrides": overrides}


@pytest.mark.parametrize("script", ["ppo.py", "ppo_atari.py", "ppo_atari_lstm.py"])
@torch.no_grad()
def test_what_the_page_says_imports_the_agents_of_cleanrl(tmp_path: Path, script: str) -> None:
    if "atari" in script:
        pytest.importorskip("ale_py")
    torch.manual_seed(3)
    module, given = OfCleanRL(script), written(script)
    save_file(module.state_dict(), tmp_path / "agent.safetensors")
    import_torch(tmp_path / "agent.safetensors", tmp_path / "out", **given)
    policy = load_policy(tmp_path / "out")
    steps, batch = 3, 2
    seen = torch.randint(0, 255, (steps, batch, *policy.observation_shape), dtype=torch.uint8)
    if script == "ppo.py":
        seen, core = seen.float(), seen.float()
    else:
        core = module.network(seen.flatten(0, 1).movedim(-1, 1) / 255).unflatten(0, (steps, batch))
    if script == "ppo_atari_lstm.py":
        core, _ = module.lstm(core)
    first, zeros = torch.zeros(steps, batch, dtype=torch.bool), torch.zeros(steps, batch)
    output = policy.unroll(
        policy.embed(seen), first, first.long(), zeros, policy.initial_state(batch)
    )
    torch.testing.assert_close(output.logits, module.actor(core), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(output.values, module.critic(core).squeeze(-1), rtol=1e-3, atol=1e-5)
