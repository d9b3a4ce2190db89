"""EnvPool's C++ environments behind Gymnasium's vector interface: one adapter for every task."""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from thaw.cores import num_cores
from thaw.envs.presentation import View
from thaw.plain import InputError

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]

INSTALL = "pip install 'thaw[envpool]'"
INSTALL_PROCGEN = "pip install 'thaw[procgen]'"


class Task(NamedTuple):
    """What makes EnvPool's environments."""

    id: str
    settings: Mapping[str, Any]
    num_threads: int | None
    view: View
    actions: tuple[str, ...] | None
    """Their meanings, where they have names."""
    num_actions: int


class EnvPoolVectorEnv(gymnasium.vector.VectorEnv[Array, Array, Array]):
    """Many environments of one of EnvPool's tasks.

    An environment whose episode ended spends its next step on a reset: that step's action is not
    played and its reward is 0 (`autoreset_mode` NEXT_STEP).

    Args:
        task: What they are.
        num_envs: How many.
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
        # Built by the first reset, which brings the seed: EnvPool is seeded when it is built, and
        # an Atari environment takes a tenth of a second then.
        self._pool: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Start a new episode in all environments.

        Args:
            seed: Builds the engine anew with it; None goes on with the one there is.
            options: There are none.

        Returns:
            The observations [N, ...] and EnvPool's infos.

        Raises:
            ValueError: If there are options.
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
            ValueError: If the actions have the wrong form or range.
            ResetNeeded: If there was no reset yet.
        """
        if self._pool is None:
            raise gymnasium.error.ResetNeeded("no episode is under way; call reset before step")
        array, end = np.asarray(actions), self.task.num_actions
        is_right = array.shape == (self.num_envs,) and array.dtype.kind in "iu"
        if not is_right or array.min() < 0 or array.max() >= end:  # EnvPool would read beyond
            span = f" from {array.min()} to {array.max()}" if array.size else ""
            raise ValueError(
                f"actions is {array.dtype}{list(array.shape)}{span}; it must be int"
                f"[{self.num_envs}], a whole number from 0 to {end - 1} for each environment"
            )
        # EnvPool reads the numbers as 32 bits wide, whatever they are.
        observations, rewards, terminated, truncated, infos = self._pool.step(
            array.astype(np.int32)
        )
        return self.task.view.show(observations), rewards, terminated, truncated, infos

    def render(self) -> tuple[npt.NDArray[np.uint8], ...]:
        """The pictures, one [height, width, 3] uint8 for each environment.

        Raises:
            ResetNeeded: If there was no reset yet.
            RuntimeError: If EnvPool cannot draw this task.
        """
        if self._pool is None:
            raise gymnasium.error.ResetNeeded("no episode is under way; call reset before render")
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
                # EnvPool would give neighbors the seeds s, s + 1, ...: runs with the seeds 0 and
                # 1 would then share all their random numbers but one environment's. ALE takes -1
                # for the clock, so seeds are not negative.
                seed=self.np_random.integers(0, 2**31, self.num_envs).tolist(),
                num_threads=self.task.num_threads or min(self.num_envs, num_cores()),
                render_mode="rgb_array",
                **self.task.settings,
            )
            _ = pool.observation_space  # EnvPool derives it once, when first asked
        return pool


# ------------------------------------------------------------------------- what EnvPool offers


class Registered(NamedTuple):
    """What EnvPool says about a task before any environment is made."""

    defaults: dict[str, Any]
    """Of all options that EnvPool would take; some it ignores."""
    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]


def ask_envpool(task_id: str, settings: Mapping[str, Any], where: str) -> Registered:
    """Return what EnvPool says about a task under some settings.

    Raises:
        InputError: EnvPool refuses the settings, or a library that it needs is not there.
    """
    module = list_tasks()[task_id].module
    if module == "envpool.procgen":
        _find_qt()
    try:
        import envpool

        # EnvPool declares bounds in float64 for spaces in float32, and Gymnasium would say so.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            spec = envpool.make_spec(task_id, **settings)
            spaces = spec.observation_space, spec.action_space
    except ImportError as error:
        raise InputError(f"{where}: {' '.join(str(error).split())}") from None
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{where}: EnvPool refuses {dict(settings)}: {reason}") from None
    return Registered(spec.config._asdict(), *spaces)


class TaskEntry(NamedTuple):
    """One line of EnvPool's list."""

    module: str
    """The engine's, as ``envpool.minigrid``."""
    options: Mapping[str, Any]
    """What sets this task apart from others of its kind."""


@functools.cache
def list_tasks() -> dict[str, TaskEntry]:
    """List EnvPool's tasks by id.

    Raises:
        InputError: EnvPool is not installed.
    """
    try:
        from envpool.registration import registry
    except ImportError:
        raise InputError(f"this flavor needs EnvPool, which is not installed: {INSTALL}") from None
    return {id_: TaskEntry(spec[0], spec[2]) for id_, spec in registry.specs.items()}


def _find_qt() -> None:
    """Let EnvPool's Procgen find Qt 5 in PyQt5-Qt5's wheel where the system has none.

    Raises:
        InputError: There is no Qt 5, or it lacks a library of its own.
    """
    procgen = importlib.import_module("envpool.procgen")
    if "ProcgenEnvSpec" in vars(procgen):
        return
    package = importlib.util.find_spec("PyQt5")
    folders = list(package.submodule_search_locations or ()) if package else []
    reason = "no Qt 5 found"
    for folder in folders:
        try:
            for library in ("libQt5Core.so.5", "libQt5Gui.so.5"):
                path = Path(folder) / "Qt5" / "lib" / library
                ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
            importlib.reload(procgen)  # it failed when EnvPool was imported
            return
        except (OSError, ImportError) as error:
            reason = str(error)
    raise InputError(
        f"EnvPool's Procgen needs the Qt 5 libraries Core and Gui ({reason}): {INSTALL_PROCGEN}, "
        "or your system's package, as in `apt install libqt5gui5`"
    )
