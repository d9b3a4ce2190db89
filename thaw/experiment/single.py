"""One run by itself, without a suite: what ``thaw train`` and ``transfer`` do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from thaw.config.errors import InputError, check_at_least
from thaw.config.flavor import Flavor
from thaw.config.milestones import milestone_steps
from thaw.config.presets import expand_preset, set_values
from thaw.config.run_spec import RunSpec
from thaw.config.runtime import Runtime
from thaw.config.strict import from_plain, to_plain
from thaw.config.trust import check_code, code_named_in
from thaw.config.update_rule import UpdateRule
from thaw.experiment.display import Display
from thaw.experiment.opened_policy import TRUST_IN_PYTHON, check_fits, read_checkpoint
from thaw.experiment.plan import PlannedRun
from thaw.experiment.signals import StopRequest, end, handled_even_if_hung
from thaw.experiment.stalls import Silence, describe_stall, watchdog
from thaw.files.attempts import read_attempts, with_ended, write_attempts
from thaw.files.ownership import Lost
from thaw.files.policy_file import hash_of
from thaw.files.run_folder import RunFolder
from thaw.training.progress import Progress, Stopped
from thaw.training.run import execute_run


def train_spec(
    flavor: str,
    *,
    steps: int,
    seed: int = 0,
    milestones: int | None = None,
    embedding: str | None = None,
    overrides: Iterable[str] = (),
) -> RunSpec:
    """Describe a training from scratch, as a suite's pretraining is one.

    Args:
        flavor: Where the policy acts and learns.
        steps: Decisions of the agent.
        seed: Decides initial weights, episodes and sampling.
        milestones: How many log-spaced policies to keep; None keeps the final one only.
        embedding: Of the agent; None is the default.
        overrides: ``dotted.key=value`` items below agent, environment and evaluation.

    Raises:
        InputError: An unknown key, or a value that is not allowed.
    """
    check_at_least("--steps", steps, 1)
    check_at_least("--milestones", milestones, 1)
    plain: dict[str, Any] = {
        "condition": "pretrain",
        "flavor": flavor,
        "update_rule": "scratch",
        "seed": seed,
        "steps": steps,
        "agent": {} if embedding is None else {"embedding": embedding},
    }
    if milestones is not None:
        plain["milestones"] = milestone_steps(milestones, steps)
    return _spec(plain, overrides)


def transfer_spec(
    checkpoint: str | Path,
    flavor: str,
    rule: str,
    *,
    steps: int,
    seed: int = 0,
    source_step: int | None = None,
    overrides: Iterable[str] = (),
    trust_code: bool = False,
    how: str = TRUST_IN_PYTHON,
) -> RunSpec:
    """Describe the transfer of a trained policy to a flavor. Give the run the same checkpoint.

    Target and source are made once each where the rule takes weights from the checkpoint, to
    compare their spaces.

    Args:
        checkpoint: A run's folder, or the folder in it that holds the policy file.
        flavor: The target.
        rule: A built-in rule, or one like ``embedding=source:frozen,head=random:trained``.
        steps: Decisions of the agent, if the rule trains a part.
        seed: Decides fresh weights, episodes and sampling.
        source_step: The milestone that the checkpoint is, if it is one.
        overrides: As for :func:`train_spec`; agent and environment are the checkpoint's by default.
        trust_code: Import, call and start what the checkpoint and its run name (SECURITY.md).
        how: What to type for a checkpoint that is trusted; part of the error.

    Raises:
        InputError: A missing or broken checkpoint, one that names code without permission, a wrong
            rule or override, or a target whose observations or actions are not the checkpoint's.
    """
    check_at_least("--steps", steps, 1)
    overrides = tuple(overrides)
    source = read_checkpoint(checkpoint)
    origin, update_rule = source.origin, UpdateRule(rule)
    plain: dict[str, Any] = {
        "condition": rule if re.fullmatch(r"\w+", rule) else "transfer",
        "flavor": flavor,
        "source": origin.flavor if origin and update_rule.needs_source else None,
        "source_hash": hash_of(source.file),
        "update_rule": rule,
        "seed": seed,
        "steps": steps if update_rule.trains else 0,
        "agent": to_plain(source.description.agent),
        "environment": dict(origin.environment) if origin else {},
    }
    if source_step is not None and update_rule.needs_source:
        plain["source_step"] = source_step
    spec = _spec(plain, overrides)
    if not trust_code:
        said = [*code_named_in(Flavor(flavor)), *overrides]
        named = [*code_named_in(spec), *code_named_in(origin)]
        check_code(f"checkpoint '{checkpoint}'", named, said, how)
    if update_rule.needs_source:
        check_fits(source, spec.flavor, spec.environment_options)
    return spec


class Outcome(NamedTuple):
    """How a run ended."""

    result: dict[str, Any] | None
    """What result.json holds; None if the run was stopped."""
    stopped_by: int | None
    """The signal that stopped the run; the same call continues it."""


def run_alone(
    spec: RunSpec,
    folder: RunFolder,
    *,
    runtime: Runtime,
    source: str | Path | None = None,
    wait_seconds: float = 0.0,
    where: str = "alone",
) -> Outcome:
    """Execute one run in this process, or continue it, with a bar on a terminal.

    A signal saves the run and stops it (:mod:`thaw.experiment.signals`). If the run makes no
    progress for ``runtime.stall_seconds``, the process ends with exit status 1.

    Args:
        spec: The run.
        folder: The run's.
        runtime: Device, threads, cadence.
        source: Checkpoint of the pretrained policy, if the rule needs one.
        wait_seconds: How long to wait for another process that owns the folder.
        where: What executes the run, for its attempts.json.

    Raises:
        InputError: The spec, the source or the folder is wrong; nothing is written then.
        WriteFailed: Disk full and the like; the previous checkpoint is intact.
    """
    planned = PlannedRun(str(spec.flavor), spec, None)
    stop, silence, steps = StopRequest(), Silence(), 0

    def watch(progress: Progress) -> None:
        nonlocal steps
        steps = progress.steps
        display.update(planned, steps, progress.mean_return)

    def should_stop() -> bool:
        silence.end()
        return stop.signum is not None

    def end_stalled() -> None:
        reason = describe_stall(runtime.stall_seconds, steps, spec.steps)
        folder.fail(reason)
        with suppress(OSError, InputError, Lost):
            folder.check_owner()
            ended = with_ended(read_attempts(folder.path), "stall", reason)
            write_attempts(folder.path, ended)
        end(f"thaw: {reason}; the same command continues from the last checkpoint", 1)

    with (
        handled_even_if_hung(stop),
        watchdog(silence, runtime.stall_seconds, end_stalled),
        Display([planned], []) as display,
    ):
        display.start(planned, folder.saved_steps())
        try:
            result = execute_run(
                spec,
                folder,
                runtime,
                source=source,
                watch=watch,
                should_stop=should_stop,
                wait_seconds=wait_seconds,
                where=where,
            )
        except Stopped:
            display.finish(planned, "stopped", None)
            return Outcome(None, stop.signum)
        display.finish(planned, "done", result)
        return Outcome(result, None)


def _spec(plain: dict[str, Any], overrides: Iterable[str]) -> RunSpec:
    """Build the description of a single run."""
    for item in overrides:
        if item.partition("=")[0].split(".")[0] not in ("agent", "environment", "evaluation"):
            raise InputError(
                f"--set {item}: a single run has agent.*, environment.* and evaluation.*"
            )
        set_values(plain, [item])
    expand_preset(plain, plain["flavor"])
    return from_plain(plain, RunSpec, "the run")
