"""The simulated phone under AndroidEnv's own interfaces: simulator, adb, log, task manager.

All parts between them (Coordinator, AdbCallParser, LogcatThread, ...) are AndroidEnv's.

How log lines arrive in time: AndroidEnv reads the log in a thread, and a step uses the lines that
this thread has processed by then. `SimulatedLogStream.write` therefore returns only when the
thread asks for the next line. So a throw's reward always arrives in the step that ends the throw.

How setup and reset steps take no time: AndroidEnv sleeps for half a second after each, which a
virtual clock cannot shorten. `PromptTaskManager` runs them without sleeping. With a real clock
AndroidEnv's own task manager runs them, and sleeps.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from typing import Final, Literal

import numpy as np
from android_env.components import (
    adb_call_parser,
    adb_controller,
    app_screen_checker,
    config_classes,
    errors,
    log_stream,
    task_manager,
)
from android_env.components.simulators import base_simulator
from android_env.proto import adb_pb2, task_pb2

from thaw.envs.androidenv.simulated.catch_app import Timing
from thaw.envs.androidenv.simulated.phone import AdbFailed, Phone
from thaw.envs.catch.screen import Pixels

PRIORITIES: Final = "VDIWEF"
"""The priorities of log lines, the lowest first."""

LOG_TIMEOUT_SECONDS: Final = 10.0

_LIST_PACKAGES: Final = adb_pb2.AdbRequest(
    package_manager=adb_pb2.AdbRequest.PackageManagerRequest(
        list=adb_pb2.AdbRequest.PackageManagerRequest.List(
            packages=adb_pb2.AdbRequest.PackageManagerRequest.List.Packages()
        )
    )
)


class SimulatedDevice(base_simulator.BaseSimulator):
    """The simulated phone as a simulator of AndroidEnv.

    Args:
        timing: The lengths of the app's frames.
        clock: Whether time passes by steps or by itself.

    Attributes:
        phone: The phone.
        faults: For tests: the errors that calls raise, by the name of the call. Those of
            ``touch``, ``screenshot`` and ``adb`` end with the next launch; ``launch`` itself can
            fail, too.
    """

    def __init__(self, timing: Timing, clock: Literal["virtual", "real"]) -> None:
        super().__init__(config_classes.SimulatorConfig())
        self.phone = Phone(timing, clock, self._write_log)
        self.faults: dict[str, Exception] = {}
        self._log = SimulatedLogStream()

    def adb_device_name(self) -> str:
        """Return the name."""
        return "simulated"

    def create_adb_controller(self) -> adb_controller.AdbController:
        """Return a controller that answers adb commands."""
        return SimulatedAdb(self)

    def create_log_stream(self) -> log_stream.LogStream:
        """Return a stream of the log from now on; an earlier stream gets no more lines."""
        self._log.stop_stream()
        self._log = SimulatedLogStream()
        return self._log

    def send_touch(self, touches: list[tuple[int, int, bool, int]]) -> None:
        """Touch or lift.

        Args:
            touches: x, y, whether it is down, and the index, for each finger.
        """
        self.check("touch")
        for x_px, _, is_down, _ in touches:
            self.phone.touch(int(x_px), bool(is_down))

    def send_key(self, keycode: np.int32, event_type: str) -> None:
        """Do nothing: Catch has no keys."""

    def check(self, call: str) -> None:
        """Raise the fault of a call, if it has one."""
        if call in self.faults:
            raise self.faults[call]

    def _launch_impl(self) -> None:
        self.check("launch")
        self.faults.clear()
        self.phone.boot()

    def _get_screenshot_impl(self) -> Pixels:
        self.check("screenshot")
        return self.phone.screenshot()

    def _write_log(self, tag: str, priority: str, line: str) -> None:
        self._log.write(tag, priority, line)


class SimulatedAdb(adb_controller.AdbController):
    """adb for a simulated phone, without a process."""

    def __init__(self, device: SimulatedDevice) -> None:
        # With this setting the base class does not change os.environ.
        super().__init__(config_classes.AdbControllerConfig(use_adb_server_port_from_os_env=True))
        self._device = device

    def execute_command(
        self, args: list[str], timeout: float | None = None, device_specific: bool = True
    ) -> bytes:
        """Return the output of adb.

        Raises:
            AdbControllerError: The command failed, as in AndroidEnv's own controller.
        """
        self._device.check("adb")
        try:
            return self._device.phone.adb(args)
        except AdbFailed as failure:
            raise errors.AdbControllerError(str(failure)) from failure


class SimulatedLogStream(log_stream.LogStream):
    """The phone's log; `write` returns when the reader has processed the line."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._lines: deque[str] = deque()
        self._num_pending = 0
        self._is_stopped = False

    def write(self, tag: str, priority: str, line: str) -> None:
        """Pass a line to the reader, if the filters allow it, and wait until it is processed.

        Raises:
            ReadObservationError: The reader has stopped: a handler of the task failed.
        """
        if not self._passes(tag, priority):
            return
        with self._changed:
            if self._is_stopped:
                return
            self._lines.append(line)
            self._num_pending += 1
            self._changed.notify_all()
            is_done = self._changed.wait_for(
                lambda: self._num_pending == 0 or self._is_stopped, LOG_TIMEOUT_SECONDS
            )
        if not is_done:
            raise errors.ReadObservationError(f"the log's reader has stopped at this line: {line}")

    def stop_stream(self) -> None:
        """End the stream."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def _get_stream_output(self) -> Generator[str, None, None]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._is_stopped)
                if self._is_stopped:
                    return
                line = self._lines.popleft()
            yield line
            with self._changed:  # the reader asks for more, so it has processed the line
                self._num_pending -= 1
                self._changed.notify_all()

    def _passes(self, tag: str, priority: str) -> bool:
        """Apply logcat's filters, TAG:PRIORITY; the first filter with this tag decides."""
        for text in self._filters:
            filtered_tag, _, least = text.partition(":")
            if filtered_tag in (tag, "*"):
                least = (least or "V").upper()
                return least != "S" and PRIORITIES.index(priority) >= PRIORITIES.find(least)
        return True


class PromptTaskManager(task_manager.TaskManager):
    """AndroidEnv's task manager, without its sleep after setup and reset steps.

    The base class gets the task without these steps. They run here, at the same times and through
    the same AdbCallParser. Their success is checked only once, because this phone starts an app
    immediately or not at all.
    """

    def __init__(
        self, task: task_pb2.Task, config: config_classes.TaskManagerConfig | None = None
    ) -> None:
        self._prompt_setup = list(task.setup_steps)
        self._prompt_reset = list(task.reset_steps)
        rest = task_pb2.Task()
        rest.CopyFrom(task)
        rest.ClearField("setup_steps")
        rest.ClearField("reset_steps")
        super().__init__(rest, config)

    def start(
        self,
        adb_call_parser_factory: Callable[[], adb_call_parser.AdbCallParser],
        log_stream: log_stream.LogStream,
    ) -> None:
        """Start as the base class does, and keep a parser."""
        super().start(adb_call_parser_factory, log_stream)
        self._parser = adb_call_parser_factory()

    def setup_task(self) -> None:
        """Run the setup steps.

        Raises:
            StepCommandError: A step failed.
        """
        for step in self._prompt_setup:
            self._run(step)
        super().setup_task()

    def reset_task(self) -> None:
        """Run the reset steps, then reset as the base class does.

        Raises:
            StepCommandError: A step failed.
        """
        for step in self._prompt_reset:
            self._run(step)
        super().reset_task()

    def _run(self, step: task_pb2.SetupStep) -> None:
        if step.WhichOneof("step") == "adb_request":
            try:
                response = self._parser.parse(step.adb_request)
            except errors.AdbControllerError as error:
                raise errors.StepCommandError(str(error)) from error
            if response.status != adb_pb2.AdbResponse.Status.OK:
                raise errors.StepCommandError(response.error_message)
        condition = step.success_condition
        match condition.WhichOneof("check"):
            case "wait_for_app_screen":
                expected = condition.wait_for_app_screen.app_screen
                checker = app_screen_checker.AppScreenChecker(self._parser, expected)
                outcome = checker.matches_current_app_screen()
                if outcome != app_screen_checker.AppScreenChecker.Outcome.SUCCESS:
                    raise errors.WaitForAppScreenError(f"'{expected.activity}': {outcome.name}")
            case "check_install":
                package = condition.check_install.package_name
                if package not in self._parser.parse(_LIST_PACKAGES).package_manager.list.items:
                    raise errors.CheckInstallError(f"'{package}' is not installed")
