"""One run, evaluation or film by itself, without a suite: what ``thaw train`` and the like do."""

from __future__ import annotations

import hashlib
import re
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from thaw.acting.evaluation import evaluate_policy, summary
from thaw.acting.video import record
from thaw.config.errors import InputError, check_at_least
from thaw.config.flavor import Flavor
from thaw.config.run_spec import RunSpec, split_environment
from thaw.config.runtime import Runtime
from thaw.config.strict import from_plain, override, to_plain
from thaw.config.trust import check_code, code_named_in
from thaw.config.update_rule import UpdateRule
from thaw.envs.families import flavor_spaces
from thaw.envs.spaces import check_same_actions
from thaw.experiment.display import Display
from thaw.experiment.plan import PlannedRun
from thaw.files.checkpoint import (
    PolicyDescription,
    find_policy,
    load_described,
    read_description,
)
from thaw.files.run_folder import RunFolder, origin_of
from thaw.policy import Policy
from thaw.training.build import check_same_spaces
from thaw.training.machine import resolve_device
from thaw.training.progress import Stopped
from thaw.training.run import execute_run
from thaw.trajectory import EpisodeStats

RANDOM = "random"
"""Stands for the uniform random policy where a checkpoint may stand."""

TRUST_IN_PYTHON = "pass trust_code=True"


# ------------------------------------------------------------------------------------- one run


def train_spec(
    flavor: str,
    *,
    steps: int,
    seed: int = 0,
    embedding: str | None = None,
    overrides: Iterable[str] = (),
) -> RunSpec:
    """Describe a training from scratch, as a suite's pretraining is one.

    Args:
        flavor: Where the policy acts and learns.
        steps: Decisions of the agent.
        seed: Decides initial weights, episodes and sampling.
        embedding: Of the agent; None is the default.
        overrides: ``dotted.key=value`` items below agent, environment and evaluation.

    Raises:
        InputError: An unknown key, or a value that is not allowed.
    """
    check_at_least("--steps", steps, 1)
    plain = {
        "condition": "pretrain",
        "flavor": flavor,
        "update_rule": "scratch",
        "seed": seed,
        "steps": steps,
        "agent": {} if embedding is None else {"embedding": embedding},
    }
    return _spec(plain, overrides)


def transfer_spec(
    checkpoint: str | Path,
    flavor: str,
    rule: str,
    *,
    steps: int,
    seed: int = 0,
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
        overrides: As for :func:`train_spec`; agent and environment are the checkpoint's by default.
        trust_code: Import, call and start what the checkpoint and its run name (SECURITY.md).
        how: What to type for a checkpoint that is trusted; part of the error.

    Raises:
        InputError: A missing or broken checkpoint, one that names code without permission, a wrong
            rule or override, or a target whose observations or actions are not the checkpoint's.
    """
    check_at_least("--steps", steps, 1)
    overrides = tuple(overrides)
    source = _read_checkpoint(checkpoint)
    origin, update_rule = source.origin, UpdateRule(rule)
    plain: dict[str, Any] = {
        "condition": rule if re.fullmatch(r"\w+", rule) else "transfer",
        "flavor": flavor,
        "source": origin.flavor if origin and update_rule.needs_source else None,
        "source_hash": hashlib.sha256(source.file.read_bytes()).hexdigest()[:16],
        "update_rule": rule,
        "seed": seed,
        "steps": steps if update_rule.trains else 0,
        "agent": to_plain(source.description.agent),
        "environment": dict(origin.environment) if origin else {},
    }
    spec = _spec(plain, overrides)
    if not trust_code:
        said = [*code_named_in(Flavor(flavor)), *overrides]
        named = [*code_named_in(spec), *code_named_in(origin)]
        check_code(f"checkpoint '{checkpoint}'", named, said, how)
    if update_rule.needs_source:
        _check_fits(source, spec.flavor, spec.environment_options)
    return spec


class Outcome(NamedTuple):
    """How a run ended."""

    result: dict[str, Any] | None
    """What result.json holds; None if the run was stopped."""
    stopped_by: int | None
    """The signal that stopped the run; the same call continues it."""


def run_alone(
    spec: RunSpec, out: str | Path, *, runtime: Runtime, source: str | Path | None = None
) -> Outcome:
    """Execute one run in this process, or continue it, with a bar on a terminal.

    SIGINT and SIGTERM save the run and stop it.

    Args:
        spec: The run.
        out: The run's folder.
        runtime: Device, threads, cadence.
        source: Checkpoint of the pretrained policy, if the rule needs one.

    Raises:
        InputError: The spec, the source or the folder is wrong; nothing is written then.
        WriteFailed: Disk full and the like; the previous checkpoint is intact.
    """
    planned = PlannedRun(str(spec.flavor), spec, None)
    with _signals_caught() as caught, Display([planned], []) as display:
        display.start(planned)
        try:
            result = execute_run(
                spec,
                RunFolder(out),
                runtime,
                source=source,
                watch=lambda progress: display.update(
                    planned, progress.steps, progress.mean_return
                ),
                should_stop=lambda: bool(caught),
            )
        except Stopped:
            display.finish(planned, "stopped", None)
            return Outcome(None, caught[0])
        display.finish(planned, "done", result)
        return Outcome(result, None)


# -------------------------------------------------------------------------- one policy at work


class OpenedPolicy(NamedTuple):
    """A policy that fits a flavor, ready to play there."""

    name: str
    """The checkpoint as the caller wrote it, or ``random``."""
    policy: Policy | None
    """None is the uniform random policy."""
    origin: RunSpec | None
    """The run that trained the policy, if its folder is there."""
    flavor: Flavor
    """Where it plays."""
    options: dict[str, Any]
    """The environment's options, without ``num_envs``."""
    num_envs: int
    """Environments stepped together in an evaluation."""

    def evaluate(
        self,
        *,
        num_episodes: int = 100,
        seed: int = 0,
        greedy: bool = False,
        device: str = "auto",
        watch: Callable[[EpisodeStats], None] | None = None,
    ) -> dict[str, Any]:
        """Play a fixed number of episodes and score them by the environment's raw return.

        Args:
            num_episodes: In all, evenly spread over the environments.
            seed: Decides episodes and sampling.
            greedy: Take the most probable action instead of sampling.
            device: Where the policy computes.
            watch: Called with each episode that counts.

        Returns:
            What ``thaw evaluate --json`` prints: ``mean_return``, ``sem``, ``num_episodes``,
            ``num_truncated``, ``mean_length_steps`` and what was played.

        Raises:
            InputError: A number is too small, or there is no such device.
        """
        check_at_least("--episodes", num_episodes, 1)
        check_at_least("--seed", seed, 0)
        chosen = resolve_device(device)
        played = evaluate_policy(
            self.policy if self.policy is None else self.policy.to(chosen),
            self.flavor,
            num_episodes=num_episodes,
            seed=seed,
            num_envs=self.num_envs,
            greedy=greedy,
            device=str(chosen),
            options=self.options,
            watch=watch,
        )
        return {
            "policy": self.name,
            "flavor": str(self.flavor),
            "seed": seed,
            "actions": "greedy" if greedy else "sampled",
            **summary([episode.episode_return for episode in played]),
            "num_truncated": sum(episode.truncated for episode in played),
            "mean_length_steps": sum(episode.length_steps for episode in played) / len(played),
        }

    def record(
        self, out: Path, *, num_episodes: int = 1, seed: int = 0, greedy: bool = False
    ) -> list[EpisodeStats]:
        """Film episodes, one after the other, on the CPU.

        Args:
            out: An .mp4 file.
            num_episodes: In all.
            seed: Decides episodes and sampling, as in :meth:`evaluate`.
            greedy: Take the most probable action instead of sampling.

        Raises:
            InputError: A number is too small, the file is no .mp4, imageio-ffmpeg is missing, or
                the flavor has no pictures.
        """
        check_at_least("--episodes", num_episodes, 1)
        check_at_least("--seed", seed, 0)
        return record(
            self.policy if self.policy is None else self.policy.to("cpu"),
            self.flavor,
            out,
            num_episodes=num_episodes,
            seed=seed,
            greedy=greedy,
            options=self.options,
        )


def open_policy(
    checkpoint: str | Path,
    flavor: str,
    *,
    overrides: Iterable[str] = (),
    trust_code: bool = False,
    how: str = TRUST_IN_PYTHON,
) -> OpenedPolicy:
    """Load a policy to play in a flavor.

    Target and source are made once each, to compare their spaces. Nothing is made for the random
    policy, nor the source where the comparison can tell nothing.

    Args:
        checkpoint: A run's folder, or the folder in it that holds the policy file, or ``random``.
        flavor: Where it plays.
        overrides: ``option=value`` items of the environment; the options of the checkpoint's run
            by default.
        trust_code: Import, call and start what the checkpoint and its run name (SECURITY.md).
        how: What to type for a checkpoint that is trusted; part of the error.

    Raises:
        InputError: A missing or broken checkpoint, one that names code without permission, a wrong
            option, or a flavor whose observations or actions are not the checkpoint's.
    """
    place, overrides = Flavor(flavor), tuple(overrides)
    source = None if checkpoint == RANDOM else _read_checkpoint(checkpoint)
    origin = source.origin if source else None
    options: dict[str, Any] = dict(origin.environment) if origin else {}
    for item in overrides:
        override(options, item)
    num_envs, options = split_environment(options)
    if source is None:
        return OpenedPolicy(RANDOM, None, None, place, options, num_envs)
    if not trust_code:
        said = [*code_named_in(place), *(f"environment.{item}" for item in overrides)]
        named = [*code_named_in(source.description.agent), *code_named_in(origin)]
        check_code(f"checkpoint '{checkpoint}'", named, said, how)
    policy = load_described(source.file, source.description)
    _check_fits(source, place, options)
    return OpenedPolicy(str(checkpoint), policy, origin, place, options, num_envs)


# --------------------------------------------------------------------------------------- parts


class _Checkpoint(NamedTuple):
    """What a checkpoint tells without that anything in it is executed."""

    name: str
    file: Path
    description: PolicyDescription
    origin: RunSpec | None


def _read_checkpoint(checkpoint: str | Path) -> _Checkpoint:
    file = find_policy(checkpoint)
    return _Checkpoint(str(checkpoint), file, read_description(file), origin_of(file))


def _check_fits(source: _Checkpoint, flavor: Flavor, options: dict[str, Any]) -> None:
    """Check that a policy can see and act in a flavor, and that its actions mean the same there.

    The source flavor is made only where both may name their actions and may differ: a device may
    take a minute to start.

    Raises:
        InputError: Observations or actions differ.
    """
    here = flavor_spaces(flavor, options)
    origin = source.origin
    if origin is not None and here.action_meanings is not None:
        before = (origin.flavor, origin.environment_options)
        there = here if before == (flavor, options) else flavor_spaces(*before)
        if there.action_meanings is not None:
            check_same_actions(origin.flavor, there, flavor, here)
    check_same_spaces(source.description, here, source.name, flavor)


def _spec(plain: dict[str, Any], overrides: Iterable[str]) -> RunSpec:
    """Build the description of a single run."""
    for item in overrides:
        if item.partition("=")[0].split(".")[0] not in ("agent", "environment", "evaluation"):
            raise InputError(
                f"--set {item}: a single run has agent.*, environment.* and evaluation.*"
            )
        override(plain, item)
    return from_plain(plain, RunSpec, "the run")


@contextmanager
def _signals_caught() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying of them."""
    caught: list[int] = []
    before = {
        signum: signal.signal(signum, lambda number, frame: caught.append(number))
        for signum in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield caught
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
