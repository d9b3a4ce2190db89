"""Google's Android Emulator: what must be installed, and how AndroidEnv loads it."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from thaw.config.errors import InputError, nearest
from thaw.envs.androidenv.options import LAUNCHER_FIELDS, PORTS, AndroidEnvOptions

if TYPE_CHECKING:
    from android_env import env_interface
    from android_env.components import config_classes
    from android_env.proto import task_pb2

PORT_STRIDE: Final = 2
"""Distance between the ports of two emulators, as in the emulator's own numbering."""
CONNECT_SECONDS: Final = 2.0


def check_emulator(options: AndroidEnvOptions, indices: Iterable[int], where: str) -> None:
    """Check that the tools and the AVDs or running emulators are there.

    Args:
        options: From `read_options`.
        indices: The indices of the devices.
        where: Names the flavor in errors.

    Raises:
        InputError: One of them is missing.
    """
    _check_tool("adb", _adb_path(options), "adb_path", "platform-tools", where)
    if options.grpc_port:
        for index in indices:
            port = options.grpc_port + index * PORT_STRIDE
            if not _answers(port):
                raise InputError(
                    f"{where}: no emulator answers on grpc_port {port}; start it with "
                    f"'emulator -avd NAME -grpc {port}' or leave the ports out"
                )
        return
    _check_tool("emulator", _emulator_path(options), "emulator_path", "emulator", where)
    home = Path(options.android_avd_home).expanduser()
    known = sorted(path.stem for path in home.glob("*.ini"))
    for index in indices:
        name = _avd_name(options, index)
        if name not in known:
            raise InputError(
                f"{where}: no AVD '{name}' in '{home}'{nearest(name, known)} There are "
                f"{', '.join(known) or 'none'}; docs/androidenv.md shows how to make one"
            )


def make_emulator(
    task: task_pb2.Task, options: AndroidEnvOptions, index: int
) -> env_interface.AndroidEnvInterface:
    """Let AndroidEnv's loader start an emulator, or connect to a running one.

    Args:
        task: The task.
        options: The family's options.
        index: The index of the device.
    """
    from android_env import loader
    from android_env.components import config_classes
    from google.protobuf import text_format

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "task.textproto"
        path.write_text(text_format.MessageToString(task), encoding="utf-8")
        return loader.load(
            config_classes.AndroidEnvConfig(
                task=config_classes.FilesystemTaskConfig(path=str(path)),
                task_manager=config_classes.TaskManagerConfig(
                    dumpsys_check_frequency=options.dumpsys_check_frequency
                ),
                coordinator=coordinator_config(options),
                simulator=emulator_config(options, index),
            )
        )


def coordinator_config(options: AndroidEnvOptions) -> config_classes.CoordinatorConfig:
    """Return a config that shows only the app on the screen: no touch marks, no bars."""
    from android_env.components import config_classes

    return config_classes.CoordinatorConfig(
        periodic_restart_time_min=options.periodic_restart_time_min,
        device_settings=config_classes.DeviceSettingsConfig(
            show_touches=False,
            show_pointer_location=False,
            show_status_bar=False,
            show_navigation_bar=False,
        ),
    )


def emulator_config(options: AndroidEnvOptions, index: int) -> config_classes.EmulatorConfig:
    """Return AndroidEnv's config of one device.

    Args:
        options: The family's options.
        index: The index of the device; it decides the AVD's name and the ports.
    """
    from android_env.components import config_classes

    ports: dict[str, Any] = {
        name: port + index * PORT_STRIDE if (port := getattr(options, name)) else 0
        for name in PORTS
    }
    return config_classes.EmulatorConfig(
        emulator_launcher=config_classes.EmulatorLauncherConfig(
            **{name: getattr(options, name) for name in LAUNCHER_FIELDS},
            **ports,
            avd_name=_avd_name(options, index),
            emulator_path=_emulator_path(options),
        ),
        adb_controller=config_classes.AdbControllerConfig(
            adb_path=_adb_path(options),
            adb_server_port=options.adb_server_port,
            default_timeout=options.adb_timeout_seconds,
        ),
        interaction_rate_sec=options.interaction_rate_sec,
        launch_n_times_without_reboot=options.launch_n_times_without_reboot,
        launch_n_times_without_reinstall=options.launch_n_times_without_reinstall,
    )


def _avd_name(options: AndroidEnvOptions, index: int) -> str:
    return options.avd_name.replace("{index}", str(index))


def _adb_path(options: AndroidEnvOptions) -> str:
    given = options.adb_path or f"{options.android_sdk_root}/platform-tools/adb"
    return os.path.expanduser(given)


def _emulator_path(options: AndroidEnvOptions) -> str:
    given = options.emulator_path or f"{options.android_sdk_root}/emulator/emulator"
    return os.path.expanduser(given)


def _check_tool(tool: str, path: str, option: str, package: str, where: str) -> None:
    if not (os.path.isfile(path) and os.access(path, os.X_OK)):
        raise InputError(
            f"{where}: no {tool} at '{path}'; install it with 'sdkmanager {package}' "
            f"(docs/androidenv.md), or set {option}=PATH or android_sdk_root=FOLDER"
        )


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("localhost", port), CONNECT_SECONDS):
            return True
    except OSError:
        return False
