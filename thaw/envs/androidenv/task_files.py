"""AndroidEnv's tasks: five of Catch that come with thaw, and any other by its path."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from thaw.config.errors import InputError, nearest
from thaw.config.flavor import Flavor
from thaw.envs.androidenv.options import INSTALLED
from thaw.envs.catch.knobs import VARIANTS

if TYPE_CHECKING:
    from android_env.proto import task_pb2

TASK_FOLDER: Final = Path(__file__).parent / "tasks"
SUFFIX: Final = ".textproto"


def find_task(flavor: Flavor) -> Path:
    """Return the file of a flavor's task.

    Args:
        flavor: ``androidenv/catch@<variant>``, or ``androidenv/<path>``: a textproto's path,
            relative to the working folder (``androidenv/tasks/mine.textproto``) or absolute
            (``androidenv//home/me/mine.textproto``).

    Raises:
        InputError: No such task.
    """
    name, variant = flavor.name, flavor.variant
    if name.endswith(SUFFIX):
        where = f"flavor '{flavor}'"
        if variant != "default":
            raise InputError(f"{where} has no variant '{variant}'; a path names one task")
        if ".." in Path(name).parts:
            raise InputError(f"{where}: '..' is not allowed, because a run's folder has this name")
        path = Path(name)
        if not path.is_file():
            raise InputError(f"{where}: there is no file '{path}' in '{Path.cwd()}'")
        return path
    if name != "catch" or variant not in VARIANTS:
        wrong = variant if name == "catch" else name
        raise InputError(
            f"unknown flavor '{flavor}'{nearest(wrong, [*VARIANTS, 'catch'])} "
            f"Known are androidenv/catch@VARIANT with {', '.join(VARIANTS)}, and any task file: "
            f"androidenv/path/to/task{SUFFIX}"
        )
    return TASK_FOLDER / f"catch_{variant}{SUFFIX}"


def read_task(path: Path) -> task_pb2.Task:
    """Read a task.

    Args:
        path: A textproto of AndroidEnv's task.proto.

    Raises:
        InputError: The file or a regular expression in it cannot be parsed.
    """
    from android_env.proto import task_pb2
    from google.protobuf import text_format

    task = task_pb2.Task()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), task)
    except (text_format.ParseError, UnicodeDecodeError, OSError) as error:
        problem = " ".join(str(error).split())
        is_old = "adb_call" in problem
        hint = "; tasks from 2021 have adb_call in place of adb_request" if is_old else ""
        raise InputError(f"'{path}' is not an AndroidEnv task: {problem}{hint}") from None
    regexps = task.log_parsing_config.log_regexps
    written = [regexps.score, *regexps.reward, *regexps.episode_end, *regexps.extra]
    written += [*regexps.json_extra, *(event.event for event in regexps.reward_event)]
    for text in written:
        try:
            re.compile(text)
        except re.error as error:
            raise InputError(
                f"'{path}' has a wrong regular expression '{text}' in log_regexps: {error}"
            ) from None
    return task


def place_apk(task: task_pb2.Task, apk: str | None, where: str) -> None:
    """Set the path of a task's app; AndroidEnv reads it relative to the working folder.

    Args:
        task: Changed in place.
        apk: A file; ``installed`` to skip the installation but keep the check that the app is
            there; or None for the task's own path.
        where: Names the flavor in errors.

    Raises:
        InputError: There is no such file.
    """
    for step in task.setup_steps:
        if step.adb_request.WhichOneof("command") != "install_apk":
            continue
        if apk == INSTALLED:
            step.ClearField("adb_request")
            continue
        install = step.adb_request.install_apk
        if apk is not None:
            install.filesystem.path = os.path.expanduser(apk)
        if (
            install.WhichOneof("location") == "filesystem"
            and not Path(install.filesystem.path).is_file()
        ):
            raise InputError(
                f"{where}: there is no app '{install.filesystem.path}'; build it "
                "(docs/androidenv.md) and set apk=PATH, or apk=installed if the device has it"
            )
    kept = [step for step in task.setup_steps if step.ListFields()]
    del task.setup_steps[:]
    task.setup_steps.extend(kept)


def count_time_in_steps(task: task_pb2.Task, step_ms: float) -> None:
    """Replace a task's time limit by the step limit of the same length on a virtual clock.

    AndroidEnv measures `max_episode_sec` with this machine's clock, in whole seconds. A virtual
    second takes less time on this machine, or more while the learner computes.

    Args:
        task: Changed in place.
        step_ms: The length of a step.
    """
    if task.max_episode_sec > 0:
        limit_steps = max(math.floor(int(task.max_episode_sec) * 1000 / step_ms), 1)
        if task.max_episode_steps > 0:
            limit_steps = min(limit_steps, task.max_episode_steps)
        task.max_episode_steps = limit_steps
        task.max_episode_sec = 0.0


def explain_silence(task: task_pb2.Task) -> str:
    """Return advice for a task that gives no reward."""
    filters = list(task.log_parsing_config.filters)
    tag = filters[0].split(":")[0] if filters else "YOUR_TAG"
    regexps = task.log_parsing_config.log_regexps
    rules = [name for name in ("score", "reward", "reward_event") if getattr(regexps, name)]
    return (
        f"the task reads log lines of {filters or 'no tag at all'} (log_parsing_config.filters) "
        f"with {', '.join(rules) or 'no rule for rewards'} (log_regexps); to see what the app "
        f"writes: adb logcat -s {tag}"
    )
