"""One run from its description to its result: act, learn, save, score."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch

from thaw.asynchronous import ActorsFailed, Asynchronous
from thaw.checkpoint import (
    PolicyDescription,
    find_policy,
    load_tensors,
    load_tensors_into,
    load_training_state,
    read_description,
    save_checkpoint,
)
from thaw.clocks import Clock, Update, build_clock
from thaw.collector import Collector
from thaw.config import AgentConfig, RunSpec, Runtime
from thaw.envs import VectorEnv, frames_per_step, make_env, options_from
from thaw.impala.learner import Learner
from thaw.machine import describe_machine, resolve_device
from thaw.plain import InputError
from thaw.policy import Policy
from thaw.precision import settle_precision
from thaw.ray_session import check_ray
from thaw.remote_actors import RemoteActors
from thaw.rollout import Actor
from thaw.run_folder import RunFolder, locked, write_json
from thaw.scoring import evaluate_policy, summary
from thaw.types import EpisodeStats
from thaw.update_rules import apply_update_rule, check_frozen
from thaw.words import Flavor, UpdateRule

PROGRESS_ROWS = 1000
"""Rows of progress.csv over a run: enough to see, few enough to read."""


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
    spec = as_begun(spec, folder)
    if folder.is_done:
        folder.begin(spec)  # checks that it is this run's
        return folder.result()
    torch.set_num_threads(runtime.num_threads)
    run = _Run(spec, folder, runtime, source, watch, should_stop)
    try:
        with locked(folder.path):
            return run.execute()
    finally:
        run.close_envs()


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
        self.is_asynchronous = spec.agent.clock == "asynchronous" and spec.steps > 0
        if self.is_asynchronous:
            check_ray(runtime.ray_address)
        self.envs = self.make_envs()
        self.env = self.envs[0]
        if spec.update_rule is not None:
            shape = self.env.single_observation_space.shape or ()
            agent = settle_precision(spec.agent, shape, self.device)
            self.spec = spec = msgspec.structs.replace(spec, agent=agent)
        self.policy = None if spec.update_rule is None else self.build_policy(source)
        folder.begin(spec)
        write_json(folder.path / "machine.json", describe_machine(runtime, spec.flavor))
        self.started = time.monotonic()
        self.earlier_seconds = 0.0
        self.steps = 0
        self.recent: deque[float] = deque(maxlen=spec.evaluation.episodes)

    def make_envs(self) -> list[VectorEnv]:
        """Make the environments of each group that acts on its own."""
        spec, options = self.spec, self.spec.environment_options
        if self.is_asynchronous:
            # The actors make their own; this one, closed at once because they may need its
            # device, only says what those are like.
            env = make_env(spec.flavor, 1, **options)
            env.close()
            return [env]
        group_size = spec.num_envs // spec.agent.env_groups
        return [
            make_env(
                spec.flavor,
                group_size,
                drawn_on=str(self.device),
                **options_from(spec.flavor, options, first),
            )
            for first in range(0, spec.num_envs, group_size)
        ]

    def close_envs(self) -> None:
        """Close them all, however often."""
        for env in self.envs:
            env.close()

    def build_policy(self, source: str | Path | None) -> Policy:
        """Build the policy and apply the update rule; keep what may not change."""
        rule = self.spec.update_rule
        assert rule is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.spec.derived_seed("initial weights"))
            policy = policy_for(self.env, self.spec.agent, self.spec.flavor)
        tensors = load_tensors(find_policy(source)) if source is not None else None
        if source is not None and rule.needs_source:
            there = read_description(find_policy(source))
            check_same_spaces(there, policy, str(source), self.spec.flavor)
        apply_update_rule(policy, rule, tensors)
        self.frozen = {
            name: tensor.detach().clone()
            for name, tensor in policy.parts()
            if name in policy.frozen
        }
        return policy.to(self.device)

    @property
    def seconds(self) -> float:
        """Wall-clock time of this run so far, earlier sessions included."""
        return self.earlier_seconds + time.monotonic() - self.started

    def execute(self) -> dict[str, Any]:
        """Train if anything trains, then score."""
        if self.spec.steps and self.policy is not None:
            self.train(self.policy)
        else:
            self.folder.episodes.cut(0)  # of an evaluation that was broken off
            if self.policy is not None:
                save_checkpoint(self.folder, self.policy)
        self.close_envs()  # the score's environments may need their devices
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
        clock = self.build_clock(policy, learner)
        try:
            self.resume(policy, learner, clock)
            batch_steps = spec.agent.unroll_length * spec.num_envs
            updates_per_row = max(1, spec.steps // batch_steps // PROGRESS_ROWS)
            episodes: list[EpisodeStats] = []
            saved = time.monotonic()

            def save() -> None:
                self.log_episodes(episodes, "training")
                episodes.clear()
                self.save(policy, learner, clock)

            while clock.learned_steps < spec.steps:
                last = clock.learned_steps + batch_steps >= spec.steps
                try:
                    update = clock.update(last=last)
                except (ActorsFailed, Stopped):  # while it waited for actors: the learner is whole
                    save()
                    raise
                episodes += update.episodes
                self.recent.extend(episode.episode_return for episode in update.episodes)
                self.steps = clock.learned_steps
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

    def build_clock(self, policy: Policy, learner: Learner) -> Clock:
        """Build the clock that the config names, with the actors of the asynchronous one."""
        if not self.is_asynchronous:
            return build_clock(self.spec.agent, self.make_collector, learner)

        def stop_if_asked() -> None:
            if self.should_stop():
                raise Stopped

        actors = RemoteActors(
            self.spec,
            self.runtime,
            observation_shape=policy.observation_shape,
            num_actions=policy.num_actions,
            store_embeddings=policy.embedding_frozen,
            stream=f"acting from {self.folder.saved_steps()}",
            check=stop_if_asked,
        )
        return Asynchronous(actors, learner, self.spec.num_envs)

    def make_collector(self, policy: Policy) -> Collector:
        """Put a policy into the run's training environments."""
        # An environment that cannot be restored must not replay its first episodes.
        stream = f"acting from {self.folder.saved_steps()}"
        streams = [stream, *(f"{stream}, group {g}" for g in range(1, len(self.envs)))]
        return Collector(
            [
                Actor(
                    env,
                    policy,
                    seed=self.spec.derived_seed(stream),
                    device=str(self.device),
                    bootstrap_truncated=self.spec.agent.truncation == "bootstrap",
                )
                for env, stream in zip(self.envs, streams, strict=True)
            ]
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
        clock.collector.set_state(_under(tensors, "actor/"))
        self.folder.episodes.cut(counters["episodes_bytes"])
        self.folder.progress.cut(counters["progress_bytes"])
        self.earlier_seconds = counters["seconds"]
        self.recent.extend(counters["recent_returns"])

    def save(self, policy: Policy, learner: Learner, clock: Clock) -> None:
        """Save everything a resumed run needs, after checking what is frozen."""
        self.check_frozen(policy)
        tensors = {
            f"{where}/{name}": tensor
            for where, part in (
                ("optimizer", learner.state_tensors()),
                ("clock", clock.get_state()),
                ("actor", clock.collector.get_state()),
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
                "truncated": int(episode.truncated),
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
        return summary([episode.episode_return for episode in episodes]) | {
            "num_truncated": sum(episode.truncated for episode in episodes)
        }


# ------------------------------------------------------------------------------------- helpers


def as_begun(spec: RunSpec, folder: RunFolder) -> RunSpec:
    """Replace ``precision: auto`` by what an earlier session of the run settled on."""
    if spec.agent.precision != "auto" or not (folder.path / "run.json").is_file():
        return spec
    agent = msgspec.structs.replace(spec.agent, precision=folder.spec().agent.precision)
    return msgspec.structs.replace(spec, agent=agent)


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


def check_same_spaces(
    source: Policy | PolicyDescription, policy: Policy, where: str, flavor: Flavor
) -> None:
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


def _under(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
