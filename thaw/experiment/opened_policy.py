"""A policy from a checkpoint, opened to play in a flavor: ``thaw evaluate`` and ``record``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from thaw.acting.evaluation import evaluate_policy, summary
from thaw.acting.video import record
from thaw.config.errors import InputError, UnknownKey, check_at_least
from thaw.config.flavor import Flavor
from thaw.config.run_spec import RunSpec, split_environment
from thaw.config.strict import override
from thaw.config.trust import check_code, code_named_in
from thaw.envs.families import flavor_spaces
from thaw.envs.spaces import check_same_actions
from thaw.files.checkpoint import PolicyDescription, load_described, origin_of, read_description
from thaw.files.policy_file import find_policy
from thaw.policy import Policy
from thaw.policy.trajectory import EpisodeStats
from thaw.training.build import check_same_spaces
from thaw.training.machine import resolve_device

RANDOM = "random"
"""Stands for the uniform random policy where a checkpoint may stand."""

TRUST_IN_PYTHON = "pass trust_code=True"
"""What to write in Python for a checkpoint that is trusted."""


class Checkpoint(NamedTuple):
    """What a checkpoint says of itself; nothing that it names is executed."""

    name: str
    """As the caller wrote it."""
    file: Path
    """The policy file."""
    description: PolicyDescription
    origin: RunSpec | None
    """The run that trained the policy, if the file is in its folder."""


def read_checkpoint(checkpoint: str | Path, words: Sequence[str] = ()) -> Checkpoint:
    """Read what a checkpoint says of itself.

    Args:
        checkpoint: A run's folder or a checkpoint folder.
        words: What the caller takes in its place, for the error.

    Raises:
        InputError: A file is missing or broken, or thaw did not write it.
    """
    file = find_policy(checkpoint, words=words)
    return Checkpoint(str(checkpoint), file, read_description(file), origin_of(file))


def check_fits(source: Checkpoint, flavor: Flavor, options: dict[str, Any]) -> None:
    """Check that a policy can see and act in a flavor, and that its actions mean the same there.

    The source flavor is made only where both may name their actions and may differ: a device may
    take a minute to start.

    Raises:
        InputError: Observations or actions differ.
    """
    origin = source.origin
    try:
        here = flavor_spaces(flavor, options)
    except UnknownKey as error:
        if origin is None or origin.flavor.family == flavor.family:
            raise
        if error.key in dict(flavor.options) or error.key not in origin.environment_options:
            raise  # the user wrote it
        raise InputError(
            f"{error}. That option is the checkpoint's, which was trained in '{origin.flavor}'; a "
            "policy moves only to flavors with the same observations and actions"
        ) from None
    if origin is not None and here.action_meanings is not None:
        before = (origin.flavor, origin.environment_options)
        there = here if before == (flavor, options) else flavor_spaces(*before)
        if there.action_meanings is not None:
            check_same_actions(origin.flavor, there, flavor, here)
    check_same_spaces(source.description, here, source.name, flavor)


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
    source = None if checkpoint == RANDOM else read_checkpoint(checkpoint, words=[RANDOM])
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
    check_fits(source, place, options)
    return OpenedPolicy(str(checkpoint), policy, origin, place, options, num_envs)
