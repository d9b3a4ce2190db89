"""EnvPool's list of tasks, their options and their spaces."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium

from thaw.config.errors import InputError, install_hint


class Registered(NamedTuple):
    """What EnvPool says about a task without making an environment."""

    defaults: dict[str, Any]
    """The defaults of all options that EnvPool accepts; it ignores some of them."""
    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]


def ask_envpool(task_id: str, settings: Mapping[str, Any], where: str) -> Registered:
    """Return what EnvPool says about a task.

    Args:
        task_id: EnvPool's id.
        settings: EnvPool's options that differ from their defaults.
        where: Names the flavor in errors.

    Raises:
        InputError: EnvPool refuses the settings, or a library that it needs is missing.
    """
    module = list_tasks()[task_id].module
    if module == "envpool.procgen":
        _find_qt()
    try:
        import envpool

        # EnvPool gives float32 spaces float64 bounds, about which Gymnasium warns.
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
    """One entry of EnvPool's registry."""

    module: str
    """The Python module of the engine, as ``envpool.minigrid``."""
    options: Mapping[str, Any]
    """The options with which the task is registered."""


@functools.cache
def list_tasks() -> dict[str, TaskEntry]:
    """List EnvPool's tasks by id.

    Raises:
        InputError: EnvPool is not installed.
    """
    try:
        from envpool.registration import registry
    except ImportError:
        raise InputError(
            f"this flavor needs EnvPool, which is not installed: {install_hint('envpool')}"
        ) from None
    return {id_: TaskEntry(spec[0], spec[2]) for id_, spec in registry.specs.items()}


def _find_qt() -> None:
    """Let EnvPool's Procgen find Qt 5 in PyQt5-Qt5's wheel if the system has none.

    Raises:
        InputError: There is no Qt 5, or one of its own libraries is missing.
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
            importlib.reload(procgen)  # this failed when EnvPool was imported
            return
        except (OSError, ImportError) as error:
            reason = str(error)
    raise InputError(
        f"EnvPool's Procgen needs the Qt 5 libraries Core and Gui ({reason}): "
        f"{install_hint('procgen')}, or your system's package, as in `apt install libqt5gui5`"
    )
