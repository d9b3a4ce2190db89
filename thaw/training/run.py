"""One run from its description to its result: build, train, score."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

from thaw.acting.remote.messages import ActorsFailed
from thaw.acting.remote.ray_session import check_ray
from thaw.config import RunSpec, Runtime
from thaw.envs.spaces import VectorEnv, frames_per_step
from thaw.files.atomic import locked, write_json
from thaw.files.checkpoint import find_policy, load_tensors, read_description, save_checkpoint
from thaw.files.run_folder import RunFolder
from thaw.impala.learner import Learner
from thaw.policy import Policy
from thaw.policy.precision import settle_precision
from thaw.policy.update_rules import FrozenParts, apply_update_rule
from thaw.training.build import (
    build_clock,
    check_same_spaces,
    is_asynchronous,
    make_training_envs,
    policy_for,
)
from thaw.training.machine import describe_machine, resolve_device
from thaw.training.progress import PROGRESS_ROWS, RunLog, Stopped, Watch
from thaw.training.scores import score_run
from thaw.training.state import TrainingState
from thaw.trajectory import EpisodeStats


def execute_run(
    spec: RunSpec,
    folder: RunFolder,
    runtime: Runtime,
    *,
    source: str | Path | None = None,
    watch: Watch = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Do one run, or continue it, and return its result.

    Args:
        spec: What the run is.
        folder: Its files; a finished run is only read.
        runtime: Device, threads, cadence.
        source: Checkpoint of the pretrained policy, if the rule needs one.
        watch: Called after every update.
        should_stop: Asked after every update and every step of an evaluation.

    Raises:
        InputError: The spec or the source is wrong; nothing was written then, unless the folder
            existed.
        Stopped: ``should_stop`` said so; the run is saved.
        WriteFailed: Disk full and the like; the previous checkpoint is intact.
    """
    spec = as_begun(spec, folder)
    if folder.is_done:
        folder.begin(spec)  # checks that it is this run's
        return folder.result()
    torch.set_num_threads(runtime.num_threads)
    device = resolve_device(runtime.device)
    if is_asynchronous(spec):
        check_ray(runtime.ray_address)

    def stop_if_asked() -> None:
        if should_stop():
            raise Stopped

    envs = make_training_envs(spec, str(device))
    try:
        policy = None
        if spec.update_rule is not None:
            shape = envs[0].single_observation_space.shape or ()
            agent = settle_precision(spec.agent, shape, device)
            spec = msgspec.structs.replace(spec, agent=agent)
            policy = build_policy(spec, envs[0], source).to(device)
        folder.begin(spec)
        write_json(folder.path / "machine.json", describe_machine(runtime, spec.flavor))
        log = RunLog(spec, folder, frames_per_step(envs[0]))
        with locked(folder.path):
            if spec.steps and policy is not None:
                learner = Learner(policy, spec.agent, spec.steps)
                stream = f"acting from {folder.saved_steps()}"
                clock = build_clock(
                    spec, runtime, envs, learner, stream=stream, check=stop_if_asked
                )
                state = TrainingState(policy, FrozenParts(policy), learner, clock, log)
                try:
                    train(spec, state, folder, runtime, watch, stop_if_asked)
                finally:
                    clock.close()
            else:
                folder.episodes.cut(0)  # of an evaluation that was interrupted
                if policy is not None:
                    save_checkpoint(folder, policy)
            close_all(envs)  # the score's environments may need their devices
            scores = score_run(spec, policy, log, device=str(device), check=stop_if_asked)
            result = scores | {
                "steps": log.steps,
                "frames": log.frames,
                "seconds": round(log.seconds, 2),
            }
            folder.finish(result)
            return result
    finally:
        close_all(envs)


def train(
    spec: RunSpec,
    state: TrainingState,
    folder: RunFolder,
    runtime: Runtime,
    watch: Watch,
    stop_if_asked: Callable[[], None],
) -> None:
    """Learn until the budget is spent, saving on the way.

    Raises:
        Stopped: By ``stop_if_asked``; the run is saved.
        ActorsFailed: The actors bring no more unrolls; the run is saved.
    """
    learner, clock, log = state.learner, state.clock, state.log
    state.resume(folder)
    batch_steps = spec.agent.unroll_length * spec.num_envs
    updates_per_row = max(1, spec.steps // batch_steps // PROGRESS_ROWS)
    episodes: list[EpisodeStats] = []
    saved = time.monotonic()

    def save() -> None:
        log.log_episodes(episodes, "training", spec.flavor)
        episodes.clear()
        state.save(folder)

    while clock.learned_steps < spec.steps:
        last = clock.learned_steps + batch_steps >= spec.steps
        try:
            update = clock.update(last=last)
        except (ActorsFailed, Stopped):  # it waited for actors: the learner is between updates
            save()
            raise
        episodes += update.episodes
        log.count(update, clock.learned_steps)
        if learner.num_updates % updates_per_row == 0:
            log.log_update(update, learner)
        watch(log.progress)
        try:
            stop_if_asked()
        except Stopped:
            save()
            raise
        if time.monotonic() - saved >= runtime.checkpoint_seconds:
            save()
            saved = time.monotonic()
    save()


def build_policy(spec: RunSpec, env: VectorEnv, source: str | Path | None) -> Policy:
    """Build a run's policy under its update rule.

    Raises:
        InputError: The network does not fit the environment, or the source does not fit the
            network or the rule.
    """
    rule = spec.update_rule
    assert rule is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.derived_seed("initial weights"))
        policy = policy_for(env, spec.agent, spec.flavor)
    tensors = None
    if rule.needs_source and source is not None:
        file = find_policy(source)
        check_same_spaces(read_description(file), policy, str(source), spec.flavor)
        tensors = load_tensors(file)
    apply_update_rule(policy, rule, tensors)
    return policy


def close_all(envs: Sequence[VectorEnv]) -> None:
    """Close environments; those that are closed already stay so."""
    for env in envs:
        env.close()


def as_begun(spec: RunSpec, folder: RunFolder) -> RunSpec:
    """Replace ``precision: auto`` by what an earlier session of the run chose."""
    if spec.agent.precision != "auto" or not (folder.path / "run.json").is_file():
        return spec
    agent = msgspec.structs.replace(spec.agent, precision=folder.spec().agent.precision)
    return msgspec.structs.replace(spec, agent=agent)
