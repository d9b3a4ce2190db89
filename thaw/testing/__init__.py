"""Checks of an environment for its author.

``check_environment("gym/my_package:MyEnv-v0")`` or ``check_environment(my_vector_env)`` plays the
environment as thaw does and raises :class:`BrokenEnvironment` with all problems that it finds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from thaw.config.flavor import Flavor
from thaw.envs.families import make_env
from thaw.envs.spaces import VectorEnv
from thaw.testing.play import SEED, Play, Unplayable


class BrokenEnvironment(ValueError):
    """An environment has problems.

    Attributes:
        findings: One line for each problem: what is wrong, what is expected, how to fix it.
    """

    def __init__(self, name: str, findings: list[str]) -> None:
        self.findings = tuple(findings)
        lines = "\n".join(f"  {number}. {line}" for number, line in enumerate(findings, 1))
        super().__init__(f"{name} has {len(findings)} problem(s):\n{lines}")


def check_environment(
    environment: str | Flavor | VectorEnv,
    *,
    num_envs: int = 3,
    max_episode_steps: int = 5000,
    deterministic: bool = False,
    **options: Any,
) -> None:
    """Play an environment with random actions and raise an error with all its problems.

    Args:
        environment: A flavor's address, or a vector environment (it stays open).
        num_envs: With an address, how many environments to make.
        max_episode_steps: At least one episode must end within this many steps.
        deterministic: The environment draws no random numbers, so that episodes may be the same
            under different seeds.
        **options: With an address, the family's options.

    Raises:
        BrokenEnvironment: With all findings.
        InputError: No such flavor or option.
    """
    if not isinstance(environment, str):
        _check(environment, type(environment).__name__, max_episode_steps, deterministic)
        return
    env = make_env(environment, num_envs, **options)
    try:
        _check(env, f"'{environment}'", max_episode_steps, deterministic)
    finally:
        env.close()


def _check(env: VectorEnv, name: str, max_episode_steps: int, deterministic: bool) -> None:
    findings = _space_findings(env)
    if not findings:  # the other checks need correct spaces
        play = Play(env, max_episode_steps)
        try:
            play.until_an_end()
            findings = play.findings or _seed_findings(play, deterministic)
            findings = findings or _reset_findings(play) or play.findings
        except Unplayable:
            findings = play.findings
    if findings:
        raise BrokenEnvironment(name, findings)


# -------------------------------------------------------------------------------------- spaces


def _space_findings(env: VectorEnv) -> list[str]:
    findings = []
    space, actions = env.single_observation_space, env.single_action_space
    if not isinstance(space, spaces.Box) or not 1 <= len(space.shape) <= 3:
        findings.append(
            f"single_observation_space is {space}; expected a Box of one to three dimensions: "
            "[size], or images [height, width, channels]"
        )
    elif space.dtype not in (np.uint8, np.float32):
        findings.append(
            f"single_observation_space has dtype {space.dtype}; expected uint8 (pixels) or "
            "float32: declare the space so and return observations.astype(...)"
        )
    if not isinstance(actions, spaces.Discrete) or actions.start != 0:
        findings.append(
            f"single_action_space is {actions}; expected Discrete(n) with actions counted from 0"
        )
    for what, single, batched in (
        ("observation_space", space, env.observation_space),
        ("action_space", actions, env.action_space),
    ):
        if batched != batch_space(single, env.num_envs):
            findings.append(
                f"{what} is {batched}; expected batch_space(single_{what}, num_envs), from "
                "gymnasium.vector.utils"
            )
    if not isinstance(env.metadata.get("autoreset_mode"), AutoresetMode):
        findings.append(
            f"metadata['autoreset_mode'] is {env.metadata.get('autoreset_mode')!r}; expected a "
            "gymnasium.vector.AutoresetMode, so that thaw can tell a reset from a step"
        )
    return findings


# ---------------------------------------------------------------------------- seeds and resets


def _replay(play: Play, seed: int, other: tuple[int, int, int] | None = None) -> list[Any]:
    """Play the same actions again and return the digests.

    Args:
        play: The environment and its first trajectory.
        seed: The seed of the reset.
        other: Step, environment and action of one action that is different.
    """
    history = [play.reset(seed)]
    for number in range(len(play.history) - 1):
        actions = np.full(play.env.num_envs, play.actions[number])
        if other is not None and number == other[0]:
            actions[other[1]] = other[2]
        history.append(play.step(actions).digests())
    return history


def _seed_findings(play: Play, deterministic: bool) -> list[str]:
    findings = []
    if _replay(play, SEED) != play.history:
        findings.append(
            "reset(seed) and the same actions gave another trajectory the second time; expected "
            "the same: draw all random numbers from a generator that reset(seed=...) seeds "
            "(self.np_random)"
        )
    if deterministic:
        return findings
    advice = "pass deterministic=True if this environment draws no random numbers"
    if _replay(play, SEED + 1) == play.history:
        findings.append(
            "different seeds gave the same trajectory; expected different ones: use the seed in "
            f"reset, or {advice}"
        )
    if play.env.num_envs > 1 and all(len(set(digests)) == 1 for digests in play.history):
        findings.append(
            "all environments of the vector had the same trajectory under the same actions; "
            f"expected different ones: seed each of them differently, or {advice}"
        )
    return findings


def _reset_findings(play: Play) -> list[str]:
    """With NEXT_STEP, check that the step after an episode's end is a reset."""
    if play.mode != AutoresetMode.NEXT_STEP:
        return []
    end, after, _ = play.last_steps
    ended = np.flatnonzero(end.done)
    if after.rewards[ended].any() or after.done[ended].any():
        return [
            "autoreset_mode is NEXT_STEP, but the step after an episode's end has a reward or "
            "ends an episode; expected a reset only, with reward 0: declare SAME_STEP if the "
            "environment has already reset"
        ]
    number, index = len(play.history) - 3, int(ended[0])
    for action in range(min(play.num_actions, 3)):
        replayed = _replay(play, SEED, (number, index, action))
        if [row[index] for row in replayed] != [row[index] for row in play.history]:
            return [
                "autoreset_mode is NEXT_STEP, but the action after an episode's end changes the "
                "trajectory; expected that it is ignored, as that step is a reset: declare "
                "SAME_STEP (with infos['final_obs']) if the environment has already reset"
            ]
    return []
