"""One run from its description to its result: build, train, score."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import torch

from thaw.acting.remote.messages import ActorsFailed
from thaw.acting.remote.ray_session import check_ray
from thaw.config import RunSpec, Runtime
from thaw.config.errors import InputError, NotFinite
from thaw.envs.spaces import VectorEnv, frames_per_step
from thaw.files.atomic import indented_json, write_files
from thaw.files.checkpoint import (
    STATE_FILE,
    load_tensors,
    load_tensors_into,
    read_description,
    save_checkpoint,
)
from thaw.files.policy_file import find_policy, hash_of
from thaw.files.run_folder import RunFolder
from thaw.impala.learner import Learner
from thaw.impala.teacher import Teacher
from thaw.policy import Policy
from thaw.policy.parts_table import part_rows, table_of
from thaw.policy.precision import resolve_precision
from thaw.policy.timm_embedding import with_checksum
from thaw.policy.trajectory import EpisodeStats
from thaw.policy.update_rules import apply_update_rule
from thaw.training.attempt import attempted, done_files
from thaw.training.build import (
    build_clock,
    check_same_spaces,
    is_asynchronous,
    make_training_envs,
    policy_for,
)
from thaw.training.clocks import acting_copy, below
from thaw.training.health import Health, has_diverged
from thaw.training.machine import describe_machine, limit_gpu_memory, resolve_device
from thaw.training.progress import PROGRESS_ROWS, RunLog, Stopped, Watch
from thaw.training.scores import score_run
from thaw.training.state import TrainingState


def execute_run(
    spec: RunSpec,
    folder: RunFolder,
    runtime: Runtime,
    *,
    source: str | Path | None = None,
    watch: Watch = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    wait_seconds: float = 0.0,
    where: str = "alone",
) -> dict[str, Any]:
    """Execute one run, or continue it, and return its result.

    Args:
        spec: The run.
        folder: Its files; a finished run is only read.
        runtime: Device, threads, interval of checkpoints.
        source: Checkpoint of the pretrained policy, if the rule needs one.
        watch: Called after every update.
        should_stop: Asked after every update and every step of an evaluation.
        wait_seconds: How long to wait for another process that owns the folder.
        where: What executes the run, for its attempts.json.

    Raises:
        InputError: The spec or the source is wrong, or another process owns the folder. Then
            nothing was written, unless the folder existed.
        NotFinite: A reward, observation, loss or weight was nan or infinite; the checkpoint from
            before is intact.
        Stopped: ``should_stop`` returned true; the run is saved.
        WriteFailed: The disk is full, for example; the previous checkpoint is intact.
        Lost: Another process has taken the folder while this one was silent; nothing was written
            since.
    """
    spec = as_begun(msgspec.structs.replace(spec, agent=with_checksum(spec.agent)), folder)
    if folder.is_done:
        folder.begin(spec)  # checks that the folder is this run's
        return folder.result()
    torch.set_num_threads(runtime.num_threads)
    device = resolve_device(runtime.device)
    limit_gpu_memory(device, runtime.runs_per_gpu)
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
            agent = resolve_precision(spec.agent, shape, device)
            spec = msgspec.structs.replace(spec, agent=agent)
            policy = build_policy(spec, envs[0], source).to(device)
        folder.begin(spec)
        log = RunLog(spec, folder, frames_per_step(envs[0]))
        waiting = folder.owned(wait_seconds=wait_seconds, should_stop=should_stop)
        with waiting, ExitStack() as attempt:
            if folder.is_done:  # by the process that owned it before
                return folder.result()
            folder.error_log.unlink(missing_ok=True)  # of an attempt before
            write_description(folder, spec, runtime, policy)
            attempt.enter_context(attempted(folder, where))
            if spec.steps and policy is not None:
                teacher = build_teacher(spec, policy, source)
                noise_seed = spec.derived_seed("noise of the network")
                learner = Learner(policy, spec.agent, spec.steps, teacher, noise_seed)
                checkpoint = folder.find_checkpoint()
                stream = f"acting from {folder.saved_steps()}"
                clock = build_clock(
                    spec, runtime, envs, learner, stream=stream, check=stop_if_asked
                )
                state = TrainingState(policy, learner, clock, log, Health(learner))
                try:
                    state.resume(folder, checkpoint)
                    train(spec, state, folder, runtime, watch, stop_if_asked)
                finally:
                    clock.close()
            else:
                folder.episodes.cut(0)  # of an evaluation that was interrupted
                if policy is not None:
                    save_checkpoint(folder, policy)
            close_all(envs)  # the evaluation's environments may need their devices
            scores = score_run(spec, policy, log, device=str(device), check=stop_if_asked)
            result = scores | {
                "steps": log.steps,
                "frames": log.frames,
                "seconds": round(log.seconds, 2),
            }
            if policy is not None and has_diverged(policy):
                result["diverged"] = True
            folder.finish(result, done_files(folder))
            return result
    except InputError:
        stop_if_asked()  # it was stopped while another process owned the folder
        raise
    except NotFinite as error:
        raise NotFinite(f"{error}; {what_is_kept(folder)}") from error
    finally:
        close_all(envs)


def write_description(
    folder: RunFolder, spec: RunSpec, runtime: Runtime, policy: Policy | None
) -> None:
    """Write where the run is executed, and which parts train."""
    files = {"machine.json": indented_json(describe_machine(runtime, spec.flavor))}
    if policy is not None:
        table = table_of(part_rows(policy, policy.part_rules), spec.agent.learning_rate)
        files["parts.txt"] = f"{spec.update_rule}\n\n{table}".encode()
    write_files(folder.path, files)


def train(
    spec: RunSpec,
    state: TrainingState,
    folder: RunFolder,
    runtime: Runtime,
    watch: Watch,
    stop_if_asked: Callable[[], None],
) -> None:
    """Learn until the run has its steps, and save at intervals.

    Raises:
        Stopped: ``stop_if_asked`` raised it; the run is saved.
        ActorsFailed: The actors bring no more unrolls; the run is saved.
    """
    learner, clock, log = state.learner, state.clock, state.log
    batch_steps = spec.agent.unroll_length * spec.num_envs
    updates_per_row = max(1, spec.steps // batch_steps // PROGRESS_ROWS)
    milestones = [step for step in spec.milestones if step > clock.learned_steps]
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
        except (ActorsFailed, Stopped):  # raised between two updates of the learner
            save()
            raise
        except Exception:
            state.health.check_updates()  # acting fails too once a loss was nan: name the cause
            raise
        state.health.take(update.metrics)
        episodes += update.episodes
        log.count(update, clock.learned_steps)
        if learner.num_updates % updates_per_row == 0:
            state.health.check_updates()
            log.log_update(update, learner)
        while milestones and milestones[0] <= clock.learned_steps:
            state.keep(folder, milestones.pop(0))
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


def what_is_kept(folder: RunFolder) -> str:
    """Say from where a run that failed goes on."""
    if steps := folder.saved_steps():
        return f"the checkpoint of step {steps:,} is intact, and another try goes on from it"
    return "no checkpoint was saved yet, so another try starts again"


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
        if spec.source is None and spec.source_hash not in (None, hash_of(file)):
            raise InputError(
                f"'{source}' holds another policy than when this run was planned; put that one "
                "back, or choose another --out"
            )
        check_same_spaces(read_description(file), policy, str(source), spec.flavor)
        tensors = load_tensors(file)
    apply_update_rule(policy, rule, tensors, steps=spec.steps)
    if rule.optimizer == "source":
        assert source is not None
        rules = policy.part_rules
        policy.optimizer_state = {
            key: tensor
            for key, tensor in source_optimizer(spec, find_policy(source)).items()
            if rules[key.rpartition("/")[0]].weights == "source"
        }
    return policy


def build_teacher(spec: RunSpec, policy: Policy, source: str | Path | None) -> Teacher | None:
    """Build a run's teacher; None if its rule has none.

    Raises:
        InputError: The source has other tensors than the run's policy.
    """
    rule = spec.update_rule
    if rule is None or source is None or (teaches := rule.within(spec.steps).teacher) is None:
        return None
    teacher, file = acting_copy(policy), find_policy(source)
    load_tensors_into(teacher, load_tensors(file), str(file))
    return Teacher(teacher, teaches, spec.num_envs)


def source_optimizer(spec: RunSpec, file: Path) -> dict[str, torch.Tensor]:
    """Load the optimizer state beside a policy file, by parameter and slot.

    Raises:
        InputError: It is not there, or is another optimizer's.
    """
    there, here = read_description(file).agent, spec.agent
    for name in ("optimizer", "rmsprop_momentum"):
        before, now = getattr(there, name), getattr(here, name)
        if before != now:
            raise InputError(
                f"optimizer=source: the source was trained with agent.{name}={before}, this run "
                f"has {now}; give both the same, or leave optimizer=source out"
            )
    if not (file.parent / STATE_FILE).is_file():
        raise InputError(
            f"optimizer=source: {file.parent} has no {STATE_FILE}; leave optimizer=source out"
        )
    return below("optimizer/", load_tensors(file.parent / STATE_FILE))


def close_all(envs: Sequence[VectorEnv]) -> None:
    """Close environments; some may be closed already."""
    for env in envs:
        env.close()


def as_begun(spec: RunSpec, folder: RunFolder) -> RunSpec:
    """Replace ``precision: auto`` by what an earlier session of the run chose."""
    if spec.agent.precision != "auto" or not (folder.path / "run.json").is_file():
        return spec
    agent = msgspec.structs.replace(spec.agent, precision=folder.spec().agent.precision)
    return msgspec.structs.replace(spec, agent=agent)
