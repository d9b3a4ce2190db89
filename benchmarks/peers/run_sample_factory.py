# mypy: ignore-errors
# (its imports are only in its own virtual environment)
"""Time Sample Factory's APPO with V-trace and an LSTM, as released or with a patched network.

The patch uses Sample Factory's interface for encoders: the same encoder with weights in
channels-last and arithmetic in bfloat16. Learner and acting process get one thread per core.
"""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import gymnasium
import numpy as np
import torch
from games import NUM_ACTIONS, PICTURES, make_pool
from sample_factory.algo.learning.learner import Learner
from sample_factory.algo.runners.runner import AlgoObserver, Runner
from sample_factory.algo.utils.context import global_model_factory
from sample_factory.algo.utils.misc import ExperimentStatus
from sample_factory.cfg.arguments import parse_full_cfg, parse_sf_args
from sample_factory.envs.env_utils import register_env
from sample_factory.model.encoder import MultiInputEncoder
from sample_factory.train import make_runner
from window import NUM_ENVS, UNROLL_LENGTH, Window, parse

SETTINGS = {
    # Acting, learning and the environments take turns in one process, on all threads.
    "serial": {"serial_mode": True, "async_rl": False},
    # Two processes; one acts while the other one learns.
    "asynchronous": {"serial_mode": False, "async_rl": True},
    # In addition, half of the environments step while the policy decides for the other half.
    "split": {"serial_mode": False, "async_rl": True, "worker_num_splits": 2},
}


class SpaceInvaders(gymnasium.Env[Any, Any]):
    """EnvPool's games as one environment of many agents, as Sample Factory needs them."""

    def __init__(self, num_games: int, num_threads: int, seed: int) -> None:
        self.pool = make_pool(num_games, num_threads, seed)
        self.num_agents, self.is_multiagent, self.render_mode = num_games, True, None
        self.observation_space = gymnasium.spaces.Box(0, 255, PICTURES, np.uint8)
        self.action_space = gymnasium.spaces.Discrete(NUM_ACTIONS)

    def reset(self, **kwargs: object) -> tuple[Any, dict[str, Any]]:
        del kwargs  # EnvPool got its seed when it was made
        return self.pool.reset()[0], {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        pictures, rewards, terminated, truncated, _ = self.pool.step(np.asarray(actions))
        over = np.nonzero(terminated | truncated)[0].astype(np.int32)
        if len(over):  # Sample Factory expects the next game's first picture at once
            pictures[over] = self.pool.reset(over)[0]
        return pictures, rewards, terminated, truncated, {}

    def close(self) -> None:
        pass  # EnvPool's close needs a newer Gymnasium than Sample Factory allows


def make_env(name: str, cfg: Any, env_config: Any, render_mode: str | None = None) -> SpaceInvaders:
    del name, render_mode
    seed = 0 if env_config is None else env_config.env_id
    return SpaceInvaders(NUM_ENVS // cfg.worker_num_splits, cfg.cores, seed)


class PatchedEncoder(MultiInputEncoder):
    """Sample Factory's encoder, channels-last and in bfloat16."""

    def __init__(self, cfg: Any, obs_space: Any) -> None:
        super().__init__(cfg, obs_space)
        torch.set_num_threads(cfg.cores)  # in the process that computes; the default is 1

    def model_to_device(self, device: Any) -> None:
        # Not earlier: the initialization of the weights needs the default layout.
        self.to(device=device, memory_format=torch.channels_last)

    def forward(self, obs_dict: dict[str, torch.Tensor]) -> torch.Tensor:
        pictures = obs_dict["obs"].contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            embeddings: torch.Tensor = super().forward({"obs": pictures})
        return embeddings.float()


_record_summaries = Learner._record_summaries


def record_summaries(self: Learner, train_loop_vars: Any) -> Any:
    """Add the advantages, without which the statistics of 2.1.1 fail with V-trace."""
    train_loop_vars.mb.advantages = train_loop_vars.adv
    return _record_summaries(self, train_loop_vars)


Learner._record_summaries = record_summaries  # at import, so also in the learner's process


class Watch(AlgoObserver):
    """Reads the steps that the learner has consumed from Sample Factory's counter."""

    def __init__(self, window: Window) -> None:
        self.window = window

    def on_training_step(self, runner: Runner, training_iteration_since_resume: int) -> None:
        del training_iteration_since_resume
        if self.window.update(sum(runner.env_steps.values())):
            runner.cfg.train_for_seconds = -1  # Sample Factory then ends


def make_cfg(options: Any, folder: str) -> Any:
    parser, _ = parse_sf_args(["--env=space_invaders", "--algo=APPO"])
    parser.add_argument("--cores", type=int, default=options.threads)
    parser.set_defaults(
        experiment="run",
        train_dir=folder,
        device="cpu",
        seed=0,
        use_env_info_cache=False,
        # The network.
        encoder_conv_architecture="resnet_impala",
        encoder_conv_mlp_layers=[256],
        nonlinearity="relu",
        use_rnn=True,
        rnn_type="lstm",
        rnn_size=256,
        obs_scale=255.0,
        normalize_input=False,
        # The learning.
        with_vtrace=True,
        normalize_returns=False,
        rollout=UNROLL_LENGTH,
        recurrence=UNROLL_LENGTH,
        batch_size=NUM_ENVS * UNROLL_LENGTH,
        num_batches_per_epoch=1,
        num_epochs=1,
        train_for_env_steps=10**9,  # the window ends it
        # Decisions are counted, not frames.
        env_frameskip=4,
        summaries_use_frameskip=False,
        # The processes. One Python worker is enough, because EnvPool has its own threads.
        batched_sampling=True,
        num_workers=1,
        num_envs_per_worker=1,
        worker_num_splits=1,
        set_workers_cpu_affinity=False,
    )
    chosen = dict(SETTINGS[options.setting])
    chosen["num_envs_per_worker"] = chosen.get("worker_num_splits", 1)
    parser.set_defaults(**chosen)
    return parse_full_cfg(parser, ["--env=space_invaders", "--algo=APPO"])


def main() -> None:
    options = parse(__doc__, settings=tuple(SETTINGS), can_patch=True)
    register_env("space_invaders", make_env)
    if options.patched:
        global_model_factory().register_encoder_factory(PatchedEncoder)
    window = Window(options)
    with tempfile.TemporaryDirectory() as folder:
        _, runner = make_runner(make_cfg(options, folder))
        runner.register_observer(Watch(window))
        status = runner.init()
        if status == ExperimentStatus.SUCCESS:
            status = runner.run()
    if status != ExperimentStatus.SUCCESS:
        sys.exit(f"Sample Factory ended with status {status}")
    window.print_result()


if __name__ == "__main__":
    main()
