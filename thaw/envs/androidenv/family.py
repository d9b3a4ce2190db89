"""Make the devices of ``androidenv/<task>@<variant>``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from thaw.config.errors import InputError, install_hint
from thaw.config.flavor import Flavor
from thaw.config.strict import Scalar
from thaw.envs.androidenv.emulator import check_emulator, coordinator_config, make_emulator
from thaw.envs.androidenv.options import (
    DEFAULT_STEPS_PER_SECOND,
    INSTALLED,
    AndroidEnvOptions,
    read_options,
)
from thaw.envs.androidenv.task_files import (
    count_time_in_steps,
    explain_silence,
    find_task,
    place_apk,
    read_task,
)
from thaw.envs.catch.knobs import VARIANTS
from thaw.envs.options import merge_options

if TYPE_CHECKING:
    from android_env import env_interface
    from android_env.proto import task_pb2

    from thaw.envs.androidenv.device import Device
    from thaw.envs.androidenv.simulated.simulator import SimulatedDevice
    from thaw.envs.androidenv.vector import AndroidVectorEnv

APP_FRAMES_PER_SECOND = 60
"""Catch's frame rate, from MainActivity.kt."""


def make_androidenv(
    flavor: Flavor, num_envs: int, options: Mapping[str, Scalar]
) -> AndroidVectorEnv:
    """Make a vector of Android devices that play a task.

    Args:
        flavor: ``androidenv/catch@<variant>``, or ``androidenv/<path>`` with the path of a task's
            textproto.
        num_envs: How many devices.
        options: Those of :class:`AndroidEnvOptions`; the flavor's own options win.

    Returns:
        Environments that reset in the step that ends an episode (SAME_STEP).

    Raises:
        InputError: No such task, a wrong option, a missing package, tool or AVD, or a device that
            does not start.
    """
    where = f"flavor '{flavor}'"
    path = find_task(flavor)
    own = read_options(merge_options(flavor, options), num_envs, where)
    try:
        from thaw.envs.androidenv.vector import AndroidVectorEnv
    except ImportError as error:
        raise _missing(where, error) from None
    task = read_task(path)
    simulated: list[SimulatedDevice] = []
    step_ms = own.frame_ms * own.frames_per_step
    pace = own.steps_per_second or DEFAULT_STEPS_PER_SECOND
    if own.device == "simulated":
        place_apk(task, own.apk or INSTALLED, where)
        if own.clock == "virtual":
            count_time_in_steps(task, step_ms)
        simulated = _phones(own, num_envs)
        makers = [functools.partial(assemble, task, phone, own) for phone in simulated]
    else:
        indices = range(own.first_device, own.first_device + num_envs)
        check_emulator(own, indices, where)
        place_apk(task, own.apk, where)
        makers = [functools.partial(make_emulator, task, own, index) for index in indices]
    is_virtual = own.device == "simulated" and own.clock == "virtual"
    try:
        devices = _start(makers, own, where, None if is_virtual else pace)
    except ImportError as error:
        raise _missing(where, error) from None
    frames_per_step = own.frames_per_step if is_virtual else round(APP_FRAMES_PER_SECOND / pace)
    metadata: dict[str, Any] = {
        "render_fps": 1000 / step_ms if is_virtual else pace,
        "frames_per_step": max(frames_per_step, 1),
    }
    return AndroidVectorEnv(
        devices,
        simulated,
        own.num_actions,
        metadata,
        silence=explain_silence(task),
        at_once=not is_virtual and num_envs > 1,
    )


def list_androidenv() -> list[str]:
    """List the tasks that come with thaw, and the form of all other addresses."""
    catch = ["androidenv/catch" + ("" if v == "default" else f"@{v}") for v in VARIANTS]
    return [*catch, "androidenv/<path>.textproto"]


def assemble(
    task: task_pb2.Task, simulator: SimulatedDevice, options: AndroidEnvOptions
) -> env_interface.AndroidEnvInterface:
    """Make AndroidEnv with a simulated phone, as its loader does with its own simulators."""
    from android_env import environment
    from android_env.components import config_classes, coordinator, device_settings, task_manager

    from thaw.envs.androidenv.simulated.simulator import PromptTaskManager

    config = config_classes.TaskManagerConfig(
        dumpsys_check_frequency=options.dumpsys_check_frequency
    )
    kind = PromptTaskManager if options.clock == "virtual" else task_manager.TaskManager
    manager = kind(task, config)
    return environment.AndroidEnv(
        simulator=simulator,
        coordinator=coordinator.Coordinator(
            simulator,
            manager,
            device_settings=device_settings.DeviceSettings(simulator),
            config=coordinator_config(options),
        ),
        task_manager=manager,
    )


def _phones(options: AndroidEnvOptions, num_envs: int) -> list[SimulatedDevice]:
    from thaw.envs.androidenv.simulated.catch_app import Timing
    from thaw.envs.androidenv.simulated.simulator import SimulatedDevice

    timing = Timing(options.frame_ms, options.frame_jitter_ms, options.frames_per_step)
    return [SimulatedDevice(timing, options.clock) for _ in range(num_envs)]


def _start(
    makers: Sequence[Callable[[], env_interface.AndroidEnvInterface]],
    options: AndroidEnvOptions,
    where: str,
    steps_per_second: float | None,
) -> list[Device]:
    """Start all devices.

    Emulators start one after another: AndroidEnv looks for free ports, and two that start at the
    same time would find the same ones. Simulated phones start in parallel, because AndroidEnv
    sleeps during a start.
    """
    from thaw.envs.androidenv.device import Device

    def start(index: int) -> Device:
        name = f"{where}, device {index}"
        return Device(makers[index], options, name, steps_per_second)

    if options.device == "emulator":
        return [start(index) for index in range(len(makers))]
    with ThreadPoolExecutor(len(makers)) as threads:
        return list(threads.map(start, range(len(makers))))


def _missing(where: str, error: ImportError) -> InputError:
    package = (error.name or str(error)).partition(".")[0]
    return InputError(
        f"{where} needs the package {package}, which is not installed: {install_hint('androidenv')}"
    )
