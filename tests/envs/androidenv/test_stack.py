"""AndroidEnv's coordinator, task manager and log thread on the simulated phone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from android_env.components import errors
from android_env.proto import adb_pb2

from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.strict import Scalar
from thaw.envs.androidenv.family import make_androidenv
from thaw.envs.androidenv.task_files import TASK_FOLDER
from thaw.envs.androidenv.vector import SILENT_STEPS, AndroidVectorEnv
from thaw.envs.families import make_env
from thaw.testing import check_environment

SIMULATED: dict[str, Scalar] = {"device": "simulated"}
CATCH = (TASK_FOLDER / "catch_default.textproto").read_text()
RESET_STEPS = CATCH[CATCH.index("reset_steps: {") : CATCH.index("# Every so many")]


@pytest.fixture
def env() -> Iterator[AndroidVectorEnv]:
    env = make_androidenv(Flavor("androidenv/catch"), 1, SIMULATED)
    env.reset(seed=1)
    yield env
    env.close()


def make_task(text: str, folder: Path, num_envs: int = 1, **options: Scalar) -> AndroidVectorEnv:
    """Return devices that play the task of this text."""
    path = folder / "mine.textproto"
    path.write_text(text)
    env = make_androidenv(Flavor(f"androidenv/{path}"), num_envs, {**SIMULATED, **options})
    env.reset(seed=1)
    return env


def step(env: AndroidVectorEnv, action: int = 0) -> tuple[float, bool, bool]:
    """Reward, terminated, truncated of one device."""
    _, rewards, terminated, truncated, _ = env.step(np.full(env.num_envs, action))
    return float(rewards[0]), bool(terminated[0]), bool(truncated[0])


def until_an_end(env: AndroidVectorEnv, action: int = 0) -> tuple[int, tuple[float, bool, bool]]:
    """How many steps an episode lasts, and its last one."""
    for number in range(1, 1000):
        outcome = step(env, action)
        if outcome[1] or outcome[2]:
            return number, outcome
    raise AssertionError("no end")


def test_it_is_sound() -> None:
    check_environment("androidenv/catch?device=simulated", num_envs=2, max_episode_steps=60)


def test_a_log_line_of_the_end_is_a_termination(env: AndroidVectorEnv) -> None:
    env.reset(options={"ball_x": np.array([27])})
    assert until_an_end(env, 0) == (39, (1.0, True, False))  # under the ball
    env.reset(options={"ball_x": np.array([27])})
    assert until_an_end(env, 5) == (39, (-1.0, True, False))


def test_a_step_limit_is_a_truncation_one_step_late(tmp_path: Path) -> None:
    """TaskManager truncates when the count of steps exceeds the limit."""
    env = make_task(f"{CATCH}\nmax_episode_steps: 5", tmp_path)
    assert [until_an_end(env) for _ in range(2)] == [(6, (0.0, False, True))] * 2
    env.close()


def test_a_time_limit_is_counted_in_virtual_time(tmp_path: Path) -> None:
    env = make_task(CATCH.replace("max_episode_sec: 20.0", "max_episode_sec: 1.0"), tmp_path)
    number, outcome = until_an_end(env)
    assert outcome == (0.0, False, True)
    assert (number - 1) * 64 <= 1000 < number * 64
    env.close()


def test_leaving_the_app_is_a_truncation_and_the_reset_opens_it_again() -> None:
    env = make_androidenv(
        Flavor("androidenv/catch"), 1, {**SIMULATED, "dumpsys_check_frequency": 1}
    )
    env.reset(seed=1)
    home = adb_pb2.AdbRequest.PressButton(button=adb_pb2.AdbRequest.PressButton.Button.HOME)
    device = env.devices[0].env
    assert device is not None
    device.execute_adb_call(adb_pb2.AdbRequest(press_button=home))
    assert env.simulated[0].phone.app is None
    number, outcome = until_an_end(env)
    assert outcome == (0.0, False, True)
    assert number <= 5
    assert env.simulated[0].phone.app is not None
    env.close()


def test_without_reset_steps_the_app_keeps_throwing(tmp_path: Path) -> None:
    setup = RESET_STEPS.replace("reset_steps", "setup_steps")
    env = make_task(CATCH.replace(RESET_STEPS, setup), tmp_path)
    app = env.simulated[0].phone.app
    assert app is not None
    assert until_an_end(env, 5)[1][1]
    assert env.simulated[0].phone.app is app
    assert app.paddle_x > 260, "the paddle begins the next episode where it was"
    assert app.ball_y == 10
    assert until_an_end(env, 5)[0] == 39
    env.close()


def test_nothing_but_the_app_is_on_the_screen(env: AndroidVectorEnv) -> None:
    assert env.simulated[0].phone.settings == {
        ("system", "show_touches"): "0",
        ("system", "pointer_location"): "0",
        ("global", "policy_control"): "immersive.full=*",
    }
    screen = env.render()[0]
    assert screen.shape == (480, 320, 3)
    assert set(np.unique(screen[100:460])) == {0}


def test_the_same_seed_is_the_same_game() -> None:
    def play(seed: int) -> list[Any]:
        env = make_env("androidenv/catch?device=simulated&frame_jitter_ms=2", 3)
        env.reset(seed=seed)
        steps = [env.step(np.array([a, a, a])) for a in range(45)]
        env.close()
        return [(s[0].tobytes(), s[1].tolist(), s[4]["paddle_x"].tolist()) for s in steps]

    first = play(1)
    assert first == play(1)
    assert first != play(2)
    assert len(set(first[0][2])) == 3, "each device draws its own noise"


# ------------------------------------------------------------------------------- lost devices


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("touch", errors.SendActionError("the finger is gone")),
        ("screenshot", errors.ReadObservationError("the screen is gone")),
    ],
)
def test_a_loss_that_androidenv_finds(
    env: AndroidVectorEnv, caplog: pytest.LogCaptureFixture, fault: str, error: Exception
) -> None:
    step(env)
    before = env.devices[0].env
    env.simulated[0].faults[fault] = error
    assert step(env) == (0.0, False, True)
    assert "androidenv/catch', device 0 is lost" in caplog.text
    assert "AndroidEnv launches the device again" in caplog.text
    assert env.devices[0].env is before
    assert before is not None
    assert before.stats()["relaunch_count"] == 2
    assert until_an_end(env)[1][1], "and goes on"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("touch", errors.SimulatorError("Failed to connect to the emulator.")),
        ("screenshot", ConnectionResetError("by peer")),
    ],
)
def test_a_loss_that_androidenv_raises(
    env: AndroidVectorEnv, caplog: pytest.LogCaptureFixture, fault: str, error: Exception
) -> None:
    before = env.devices[0].env
    env.simulated[0].faults[fault] = error
    assert step(env) == (0.0, False, True)
    assert f"is lost ({type(error).__name__}: {error}): the episode is truncated" in caplog.text
    assert env.devices[0].env is not before
    assert until_an_end(env)[1][1]


def test_a_loss_at_a_reset(env: AndroidVectorEnv, caplog: pytest.LogCaptureFixture) -> None:
    env.simulated[0].faults["adb"] = errors.AdbControllerError("device offline")
    env.reset()
    assert "is lost at a reset (AdbControllerError: device offline): starting" in caplog.text
    assert until_an_end(env)[1][1]


def test_a_device_that_does_not_come_back(env: AndroidVectorEnv) -> None:
    env.simulated[0].faults |= {
        "touch": errors.SendActionError(),
        "launch": RuntimeError("no power"),
    }
    with pytest.raises(InputError, match="does not start again: RuntimeError: no power"):
        step(env)


def test_one_lost_device_leaves_the_others_alone() -> None:
    env = make_androidenv(Flavor("androidenv/catch"), 3, SIMULATED)
    env.reset(seed=0)
    env.simulated[1].faults["screenshot"] = errors.ReadObservationError()
    *_, truncated, info = env.step(np.array([1, 2, 3]))
    assert truncated.tolist() == [False, True, False]
    assert info["ball_y"].tolist() == [22, 10, 22]
    env.close()


def test_a_silent_task_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = CATCH.replace("AndroidRLTask:I", "CatchTheBall:I").replace("20.0", "1.0")
    silent = make_task(text, tmp_path, downsample=160)
    for _ in range(SILENT_STEPS + 20):
        silent.step(np.zeros(1, int))
    messages = [r.getMessage() for r in caplog.records if r.name.startswith("thaw")]
    assert len(messages) == 1
    for part in ("no reward for 1000 steps", "['CatchTheBall:I']", "adb logcat -s CatchTheBall"):
        assert part in messages[0]
    silent.close()


# ---------------------------------------------------------------------------------- real time


def test_on_a_real_clock_the_app_does_not_wait() -> None:
    options: dict[str, Scalar] = {**SIMULATED, "clock": "real", "steps_per_second": 30.0}
    env = make_androidenv(Flavor("androidenv/catch"), 2, options)
    env.reset(seed=3, options={"ball_x": np.array([27, 27])})
    app = env.simulated[0].phone.app
    assert app is not None
    # AndroidEnv slept for half a second after the app's start, while the ball fell.
    assert app.ball_y > 10 + 3 * 25
    start = time.monotonic()
    number, outcome = until_an_end(env, 0)
    seconds = time.monotonic() - start
    assert outcome == (1.0, True, False)
    # Generous, for a busy machine: a throw lasts 154 frames of 16 ms, less what has passed.
    assert 0.5 < seconds < 10
    assert 5 < number < 70
    assert env.metadata["render_fps"] == 30
    assert env.metadata["frames_per_step"] == 2
    env.close()


def test_decisions_that_come_too_late_are_counted() -> None:
    options: dict[str, Scalar] = {**SIMULATED, "clock": "real", "steps_per_second": 10.0}
    env = make_androidenv(Flavor("androidenv/catch"), 1, options)
    for pause_seconds, at_least, at_most in ((0.0, 0, 5), (0.55, 8, 99)):
        env.reset(seed=3)
        before = env.dropped_steps
        for _ in range(2):
            env.step(np.zeros(1, int))
            time.sleep(pause_seconds)
        env.step(np.zeros(1, int))
        assert at_least <= env.dropped_steps - before <= at_most
    env.close()


def test_on_a_virtual_clock_no_decision_is_too_late(env: AndroidVectorEnv) -> None:
    for _ in range(3):
        env.step(np.zeros(1, int))
        time.sleep(0.2)
    assert env.dropped_steps == 0
