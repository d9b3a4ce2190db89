# mypy: ignore-errors
# (its imports are only in its own virtual environment)
"""Time RLlib's IMPALA with an LSTM on its "new API stack".

RLlib has no residual network for PyTorch, so this file has one, as an RLModule. `--patched` makes
it channels-last and bfloat16.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import Any

import gymnasium
import numpy as np
import ray
import torch
from games import NUM_ACTIONS, PICTURES, make_pool
from gymnasium.vector import AutoresetMode, VectorEnv
from ray.rllib.algorithms.impala import IMPALAConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.tune.registry import register_env
from torch import nn
from window import NUM_ENVS, UNROLL_LENGTH, Window, parse

SETTINGS = {
    # Acting, learning and the environments take turns in one process, on all threads.
    "serial": {"num_env_runners": 0, "num_learners": 0},
    # One process acts while another one learns.
    "asynchronous": {"num_env_runners": 1, "num_learners": 1},
    # One process that acts for each core, and the learner in the main process.
    "two-runners": {"num_env_runners": 2, "num_learners": 0},
}


class SpaceInvaders(VectorEnv[Any, Any, Any]):
    """EnvPool's games with Gymnasium's vector interface, which RLlib steps together."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 (as in Gymnasium)
    render_mode = None

    def __init__(self, num_games: int, num_threads: int, seed: int) -> None:
        self.pool = make_pool(num_games, num_threads, seed)
        self.num_envs = num_games
        self.single_observation_space = gymnasium.spaces.Box(0, 255, PICTURES, np.uint8)
        self.single_action_space = gymnasium.spaces.Discrete(NUM_ACTIONS)
        batch = gymnasium.vector.utils.batch_space
        self.observation_space = batch(self.single_observation_space, num_games)
        self.action_space = batch(self.single_action_space, num_games)

    def reset(self, **kwargs: object) -> tuple[Any, dict[str, Any]]:
        del kwargs  # EnvPool got its seed when it was made
        return self.pool.reset()[0], {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        pictures, rewards, terminated, truncated, _ = self.pool.step(np.asarray(actions))
        return pictures, rewards, terminated, truncated, {}


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        residual: torch.Tensor = self.conv1(torch.relu(self.conv0(torch.relu(x))))
        return x + residual


class Network(TorchRLModule, ValueFunctionAPI):
    """The 15-convolution network of IMPALA and an LSTM, as an RLModule."""

    def setup(self) -> None:
        layers: list[nn.Module] = []
        before = PICTURES[0]
        for channels in (16, 32, 32):
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.MaxPool2d(3, 2, 1)]
            layers += [Block(channels), Block(channels)]
            before = channels
        self.convolutions = nn.Sequential(*layers)
        self.linear = nn.Linear(32 * 11 * 11, 256)
        self.lstm = nn.LSTM(256, 256, batch_first=True)
        self.policy = nn.Linear(256, NUM_ACTIONS)
        self.value = nn.Linear(256, 1)
        self.is_patched = self.model_config["patched"]
        if self.is_patched:
            self.convolutions.to(memory_format=torch.channels_last)
            torch.set_num_threads(self.model_config["num_threads"])

    def get_initial_state(self) -> dict[str, Any]:
        return {name: np.zeros(256, np.float32) for name in ("h", "c")}

    def embed(self, pictures: torch.Tensor) -> torch.Tensor:
        """Map pictures [N, 4, 84, 84] to [N, 256]."""
        x = pictures.float() / 255
        faster: Any = contextlib.nullcontext()
        if self.is_patched:
            x = x.contiguous(memory_format=torch.channels_last)
            faster = torch.autocast("cpu", torch.bfloat16)
        with faster:
            x = torch.relu(self.convolutions(x))
            x = torch.relu(self.linear(x.flatten(1)))
        return x.float()

    def features(self, batch: dict[str, Any]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Map pictures [B, T, 4, 84, 84] and a state to [B, T, 256] and the next state."""
        pictures = batch[Columns.OBS]
        embeddings = self.embed(pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2])
        state = tuple(batch[Columns.STATE_IN][name].unsqueeze(0) for name in ("h", "c"))
        core, (h, c) = self.lstm(embeddings, state)
        return core, {"h": h.squeeze(0), "c": c.squeeze(0)}

    def _forward(self, batch: dict[str, Any], **kwargs: object) -> dict[str, Any]:
        core, state = self.features(batch)
        return {
            Columns.ACTION_DIST_INPUTS: self.policy(core),
            Columns.STATE_OUT: state,
            Columns.EMBEDDINGS: core,
        }

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        if embeddings is None:
            embeddings, _ = self.features(batch)
        values: torch.Tensor = self.value(embeddings).squeeze(-1)
        return values


def make_config(options: Any) -> IMPALAConfig:
    processes = SETTINGS[options.setting]
    num_groups = max(1, processes["num_env_runners"])

    def make_env(context: Any) -> SpaceInvaders:
        return SpaceInvaders(context["num_envs"], options.threads, seed=0)

    register_env("space_invaders", make_env)
    network = RLModuleSpec(
        module_class=Network,
        model_config={
            "max_seq_len": UNROLL_LENGTH,
            "patched": options.patched,
            "num_threads": options.threads,
        },
    )
    return (
        IMPALAConfig()
        .environment("space_invaders")
        .env_runners(
            num_env_runners=processes["num_env_runners"],
            num_envs_per_env_runner=NUM_ENVS // num_groups,
            gym_env_vectorize_mode="vector_entry_point",
            rollout_fragment_length=UNROLL_LENGTH,
        )
        .learners(num_learners=processes["num_learners"], num_aggregator_actors_per_learner=0)
        .training(train_batch_size_per_learner=NUM_ENVS * UNROLL_LENGTH, num_epochs=1)
        .rl_module(rl_module_spec=network)
        .reporting(min_time_s_per_iteration=0)
        .debugging(seed=0)
    )


def main() -> None:
    options = parse(__doc__, settings=tuple(SETTINGS), can_patch=True)
    # Without this, Ray gives each of its processes one thread.
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    window = Window(options)
    with tempfile.TemporaryDirectory() as folder:
        # More cores than the machine has, so that Ray starts all processes.
        ray.init(num_cpus=8, include_dashboard=False, _temp_dir=folder, log_to_driver=False)
        try:
            algorithm = make_config(options).build_algo()
            steps = 0
            while window.closed is None:
                learned = algorithm.train().get("learners", {}).get("__all_modules__", {})
                consumed = int(learned.get("num_env_steps_trained_lifetime", 0))
                if consumed > steps:  # some iterations have no update
                    steps = consumed
                    # It counts each unroll's 21st entry, which only bootstraps, as a step.
                    window.update(steps * UNROLL_LENGTH // (UNROLL_LENGTH + 1))
            algorithm.stop()
        finally:
            ray.shutdown()
    window.print_result()


if __name__ == "__main__":
    main()
