"""EnvPool's C++ environments as Gymnasium vector environments: one adapter for every task."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from thaw.config.runtime import num_cores
from thaw.envs.views import View

Array = npt.NDArray[Any]

BoolArray = npt.NDArray[np.bool_]


class Task(NamedTuple):
    """What EnvPool needs to make environments, and how they are shown."""

    id: str
    settings: Mapping[str, Any]
    num_threads: int | None
    """None: one for each core, at most one for each environment."""
    view: View
    actions: tuple[str, ...] | None
    """The names of the actions, if they have names."""
    num_actions: int


class EnvPoolVectorEnv(gymnasium.vector.VectorEnv[Array, Array, Array]):
    """Many environments of one EnvPool task.

    In the step after an episode's end the environment resets: it ignores the action and its
    reward is 0 (`autoreset_mode` NEXT_STEP).

    Args:
        task: Which task, with its settings.
        num_envs: N, how many environments.
    """

    def __init__(self, task: Task, num_envs: int) -> None:
        self.task = task
        self.num_envs = num_envs
        self.render_mode = "rgb_array"
        self.metadata: dict[str, Any] = {
            "autoreset_mode": AutoresetMode.NEXT_STEP,
            "render_modes": ["rgb_array"],
        }
        if task.actions is not None:
            self.metadata["action_meanings"] = task.actions
        self.single_observation_space = task.view.space
        self.single_action_space = gymnasium.spaces.Discrete(task.num_actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        # The first reset builds it, because EnvPool takes the seed only when it is built. Building
        # an Atari environment takes a tenth of a second.
        self._pool: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Start a new episode in all environments.

        Args:
            seed: Builds the engine again with this seed; None keeps the engine.
            options: Must be empty.

        Returns:
            The observations [N, ...] and EnvPool's infos.

        Raises:
            ValueError: There are options.
        """
        super().reset(seed=seed)
        if options:
            raise ValueError(f"reset has no options, got {', '.join(options)}")
        if seed is not None or self._pool is None:
            self._pool = None  # ends the old engine's threads before new ones start
            self._pool = self._build()
        observations, infos = self._pool.reset()
        return self.task.view.show(observations), infos

    def step(
        self, actions: Array
    ) -> tuple[Array, npt.NDArray[np.float32], BoolArray, BoolArray, dict[str, Any]]:
        """Play one step in every environment.

        Args:
            actions: [N] int.

        Returns:
            Observations [N, ...], raw rewards [N] float32, terminated [N] bool, truncated [N]
            bool, and EnvPool's infos.

        Raises:
            ValueError: The actions have the wrong form or range.
            ResetNeeded: There was no reset yet.
        """
        if self._pool is None:
            raise gymnasium.error.ResetNeeded("no episode has started; call reset before step")
        array, end = np.asarray(actions), self.task.num_actions
        is_right = array.shape == (self.num_envs,) and array.dtype.kind in "iu"
        if not is_right or array.min() < 0 or array.max() >= end:  # EnvPool checks no bounds
            span = f" from {array.min()} to {array.max()}" if array.size else ""
            raise ValueError(
                f"actions is {array.dtype}{list(array.shape)}{span}; it must be int"
                f"[{self.num_envs}], a whole number from 0 to {end - 1} for each environment"
            )
        # EnvPool reads 32-bit integers whatever the dtype is.
        observations, rewards, terminated, truncated, infos = self._pool.step(
            array.astype(np.int32)
        )
        return self.task.view.show(observations), rewards, terminated, truncated, infos

    def render(self) -> tuple[npt.NDArray[np.uint8], ...]:
        """Return the pictures, one [height, width, 3] uint8 for each environment.

        Raises:
            ResetNeeded: There was no reset yet.
            RuntimeError: EnvPool cannot draw this task.
        """
        if self._pool is None:
            raise gymnasium.error.ResetNeeded("no episode has started; call reset before render")
        return tuple(self._pool.render(np.arange(self.num_envs)))

    def close_extras(self, **kwargs: Any) -> None:
        """End the engine's threads."""
        self._pool = None

    def _build(self) -> Any:
        import envpool

        with warnings.catch_warnings():  # see ask_envpool
            warnings.simplefilter("ignore", UserWarning)
            pool: Any = envpool.make_gymnasium(
                self.task.id,
                num_envs=self.num_envs,
                # EnvPool itself would use the seeds s, s + 1, ...: runs with the seeds 0 and 1
                # would then share the random numbers of all environments but one. ALE reads -1
                # as "seed from the clock", so seeds are not negative.
                seed=self.np_random.integers(0, 2**31, self.num_envs).tolist(),
                num_threads=self.task.num_threads or min(self.num_envs, num_cores()),
                render_mode="rgb_array",
                **self.task.settings,
            )
            _ = pool.observation_space  # EnvPool computes it once, at the first access
        return pool
