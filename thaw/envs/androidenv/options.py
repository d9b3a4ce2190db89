"""The options of the family; those of the emulator have their names from android_env."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from thaw.config.errors import InputError
from thaw.config.strict import Config, Positive, PositiveFloat, Scalar, from_plain

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=1000)]

DEFAULT_STEPS_PER_SECOND: Final = 15.0
"""The fixed pace of AndroidEnv's Coordinator until 2022."""
INSTALLED: Final = "installed"


class AndroidEnvOptions(Config, frozen=True, kw_only=True):
    """Options of every task."""

    device: Literal["emulator", "simulated"] = "emulator"
    """emulator: Google's, with the task's app. simulated: a phone in this process that runs only
    Catch."""
    apk: str | None = None
    """The app's file, in place of the task's own; ``installed`` if the device already has the
    app. The simulated phone has Catch installed."""
    num_actions: Literal[54, 56, 108, 162] = 54
    """54: touches on a grid of 9 rows and 6 columns. 56: also one LIFT, one REPEAT. 108: {TOUCH,
    LIFT} x grid. 162: {TOUCH, LIFT, REPEAT} x grid, DiscreteActionWrapper's default."""
    touch_noise: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.1
    """Standard deviation of a touch's place in its cell, in cells (DiscreteActionWrapper)."""
    downsample: Positive = 4
    """How many screen pixels become one in each direction (ImageRescaleWrapper)."""
    steps_per_second: PositiveFloat | None = None
    """Pace of decisions in real time (RateLimitWrapper); None: 15."""

    # Of the simulated phone; names and defaults as in the family `catch`.
    clock: Literal["virtual", "real"] = "virtual"
    """virtual: each decision advances the phone's time by one step, as fast as this machine can.
    real: time passes by itself, as on a real phone."""
    frame_ms: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 16
    """The app's shortest frame (it sleeps for 16)."""
    frame_jitter_ms: Milliseconds = 0
    """Each frame is 0 to this many milliseconds longer, uniformly."""
    frames_per_step: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 4
    """Frames between two decisions of the virtual clock; 4 make 15.6 decisions a second."""

    # Of the emulator: android_env's EmulatorLauncherConfig, with its defaults.
    avd_name: str = ""
    """The virtual device. With several environments, ``{index}`` in it stands for 0, 1, ...,
    because an AVD runs only once."""
    android_avd_home: str = "~/.android/avd"
    """The folder of the AVDs."""
    android_sdk_root: str = "~/Android/Sdk"
    """The folder of the SDK."""
    emulator_path: str | None = None
    """The emulator's binary; None: ``<android_sdk_root>/emulator/emulator``."""
    first_device: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    """The index of environment 0, from which {index} and the ports count, so that actors in
    separate processes have separate devices."""
    adb_port: Port = 0
    """adb, console and gRPC port of a running emulator; all three or none. They belong to index 0;
    the ports of index 1 are 2 higher, and so on."""
    emulator_console_port: Port = 0
    """See ``adb_port``."""
    grpc_port: Port = 0
    """See ``adb_port``."""
    run_headless: bool = True
    """Without a window."""
    gpu_mode: str = "swangle_indirect"
    """swangle_indirect, swiftshader_indirect, host, or any other value of ``emulator -gpu``."""
    snapshot_name: str = ""
    """The snapshot from which the emulator starts."""
    kvm_device: str = "/dev/kvm"
    """The device file of hardware virtualization."""
    tmp_dir: str = "/tmp/android_env/simulator/"  # noqa: S108 - android_env's own default
    """The launcher's folder for its logs."""
    restrict_network: bool = False
    """No network on the device."""
    show_perf_stats: bool = False
    """The emulator prints its performance and memory."""

    # The rest of android_env's configs.
    adb_path: str | None = None
    """The adb binary; None: ``<android_sdk_root>/platform-tools/adb``."""
    adb_server_port: Port = 5037
    """The port of the adb server."""
    adb_timeout_seconds: PositiveFloat = 120.0
    """The limit for one adb command (``default_timeout``)."""
    interaction_rate_sec: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Above 0, a thread takes screenshots with this period, and a step returns the latest."""
    launch_n_times_without_reboot: Positive = 1
    """See android_env's EmulatorConfig."""
    launch_n_times_without_reinstall: Positive = 2
    """See android_env's EmulatorConfig."""
    periodic_restart_time_min: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Above 0, the emulator restarts after this many minutes, between two episodes."""
    dumpsys_check_frequency: int = 150
    """AndroidEnv checks every this many steps whether the agent has left the app; 0: never."""


SIMULATED_ONLY: Final = ("clock", "frame_ms", "frame_jitter_ms", "frames_per_step")
LAUNCHER_FIELDS: Final = (
    "android_avd_home", "android_sdk_root", "snapshot_name", "kvm_device", "tmp_dir", "gpu_mode",
    "run_headless", "restrict_network", "show_perf_stats",
)  # fmt: skip
"""Passed to EmulatorLauncherConfig unchanged."""
EMULATOR_ONLY: Final = (
    *LAUNCHER_FIELDS, "avd_name", "emulator_path", "adb_port", "emulator_console_port",
    "grpc_port", "adb_path", "adb_server_port", "adb_timeout_seconds", "interaction_rate_sec",
    "launch_n_times_without_reboot", "launch_n_times_without_reinstall",
    "periodic_restart_time_min",
)  # fmt: skip
PORTS: Final = ("adb_port", "emulator_console_port", "grpc_port")


def read_options(options: Mapping[str, Scalar], num_envs: int, where: str) -> AndroidEnvOptions:
    """Make a struct of the options and check those that depend on each other.

    Args:
        options: The options that the user gave.
        num_envs: How many devices there will be.
        where: Names the flavor in errors.

    Raises:
        InputError: An option is unknown, has the wrong type, is out of range, or contradicts
            another.
    """
    own = from_plain(dict(options), AndroidEnvOptions, where)
    other, device = (
        (EMULATOR_ONLY, "emulator") if own.device == "simulated" else (SIMULATED_ONLY, "simulated")
    )
    for name in options:
        if name in other:
            raise InputError(
                f"{where}: {name} is an option of device={device}, but device is {own.device}; "
                "leave one of them out"
            )
    if own.device == "simulated":
        if own.clock == "virtual" and own.steps_per_second is not None:
            raise InputError(
                f"{where}: steps_per_second is {own.steps_per_second}, but with the virtual clock "
                f"a step has frames_per_step={own.frames_per_step} frames; leave it out, or "
                "choose clock=real"
            )
        return own
    ports = [getattr(own, name) for name in PORTS]
    if any(ports) and not all(ports):
        missing = ", ".join(name for name, port in zip(PORTS, ports, strict=True) if not port)
        raise InputError(
            f"{where}: {missing} is missing; give adb_port, emulator_console_port and grpc_port of "
            "a running emulator, or none of them and an avd_name to start one"
        )
    if not any(ports):
        if not own.avd_name:
            raise InputError(
                f"{where} needs a device: avd_name=NAME, the three ports of a running emulator, or "
                "device=simulated (docs/androidenv.md)"
            )
        if num_envs > 1 and "{index}" not in own.avd_name:
            raise InputError(
                f"{where}: avd_name is '{own.avd_name}' for {num_envs} environments, but an AVD "
                "runs only once; put {index} in the name, which stands for 0, 1, ..."
            )
    return own
