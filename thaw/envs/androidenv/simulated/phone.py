"""A simulated phone with the Catch app: its screen, touches, log and answers to adb.

It does not depend on AndroidEnv; `simulator` connects it to AndroidEnv's interfaces.
"""

from __future__ import annotations

import re
import shlex
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np

from thaw.envs.androidenv.simulated.catch_app import (
    ACTIVITY,
    LOG_TAG,
    PACKAGE,
    CatchApp,
    Timing,
    knobs_of,
)
from thaw.envs.catch.knobs import SCREEN_HEIGHT_PX, SCREEN_WIDTH_PX
from thaw.envs.catch.screen import Pixels

LAUNCHER: Final = "com.android.launcher3/com.android.launcher3.Launcher"

WALLPAPER: Final = 48
"""Gray value of the screen while no app is open."""

LogSink = Callable[[str, str, str], None]
"""Called with tag, priority (one letter) and the whole line."""


class AdbFailed(Exception):
    """An adb command failed; the message is adb's."""


class Phone:
    """A phone of 320 x 480 pixels.

    On a virtual clock each screenshot advances the time by one step (`CatchApp.play_step` has two
    exceptions); on a real clock time passes by itself.

    Args:
        timing: The lengths of the app's frames.
        clock: Which clock.
        on_log: Called with every log line.

    Attributes:
        app: Catch, while it is open.
        settings: The values from ``adb shell settings put``, by (namespace, key).
        ball_x: If set, where the next ball starts; used once.
    """

    def __init__(self, timing: Timing, clock: Literal["virtual", "real"], on_log: LogSink) -> None:
        self.app: CatchApp | None = None
        self.settings: dict[tuple[str, str], str] = {}
        self.ball_x: int | None = None
        self._timing = timing
        self._clock = clock
        self._on_log = on_log
        self._packages = {PACKAGE}
        self._random = np.random.default_rng()
        # AndroidEnv asks for the open app from another thread.
        self._lock = threading.RLock()

    def boot(self) -> None:
        """Start or restart the phone: apps stay installed, but none is open."""
        with self._lock:
            self.app = None

    def seed(self, seed: int) -> None:
        """Seed the starts of balls and the lengths of frames."""
        with self._lock:
            # In place, because an open app uses the same generator.
            fresh = np.random.default_rng(seed)
            self._random.bit_generator.state = fresh.bit_generator.state

    def touch(self, x_px: int, is_down: bool) -> None:
        """Touch a column of the screen, or lift the finger.

        Args:
            x_px: 0 to 319; ignored for a lift.
            is_down: False for a lift.
        """
        with self._lock:
            self._pass_time()
            if self.app is not None and is_down:
                self.app.touch(x_px)

    def screenshot(self) -> Pixels:
        """Return the screen, [480, 320, 3] uint8."""
        with self._lock:
            if self._clock == "virtual" and self.app is not None:
                self.app.play_step()
            self._pass_time()
            if self.app is None:
                return np.full((SCREEN_HEIGHT_PX, SCREEN_WIDTH_PX, 3), WALLPAPER, np.uint8)
            return self.app.draw()

    def adb(self, arguments: Sequence[str]) -> bytes:
        """Answer an adb command.

        Args:
            arguments: Those of ``adb``. What follows ``shell`` is one line for the phone's shell,
                which splits words and removes quotes and comments again.

        Raises:
            AdbFailed: The phone does not know it.
        """
        with self._lock:
            self._pass_time()
            match list(arguments):
                case ["shell", *line]:
                    return self._shell(shlex.split(" ".join(line), comments=True)).encode()
                case ["install", *_]:
                    self._packages.add(PACKAGE)  # the only app that this phone can run
                    return b"Performing Streamed Install\nSuccess\n"
                case ["uninstall", package]:
                    self._packages.discard(package)
                    return b"Success\n"
            raise AdbFailed(f"the simulated phone does not know 'adb {' '.join(arguments)}'")

    def _shell(self, words: list[str]) -> str:
        if "|" in words:
            bar = words.index("|")
            match words[bar + 1 :]:
                case ["grep", "-E", pattern]:
                    lines = self._shell(words[:bar]).splitlines(keepends=True)
                    return "".join(line for line in lines if re.search(pattern, line))
        match words:
            case ["am", "start", *rest]:
                return self._am_start(rest)
            case ["am", "force-stop", package]:
                self.app = None if package == PACKAGE else self.app
                return ""
            case ["am", "stack", "list"]:
                top = LAUNCHER if self.app is None else ACTIVITY
                size = f"[0,0][{SCREEN_WIDTH_PX},{SCREEN_HEIGHT_PX}]"
                return (
                    f"  taskId=7: {top} bounds={size} userId=0 visible=true "
                    f"topActivity=ComponentInfo{{{top}}}\n"
                )
            case ["dumpsys", "input"]:
                return "  SurfaceOrientation: 0\n"
            case ["pm", "list", "packages"]:
                return "".join(f"package:{package}\n" for package in sorted(self._packages))
            case ["settings", "put", namespace, key, value]:
                self.settings[namespace, key] = value
                return ""
            case ["settings", "get", namespace, key]:
                return self.settings.get((namespace, key), "null") + "\n"
            case ["input", "keyevent", "KEYCODE_HOME" | "KEYCODE_BACK"]:
                self.app = None
                return ""
        raise AdbFailed(f"the simulated phone does not know 'adb shell {' '.join(words)}'")

    def _am_start(self, words: list[str]) -> str:
        """``am start [-S] [-W] -n ACTIVITY [--es|--ef|--ei NAME VALUE]...``."""
        component, is_forced = "", False
        extras: dict[str, object] = {}
        while words:
            match words:
                case ["-S", *words]:
                    is_forced = True
                case ["-W", *words]:
                    pass
                case ["-n", component, *words]:
                    pass
                case ["--es" | "--ef" | "--ei" as flag, name, value, *words]:
                    kind = {"--es": str, "--ef": float, "--ei": int}[flag]
                    try:
                        extras[name] = kind(value)
                    except ValueError:
                        raise AdbFailed(
                            f"am start: {flag} {name} {value!r} is not a number"
                        ) from None
                case _:
                    raise AdbFailed(f"the simulated phone does not know 'am start {words[0]}'")
        if component.replace("/.", f"/{PACKAGE}.") != ACTIVITY or PACKAGE not in self._packages:
            return f"Error type 3\nError: Activity class {{{component}}} does not exist.\n"
        started = f"Starting: Intent {{ cmp={component} }}\n"
        if self.app is not None and not is_forced:
            # The extras of this start have no effect: the app reads them when it is created.
            return started + (
                "Warning: Activity not started, its current task has been brought to the front\n"
            )
        try:
            knobs = knobs_of(extras)
        except ValueError as error:
            raise AdbFailed(str(error)) from None
        for event in ("onCreate", "surfaceCreated", "surfaceChanged", "startGame"):
            self._write(f"MainActivity::{event}()")
        self.app = CatchApp(
            knobs, self._timing, self._random, self._next_ball_x, self._write, _now_ms()
        )
        return f"{started}Status: ok\nLaunchState: COLD\nActivity: {component}\nComplete\n"

    def _next_ball_x(self) -> int:
        if self.ball_x is not None:
            ball_x, self.ball_x = self.ball_x, None
            return ball_x
        return int(self._random.integers(SCREEN_WIDTH_PX))

    def _pass_time(self) -> None:
        if self._clock == "real" and self.app is not None:
            self.app.play_until(_now_ms())

    def _write(self, message: str) -> None:
        """Write a line in the form of ``logcat -v epoch``."""
        line = f"{'':9}{time.time():.3f}  4242  4243 I {LOG_TAG}: {message}"
        self._on_log(LOG_TAG, "I", line)


def _now_ms() -> float:
    return time.monotonic() * 1000
