"""The simulated phone by itself, and the tasks that come with thaw."""

from __future__ import annotations

import re

import numpy as np
import pytest

from thaw.envs.androidenv.simulated.catch_app import ACTIVITY, EXTRAS, PACKAGE, Timing, knobs_of
from thaw.envs.androidenv.simulated.phone import LAUNCHER, WALLPAPER, AdbFailed, Phone
from thaw.envs.androidenv.task_files import TASK_FOLDER, read_task
from thaw.envs.catch.knobs import VARIANTS, CatchKnobs

TIMING = Timing(frame_ms=16, frame_jitter_ms=0, frames_per_step=4)
START = ["shell", "am", "start", "-S", "-W", "-n", ACTIVITY]


class Diary:
    """A phone and the messages of its log."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.lines: list[str] = []
        self.phone = Phone(TIMING, "virtual", self.note)
        self.phone.seed(0)

    def note(self, tag: str, priority: str, line: str) -> None:
        assert (tag, priority) == ("AndroidRLTask", "I")
        self.lines.append(line)
        self.messages.append(line.split(": ", 1)[1])

    def screenshots(self, count: int) -> list[int]:
        """The ball's height in each."""
        heights = []
        for _ in range(count):
            self.phone.screenshot()
            assert self.phone.app is not None
            heights.append(self.phone.app.ball_y)
        return heights


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_tasks_are_the_variants(variant: str) -> None:
    task = read_task(TASK_FOLDER / f"catch_{variant}.textproto")
    assert task.id == f"catch_{variant}"
    (step,) = task.reset_steps
    arguments = list(step.adb_request.start_activity.extra_args)
    assert arguments[1::3] == list(EXTRAS), "all seven, in the app's order"
    kinds = {"--es": str, "--ef": float, "--ei": int}
    extras = {
        name: kinds[flag](value)
        for flag, name, value in zip(arguments[::3], arguments[1::3], arguments[2::3], strict=True)
    }
    assert knobs_of(extras) == CatchKnobs(**VARIANTS[variant])
    regexps = task.log_parsing_config.log_regexps
    rewards = {
        line: sum(e.reward for e in regexps.reward_event if re.match(e.event, line))
        for line in ("0 - true", "12 - false", "MainActivity::onCreate()", "1 - trueish")
    }
    assert list(rewards.values()) == [1, -1, 0, 0]
    assert [bool(re.match(regexps.episode_end[0], line)) for line in rewards] == [
        True, True, False, False,
    ]  # fmt: skip


def test_throws_follow_each_other_and_the_paddle_stays(diary: Diary) -> None:
    diary.phone.ball_x = 200
    diary.phone.adb(START)
    diary.phone.touch(210, is_down=True)
    heights = diary.screenshots(40)
    assert heights[:3] == [10, 22, 34], "the first screenshot shows where the ball starts"
    assert heights[39] == 472
    assert diary.messages[-1] == "0 - true"
    assert diary.screenshots(2) == [10, 22], "the next throw"
    assert diary.phone.app is not None
    assert diary.phone.app.paddle_x == 210
    diary.phone.app.ball_x = 10
    diary.screenshots(38)
    assert diary.messages[-1] == "1 - false"


def test_log_lines_are_as_androidenv_reads_them(diary: Diary) -> None:
    diary.phone.adb(START)
    assert diary.messages == [
        "MainActivity::onCreate()", "MainActivity::surfaceCreated()",
        "MainActivity::surfaceChanged()", "MainActivity::startGame()",
    ]  # fmt: skip
    form = r"^[ ]+[0-9]+\.[0-9]+[ ]+[0-9]+[ ]+[0-9]+[ ]+I[ ]+AndroidRLTask: \S+$"
    assert all(re.match(form, line) for line in diary.lines)


def test_a_lift_leaves_the_paddle(diary: Diary) -> None:
    diary.phone.adb(START)
    diary.phone.touch(33, is_down=True)
    diary.phone.touch(0, is_down=False)
    assert diary.phone.app is not None
    assert diary.phone.app.paddle_x == 33


@pytest.mark.parametrize(
    ("extras", "radius"),
    [
        (["--ef", "ballRadius", "30"], 30.0),
        (["--ei", "ballRadius", "30"], 10.0),
        (["--es", "ballRadius", "30"], 10.0),
        (["--ef", "ballSize", "30"], 10.0),
    ],
)
def test_an_extra_of_the_wrong_type_is_none(diary: Diary, extras: list[str], radius: float) -> None:
    diary.phone.adb([*START, *extras])
    assert diary.phone.app is not None
    assert diary.phone.app.knobs.ball_radius == radius


def test_a_color_has_to_get_through_the_shell(diary: Diary) -> None:
    diary.phone.adb([*START, "--es", "ballColor", r"\#112233"])
    assert diary.phone.app is not None
    assert diary.phone.app.knobs.ball_color == "#112233"
    with pytest.raises(AdbFailed, match="--es"):
        diary.phone.adb([*START, "--es", "ballColor", "#112233"])


def test_a_running_app_keeps_its_extras_unless_it_is_stopped(diary: Diary) -> None:
    diary.phone.adb([*START, "--ei", "paddleWidth", "40"])
    first = diary.phone.app
    unforced = [word for word in START if word != "-S"]
    assert b"brought to the front" in diary.phone.adb([*unforced, "--ei", "paddleWidth", "60"])
    assert diary.phone.app is first
    diary.phone.adb([*START, "--ei", "paddleWidth", "60"])
    assert diary.phone.app is not None
    assert diary.phone.app.knobs.paddle_width == 60


def test_what_else_adb_answers(diary: Diary) -> None:
    adb = diary.phone.adb
    stack = ["shell", "am", "stack", "list", "|", "grep", "-E", "visible=true"]
    assert f"{{{LAUNCHER}}}" in adb(stack).decode()
    assert set(np.unique(diary.phone.screenshot())) == {WALLPAPER}
    adb(START)
    assert f"{{{ACTIVITY}}}" in adb(stack).decode()
    assert adb([*stack[:-1], "nothing"]) == b""
    adb(["shell", "am", "force-stop", PACKAGE])
    assert diary.phone.app is None
    assert adb(["shell", "pm", "list", "packages"]).decode().split() == [f"package:{PACKAGE}"]
    adb(["uninstall", PACKAGE])
    assert b"Error" in adb(START)
    adb(["install", "-r", "-t", "-g", "catch.apk"])
    assert b"Status: ok" in adb(START)
    assert adb(["shell", "settings", "get", "system", "x"]) == b"null\n"
    adb(["shell", "settings", "put", "system", "x", "1"])
    assert adb(["shell", "settings", "get", "system", "x"]) == b"1\n"
    adb(["shell", "input", "keyevent", "KEYCODE_HOME"])
    assert diary.phone.app is None
    for unknown in (["shell", "am", "task"], ["shell", "ls", "|", "wc"], ["root"]):
        with pytest.raises(AdbFailed, match="does not know"):
            adb(unknown)
