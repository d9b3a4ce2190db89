"""AndroidEnv's EmulatorSimulator, its adb and its loader on a stand-in for Google's emulator.

The stand-in is a simulated phone with the emulator's two interfaces: the gRPC service that shows
the screen and takes touches, and an adb binary. Google's emulator itself is not part of the test.
"""

from __future__ import annotations

import json
import socketserver
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from android_env.components import config_classes
from android_env.proto import emulator_controller_pb2 as pb2
from android_env.proto import emulator_controller_pb2_grpc as pb2_grpc
from google.protobuf import empty_pb2

from thaw.config.flavor import Flavor
from thaw.envs.androidenv.emulator import emulator_config
from thaw.envs.androidenv.family import make_androidenv
from thaw.envs.androidenv.options import read_options
from thaw.envs.androidenv.simulated.catch_app import Timing
from thaw.envs.androidenv.simulated.phone import AdbFailed, Phone

ADB = """#!{python} -ES
import json, socket, sys
with socket.create_connection(("localhost", {port})) as door:
    door.sendall(json.dumps(sys.argv[1:]).encode() + b"\\n")
    with door.makefile("rb") as answer:
        status = answer.readline()
        for line in answer:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
sys.exit(int(status))
"""


class StandIn(pb2_grpc.EmulatorControllerServicer):
    """A phone that says what it is asked for, and remembers how it was asked."""

    def __init__(self) -> None:
        self.phone = Phone(Timing(16, 1, 4), "real", self._write_log)
        self.phone.seed(0)
        self.commands: list[list[str]] = []
        self._logs: list[Any] = []

    def getStatus(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's names
        return pb2.EmulatorStatus(booted=True, uptime=1)

    def getScreenshot(self, request: Any, context: Any) -> Any:  # noqa: N802
        rgb = self.phone.screenshot()
        rgba = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
        size = pb2.ImageFormat(width=rgb.shape[1], height=rgb.shape[0])
        return pb2.Image(format=size, image=rgba.tobytes())

    def sendTouch(self, request: Any, context: Any) -> Any:  # noqa: N802
        for touch in request.touches:
            self.phone.touch(touch.x, is_down=touch.pressure > 0)
        return empty_pb2.Empty()

    def adb(self, words: list[str], answer: Any) -> None:
        """Answer one call of the adb binary: its status, then what it prints."""
        assert words[:2] == ["-P", "5037"]
        words = words[4:] if words[2] == "-s" else words[2:]
        self.commands.append(words)
        if words[0] == "logcat" and "-c" not in words:
            answer.write(b"0\n")
            answer.flush()
            self._logs.append(answer)
            threading.Event().wait(30)  # logcat goes on until it is killed
        elif words[0] in ("devices", "logcat"):
            answer.write(b"0\n")
        else:
            try:
                answer.write(b"0\n" + self.phone.adb(words))
            except AdbFailed as failure:
                answer.write(f"1\n{failure}\n".encode())

    def _write_log(self, tag: str, priority: str, line: str) -> None:
        for log in self._logs:
            try:
                log.write(line.encode() + b"\n")
                log.flush()
            except OSError:  # its reader was killed
                pass


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[tuple[StandIn, dict[str, Any]]]:
    """An emulator that is running, and the options that lead to it."""
    emulator = StandIn()

    class AdbDoor(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            emulator.adb(json.loads(self.rfile.readline()), self.wfile)

    server = grpc.server(ThreadPoolExecutor(2))  # type: ignore[no-untyped-call]
    pb2_grpc.add_EmulatorControllerServicer_to_server(emulator, server)  # type: ignore[no-untyped-call]
    credentials = grpc.local_server_credentials()  # type: ignore[no-untyped-call]
    grpc_port = server.add_secure_port("localhost:0", credentials)
    server.start()
    with socketserver.ThreadingTCPServer(("localhost", 0), AdbDoor) as door:
        door.daemon_threads, door.block_on_close = True, False
        threading.Thread(target=door.serve_forever, daemon=True).start()
        adb = tmp_path / "adb"
        adb.write_text(ADB.format(python=sys.executable, port=door.server_address[1]))
        adb.chmod(0o755)
        (tmp_path / "app.apk").touch()
        yield (
            emulator,
            {
                "adb_path": str(adb),
                "apk": str(tmp_path / "app.apk"),
                "adb_port": 5555,
                "emulator_console_port": 5554,
                "grpc_port": grpc_port,
                "steps_per_second": 30.0,
            },
        )
        door.shutdown()
    server.stop(None)


def test_catch_on_an_emulator(stand_in: tuple[StandIn, dict[str, Any]]) -> None:
    emulator, options = stand_in
    env = make_androidenv(Flavor("androidenv/catch@large_ball"), 1, options)
    install = ["install", "-r", "-t", "-g", options["apk"]]
    assert install in emulator.commands
    assert ["shell", "settings", "put", "system", "show_touches", "0"] in emulator.commands
    observation, info = env.reset(seed=0, options={})
    assert observation.shape == (1, 120, 80, 3)
    assert info == {}
    app = emulator.phone.app
    assert app is not None
    assert app.knobs.ball_radius == 30
    column = app.ball_x * 6 // 320
    for _ in range(200):
        observation, rewards, terminated, truncated, _ = env.step(np.array([column]))
        if terminated[0]:
            break
        assert rewards[0] == 0
    assert not truncated[0]
    assert rewards[0] == 1
    assert emulator.phone.app is not app, "the reset started the app again"
    assert env.render()[0].shape == (480, 320, 3)

    # A run scores its policy while the training's environment is still open.
    other = make_androidenv(Flavor("androidenv/catch"), 1, options)
    other.reset(seed=0)
    lengths = [other.step(np.array([column]))[2].tolist() for _ in range(60)]
    assert [True] in lengths
    env.close()
    other.close()


def test_options_become_android_envs_configs() -> None:
    options = read_options(
        {"adb_port": 5555, "emulator_console_port": 5554, "grpc_port": 8554, "adb_path": "/a/adb",
         "android_sdk_root": "/sdk", "gpu_mode": "host", "run_headless": False,
         "interaction_rate_sec": 0.01, "adb_timeout_seconds": 5.0},
        2,
        "here",
    )  # fmt: skip
    assert emulator_config(options, 1) == config_classes.EmulatorConfig(
        interaction_rate_sec=0.01,
        emulator_launcher=config_classes.EmulatorLauncherConfig(
            emulator_path="/sdk/emulator/emulator", android_sdk_root="/sdk", gpu_mode="host",
            run_headless=False, adb_port=5557, emulator_console_port=5556, grpc_port=8556,
        ),
        adb_controller=config_classes.AdbControllerConfig(
            adb_path="/a/adb", default_timeout=5.0
        ),
    )  # fmt: skip


def test_defaults_are_android_envs() -> None:
    options = read_options({"avd_name": "catch_{index}"}, 3, "here")
    config, theirs = emulator_config(options, 2), config_classes.EmulatorConfig()
    assert config.emulator_launcher.avd_name == "catch_2"
    assert config.emulator_launcher.emulator_path.endswith("/Android/Sdk/emulator/emulator")
    assert config.adb_controller.adb_path.endswith("/Android/Sdk/platform-tools/adb")
    config.emulator_launcher.avd_name = theirs.emulator_launcher.avd_name
    config.emulator_launcher.emulator_path = theirs.emulator_launcher.emulator_path
    config.adb_controller.adb_path = theirs.adb_controller.adb_path
    assert config == theirs
