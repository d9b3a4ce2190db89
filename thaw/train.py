"""One run from its description to its result: act, learn, save, score."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from thaw.checkpoint import (
    find_policy,
    load_policy,
    load_tensors,
    load_tensors_into,
    load_training_state,
    save_checkpoint,
)
from thaw.clocks import Clock, Update, build_clock
from thaw.config import AgentConfig, Flavor, InputError, RunSpec, Runtime, UpdateRule
from thaw.envs import VectorEnv, frames_per_step, make_env
from thaw.impala.learner import Learner
from thaw.policy import Acting, Policy, UniformPolicy
from thaw.rollout import Actor, evaluate
from thaw.run_folder import RunFolder, locked, write_json
from thaw.types import EpisodeStats
from thaw.update_rules import apply_update_rule, check_frozen

PROGRESS_ROWS = 1000
"""Rows of progress.csv over a run: enough to see, few enough to read."""
RECENT_EPISODES = 100


class Stopped(Exception):
    """The run was asked to stop; it has saved and goes on when started again."""


class Progress(NamedTuple):
    """Told to whoever watches."""

    steps: int
    total_steps: int
    mean_return: float | None
    """Of the most recent training episodes; None before the first."""


Watch = Callable[[Progress], None]


def execute_run(
    spec: RunSpec,
    folder: RunFolder,
    runtime: Runtime,
    *,
    source: str | Path | None = None,
    watch: Watch = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Do one run, or go on with it, and return its result.

    Args:
        spec: What the run is.
        folder: Its files; a finished run is only read.
        runtime: Device, threads, cadence.
        source: Checkpoint of the pretrained policy, if the rule needs one.
        watch: Called after every update.
        should_stop: Asked after every update and every episode of an evaluation.

    Raises:
        InputError: Anything wrong with the spec or the source; nothing was written then, unless
            the folder existed.
        Stopped: ``should_stop`` said so; the run is saved.
        WriteFailed: Disk full and the like; the previous checkpoint is intact.
    """
    if folder.is_done:
        folder.begin(spec)  # checks that it is this run's
        return folder.result()
    torch.set_num_threads(runtime.num_threads)
    run = _Run(spec, folder, runtime, source, watch, should_stop)
    try:
        with locked(folder.path):
            return run.execute()
    finally:
        run.env.close()


class _Run:
    """The state of one run while it is executed."""

    def __init__(
        self,
        spec: RunSpec,
        folder: RunFolder,
        runtime: Runtime,
        source: str | Path | None,
        watch: Watch,
        should_stop: Callable[[], bool],
    ) -> None:
        self.spec, self.folder, self.runtime = spec, folder, runtime
        self.watch, self.should_stop = watch, should_stop
        self.device = resolve_device(runtime.device)
        self.env = make_env(spec.flavor, spec.num_envs, **spec.environment_options)
        self.policy = None if spec.update_rule is None else self.build_policy(source)
        folder.begin(spec)
        write_json(folder.path / "machine.json", describe_machine(runtime))
        self.seconds = 0.0
        self.steps = 0
        self.recent: deque[float] = deque(maxlen=RECENT_EPISODES)

    def build_policy(self, source: str | Path | None) -> Policy:
        """Build the policy and apply the update rule; keep what may not change."""
        rule = self.spec.update_rule
        assert rule is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.spec.derived_seed("initial weights"))
            policy = policy_for(self.env, self.spec.agent, self.spec.flavor)
        tensors = load_tensors(find_policy(source)) if source is not None else None
        if source is not None and rule.needs_source:
            check_same_spaces(load_policy(source), policy, str(source), self.spec.flavor)
        apply_update_rule(policy, rule, tensors)
        self.frozen = {
            name: tensor.detach().clone()
            for name, tensor in policy.parts()
            if name in policy.frozen
        }
        return policy.to(self.device)

    def execute(self) -> dict[str, Any]:
        """Train if anything trains, then score."""
        started = time.monotonic()
        if self.spec.steps and self.policy is not None:
            self.train(self.policy)
        else:
            self.folder.episodes.cut(0)  # of an evaluation that was broken off
            if self.policy is not None:
                save_checkpoint(self.folder, self.policy)
        self.seconds += time.monotonic() - started if not self.spec.steps else 0.0
        scores = self.score()
        result = scores | {
            "steps": self.steps,
            "frames": self.steps * frames_per_step(self.env),
            "seconds": round(self.seconds, 2),
        }
        self.folder.finish(result)
        return result

    # ------------------------------------------------------------------------------- training

    def train(self, policy: Policy) -> None:
        """Learn until the budget is spent, saving on the way."""
        spec = self.spec
        learner = Learner(policy, spec.agent, spec.steps)
        clock = build_clock(spec.agent, self.make_actor, learner)
        try:
            self.resume(policy, learner, clock)
            batch_steps = spec.agent.unroll_length * spec.num_envs
            updates_per_row = max(1, spec.steps // batch_steps // PROGRESS_ROWS)
            episodes: list[EpisodeStats] = []
            started = saved = time.monotonic() - self.seconds

            def save() -> None:
                self.log_episodes(episodes, "training")
                episodes.clear()
                self.seconds = time.monotonic() - started
                self.save(policy, learner, clock)

            while clock.learned_steps < spec.steps:
                last = clock.learned_steps + batch_steps >= spec.steps
                update = clock.update(last=last)
                episodes += update.episodes
                self.recent.extend(episode.episode_return for episode in update.episodes)
                self.steps = clock.learned_steps
                self.seconds = time.monotonic() - started
                if learner.num_updates % updates_per_row == 0:
                    self.log_progress(update, learner)
                self.watch(Progress(self.steps, spec.steps, self.mean_recent_return()))
                if self.should_stop():
                    save()
                    raise Stopped
                if time.monotonic() - saved >= self.runtime.checkpoint_seconds:
                    save()
                    saved = time.monotonic()
            save()
        finally:
            clock.close()

    def make_actor(self, policy: Policy) -> Actor:
        """Put a policy into the run's training environments."""
        return Actor(
            self.env,
            policy,
            # An environment that cannot be restored must not replay its first episodes.
            seed=self.spec.derived_seed(f"acting from {self.folder.saved_steps()}"),
            device=str(self.device),
            bootstrap_truncated=self.spec.agent.truncation == "bootstrap",
        )

    def resume(self, policy: Policy, learner: Learner, clock: Clock) -> None:
        """Go on from the checkpoint, if there is one; forget what was logged after it."""
        checkpoint = self.folder.find_checkpoint()
        if checkpoint is None:
            self.folder.episodes.cut(0)
            self.folder.progress.cut(0)
            return
        tensors, counters = load_training_state(checkpoint)
        load_tensors_into(policy, load_tensors(find_policy(checkpoint)), str(checkpoint))
        self.check_frozen(policy)
        learner.load_state_tensors(_under(tensors, "optimizer/"), counters["num_updates"])
        clock.learned_steps = self.steps = counters["learned_steps"]
        clock.set_state(_under(tensors, "clock/"))
        clock.actor.set_state(_under(tensors, "actor/"))
        self.folder.episodes.cut(counters["episodes_bytes"])
        self.folder.progress.cut(counters["progress_bytes"])
        self.seconds = counters["seconds"]
        self.recent.extend(counters["recent_returns"])

    def save(self, policy: Policy, learner: Learner, clock: Clock) -> None:
        """Save everything a resumed run needs, after checking what is frozen."""
        self.check_frozen(policy)
        tensors = {
            f"{where}/{name}": tensor
            for where, part in (
                ("optimizer", learner.state_tensors()),
                ("clock", clock.get_state()),
                ("actor", clock.actor.get_state()),
            )
            for name, tensor in part.items()
        }
        counters = {
            "num_updates": learner.num_updates,
            "learned_steps": clock.learned_steps,
            "seconds": self.seconds,
            "episodes_bytes": self.folder.episodes.size,
            "progress_bytes": self.folder.progress.size,
            "recent_returns": list(self.recent),
        }
        save_checkpoint(self.folder, policy, tensors, counters)

    def check_frozen(self, policy: Policy) -> None:
        """Check that frozen parts are bitwise what they were; a difference is an error."""
        assert self.spec.update_rule is not None
        check_frozen(policy, self.spec.update_rule, self.frozen)

    def log_progress(self, update: Update, learner: Learner) -> None:
        """Append a row to progress.csv."""
        row: dict[str, object] = {name: float(value) for name, value in update.metrics.items()}
        self.folder.progress.append(
            [
                row
                | {
                    "steps": self.steps,
                    "frames": self.steps * frames_per_step(self.env),
                    "updates": learner.num_updates,
                    "seconds": round(self.seconds, 3),
                    "learning_rate": learner.learning_rate(self.steps - update.num_steps),
                    "mean_return": self.mean_recent_return(),
                }
            ]
        )

    def log_episodes(
        self, episodes: Iterable[EpisodeStats], phase: str, flavor: Flavor | None = None
    ) -> None:
        """Append rows to episodes.csv."""
        self.folder.episodes.append(
            {
                "step": episode.step,
                "return": episode.episode_return,
                "length": episode.length_steps,
                "flavor": flavor or self.spec.flavor,
                "phase": phase,
            }
            for episode in episodes
        )

    def mean_recent_return(self) -> float | None:
        """Return the mean of the most recent training episodes."""
        return float(np.mean(self.recent)) if self.recent else None

    # -------------------------------------------------------------------------------- scoring

    def score(self) -> dict[str, Any]:
        """Score the final policy on its flavor and, after a transfer, on its source."""
        spec = self.spec
        training = summary(list(self.recent)) if spec.steps else None
        evaluation = self.evaluate(spec.flavor, "evaluation")
        source = None
        if spec.source is not None and spec.evaluation.source:
            source = self.evaluate(spec.source, "source evaluation")
        by_training = training is not None and spec.evaluation.score == "training"
        headline = training if by_training and training is not None else evaluation
        return headline | {
            "score": "training" if by_training else "evaluation",
            "training": training,
            "evaluation": evaluation,
            "source_evaluation": source,
        }

    def evaluate(self, flavor: Flavor, phase: str) -> dict[str, Any]:
        """Play the evaluation's episodes in a flavor."""
        spec, config = self.spec, self.spec.evaluation

        def stop_if_asked(episode: EpisodeStats) -> None:
            del episode
            if self.should_stop():
                raise Stopped

        episodes = evaluate_policy(
            self.policy,
            flavor,
            num_episodes=config.episodes,
            # Every condition meets the same episodes: only seed and flavor decide them.
            seed=spec.seed,
            num_envs=spec.num_envs,
            greedy=config.actions == "greedy",
            device=str(self.device),
            options=spec.environment_options,
            watch=stop_if_asked,
        )
        self.log_episodes([e._replace(step=self.steps) for e in episodes], phase, flavor)
        return summary([episode.episode_return for episode in episodes])


# ------------------------------------------------------------------------------------- helpers


def check_policy(
    observation_shape: tuple[int, ...], agent: AgentConfig, rules: Iterable[UpdateRule]
) -> None:
    """Build a network once and name every part of some rules.

    Raises:
        InputError: The network does not fit the observations, or a rule names no part of it.
    """
    policy = Policy(observation_shape, 2, agent)
    tensors = {name: tensor.detach().clone() for name, tensor in policy.parts()}
    for rule in rules:
        apply_update_rule(policy, rule, tensors)


def policy_for(env: VectorEnv, agent: AgentConfig, flavor: Flavor) -> Policy:
    """Build a policy with fresh weights for an environment's spaces.

    Raises:
        InputError: The network does not fit the observations, or actions are not discrete.
    """
    space, actions = env.single_observation_space, env.single_action_space
    num_actions = getattr(actions, "n", None)
    if space.shape is None or num_actions is None:
        raise InputError(
            f"'{flavor}' has observations {space} and actions {actions}; thaw needs arrays and "
            "discrete actions"
        )
    return Policy(space.shape, int(num_actions), agent)


def evaluate_policy(
    policy: Acting | None,
    flavor: Flavor,
    *,
    num_episodes: int,
    seed: int,
    num_envs: int,
    greedy: bool = False,
    device: str = "cpu",
    options: Mapping[str, Any] | None = None,
    watch: Callable[[EpisodeStats], None] | None = None,
) -> list[EpisodeStats]:
    """Play episodes of a flavor, evenly spread over environments.

    Args:
        policy: What acts; None is the uniform random policy.
        flavor: Where.
        num_episodes: In all.
        seed: Decides episodes and sampling, together with the flavor; never shared with training.
        num_envs: At most; not more than ``num_episodes``.
        greedy: Take the most probable action.
        device: Where the policy computes.
        options: The family's options.
        watch: Called with each episode that counts.

    Returns:
        The episodes.
    """
    env = make_env(flavor, min(num_envs, num_episodes), **(options or {}))
    try:
        if policy is None:
            policy = UniformPolicy(int(getattr(env.single_action_space, "n", 0)))
        elif isinstance(policy, Policy):
            policy.eval()
        stream = RunSpec(
            condition="evaluation", flavor=flavor, update_rule=None, seed=seed, steps=0
        )
        actor = Actor(
            env, policy, seed=stream.derived_seed("evaluation"), device=device, greedy=greedy
        )
        return evaluate(actor, num_episodes, watch)
    finally:
        env.close()


def check_same_spaces(source: Policy, policy: Policy, where: str, flavor: Flavor) -> None:
    """Check that a pretrained policy can see and act in a flavor.

    Raises:
        InputError: Observations or actions differ.
    """
    for what, there, here in (
        ("observations of shape", source.observation_shape, policy.observation_shape),
        ("actions:", source.num_actions, policy.num_actions),
    ):
        if there != here:
            raise InputError(
                f"{where} was trained with {what} {there}, '{flavor}' has {here}; give source "
                "and target the same environment options"
            )


def resolve_device(name: str) -> torch.device:
    """Return a device; ``auto`` is CUDA where there is one.

    Raises:
        InputError: No such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device '{name}' is not there (no usable CUDA GPU); use cpu or auto")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device '{name}'; use auto, cpu or cuda") from None
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device '{name}' is not supported; use auto, cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device '{name}' is not there; there are {torch.cuda.device_count()}")
    return device


def describe_machine(runtime: Runtime) -> dict[str, object]:
    """Describe versions and hardware, never the environment's variables."""
    packages = ("thaw", "torch", "gymnasium", "numpy", "safetensors")
    device = resolve_device(runtime.device)
    return {
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in packages},
        "git_commit": _git_commit(),
        "platform": platform.platform(),
        "processor": _processor(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "num_threads": runtime.num_threads,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def summary(returns: list[float]) -> dict[str, Any]:
    """Return mean, standard error of the mean (None below two) and count."""
    count = len(returns)
    sem = float(np.std(returns, ddof=1) / np.sqrt(count)) if count > 1 else None
    return {
        "mean_return": float(np.mean(returns)) if count else None,
        "sem": sem,
        "num_episodes": count,
    }


def _under(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
