"""Play an environment step by step and check every array that it returns."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from thaw.envs.spaces import VectorEnv, count_actions, score_continues

SEED = 7


class Step(NamedTuple):
    """A copy of the arrays that one step returned, each [N, ...]."""

    observations: NDArray[Any]
    rewards: NDArray[Any]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]

    @property
    def done(self) -> NDArray[np.bool_]:
        """Which environments ended an episode, [N]."""
        return self.terminated | self.truncated

    def digests(self) -> tuple[bytes, ...]:
        """Return a hash of all arrays for each environment."""
        return tuple(
            hashlib.blake2b(b"".join(array[index].tobytes() for array in self)).digest()
            for index in range(len(self.rewards))
        )


class Unplayable(Exception):
    """The environment cannot be played further; the last finding says why."""


class Play:
    """An environment under seeded random actions, and the findings about its arrays.

    Args:
        env: The environment.
        max_episode_steps: At least one episode must end within this many steps.
    """

    def __init__(self, env: VectorEnv, max_episode_steps: int) -> None:
        self.env = env
        self.max_episode_steps = max_episode_steps
        self.mode: AutoresetMode = env.metadata["autoreset_mode"]
        self.findings: list[str] = []
        self.history: list[tuple[bytes, ...]] = []
        """Digests of the first observations and of every step, up to two after the first end."""
        self.last_steps: list[Step] = []
        """The step that ended an episode and the two after it."""
        self.num_actions = count_actions(env.single_action_space, type(env).__name__)
        random = np.random.default_rng(SEED)
        self.actions = random.integers(self.num_actions, size=max_episode_steps + 2)
        """One action for each step, the same in every environment."""
        self._returned: tuple[NDArray[Any], ...] = ()

    def find(self, finding: str) -> None:
        """Add a finding, if it is new."""
        if finding not in self.findings:
            self.findings.append(finding)

    def reset(self, seed: int) -> tuple[bytes, ...]:
        """Reset all environments and return digests of their observations."""
        returned: Any = self.env.reset(seed=seed)
        if not (isinstance(returned, tuple) and len(returned) == 2):
            self.find(f"reset returns {type(returned).__name__}; expected (observations, infos)")
            raise Unplayable
        self._check_observations("reset", returned[0])
        return tuple(row.tobytes() for row in returned[0])

    def step(self, actions: NDArray[Any]) -> Step:
        """Step all environments; check the results and return a copy."""
        returned: Any = self.env.step(actions)
        if not (isinstance(returned, tuple) and len(returned) == 5):
            self.find(
                f"step returns {type(returned).__name__} of "
                f"{len(returned) if isinstance(returned, tuple) else 1}; expected (observations, "
                "rewards, terminated, truncated, infos)"
            )
            raise Unplayable
        observations, rewards, terminated, truncated, infos = returned
        self._check_observations("step", observations)
        self._check_rewards(rewards)
        for what, flags in (("terminated", terminated), ("truncated", truncated)):
            self._check_flags(what, flags)
        continues = score_continues(infos)
        if continues is not False:
            self._check_flags("infos['score_continues']", continues)
        step = Step(*(np.array(array) for array in returned[:4]))
        self._returned = returned[:4]
        if step.done.any():
            self._check_end(step, infos)
        return step

    def until_an_end(self) -> None:
        """Play until the first episode ends, and two steps more.

        Raises:
            Unplayable: The environment cannot be played further.
        """
        self.history.append(self.reset(SEED))
        step = self._step_and_look_back(None)
        while not step.done.any() and len(self.history) <= self.max_episode_steps:
            step = self._step_and_look_back(step)
        if not step.done.any():
            self.find(
                f"no episode ended within {self.max_episode_steps} steps; expected an end: "
                "truncate (gymnasium.wrappers.TimeLimit), or pass max_episode_steps=... if "
                "episodes are that long"
            )
            return
        self.last_steps = [step]
        for _ in range(2):
            self.last_steps.append(self._step_and_look_back(self.last_steps[-1]))

    def _step_and_look_back(self, before: Step | None) -> Step:
        """Step, and check that this does not change the arrays of the step before."""
        returned = self._returned
        action = self.actions[len(self.history) - 1]
        step = self.step(np.full(self.env.num_envs, action))
        self.history.append(step.digests())
        if before is not None:
            for what, array, copy in zip(Step._fields, returned, before, strict=True):
                if not np.array_equal(array, copy):
                    self.find(
                        f"the {what} that a step returned were overwritten by the next step; "
                        f"expected a new array: return {what}.copy()"
                    )
        return step

    def _check_observations(self, where: str, observations: object) -> None:
        space = self.env.single_observation_space
        shape = (self.env.num_envs, *(space.shape or ()))
        if not isinstance(observations, np.ndarray):
            self.find(f"{where} returns observations of {type(observations)}; expected an array")
            raise Unplayable
        if observations.shape != shape:
            self.find(
                f"{where} returns observations of shape {list(observations.shape)}; expected "
                f"{list(shape)}, num_envs and the space's shape"
            )
            raise Unplayable
        if observations.dtype != space.dtype:
            self.find(
                f"{where} returns observations of {observations.dtype}; expected the space's "
                f"{space.dtype}: return observations.astype(np.{space.dtype})"
            )
        elif not self.env.observation_space.contains(observations):
            problem = "NaN" if np.isnan(observations).any() else "values"
            self.find(
                f"{where} returns observations with {problem} outside the space's bounds, from "
                f"{observations.min()} to {observations.max()}; expected values within "
                "single_observation_space: widen its bounds or clip"
            )

    def _check_rewards(self, rewards: object) -> None:
        array = np.asarray(rewards)
        if array.shape != (self.env.num_envs,) or array.dtype.kind not in "fiu":
            self.find(
                f"rewards are {array.dtype}{list(array.shape)}; expected float"
                f"[{self.env.num_envs}], one number for each environment"
            )
            raise Unplayable
        if not np.isfinite(array).all():
            self.find("a reward is infinite or not a number; expected finite floats")

    def _check_flags(self, what: str, flags: object) -> None:
        if not isinstance(flags, np.ndarray) or flags.shape != (self.env.num_envs,):
            self.find(f"{what} is {flags!r}; expected a bool[{self.env.num_envs}] array")
            raise Unplayable
        if flags.dtype != np.bool_:
            self.find(
                f"{what} has dtype {flags.dtype}; expected bool, as thaw computes with masks: "
                f"return {what}.astype(bool)"
            )
            raise Unplayable

    def _check_end(self, step: Step, infos: dict[str, Any]) -> None:
        """Check the arrays and infos of a step that ends an episode."""
        ended = np.flatnonzero(step.done)
        finals = infos.get("final_obs")
        if self.mode == AutoresetMode.DISABLED:
            self._reset_some(step)
            return
        if self.mode == AutoresetMode.NEXT_STEP:
            if finals is not None:
                self.find(
                    "autoreset_mode is NEXT_STEP, but infos['final_obs'] is set when an episode "
                    "ends, as in SAME_STEP; expected the last observation among the "
                    "observations: declare SAME_STEP if they are the next episode's first"
                )
            return
        if finals is None or any(finals[index] is None for index in ended):
            self.find(
                "autoreset_mode is SAME_STEP, but infos['final_obs'] is missing when an episode "
                "ends; expected its last observation there: add it, or declare NEXT_STEP if the "
                "environment resets in the next step"
            )
            return
        if not all(self.env.single_observation_space.contains(finals[i]) for i in ended):
            self.find(
                "infos['final_obs'] is not in single_observation_space; expected the last "
                "observation of the episode, with the shape and dtype of all others"
            )
        elif all(np.array_equal(finals[i], step.observations[i]) for i in ended):
            self.find(
                "autoreset_mode is SAME_STEP, but the observation when an episode ends is "
                "infos['final_obs'] again; expected the next episode's first: reset in that step, "
                "or declare NEXT_STEP if the environment resets in the next step"
            )

    def _reset_some(self, step: Step) -> None:
        """Reset the environments whose episode ended, as thaw does with autoreset DISABLED."""
        observations, _ = self.env.reset(options={"reset_mask": step.done})
        self._check_observations("reset with reset_mask", observations)
        if not np.array_equal(observations[~step.done], step.observations[~step.done]):
            self.find(
                "reset with options={'reset_mask': mask} changed environments outside the mask; "
                "expected that only those in the mask restart"
            )
