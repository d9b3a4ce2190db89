"""Takes pictures of environments: what a flavor looks like after some random decisions."""

from __future__ import annotations

import io
import multiprocessing
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from thaw.config.flavor import Flavor
from thaw.config.run_spec import split_environment
from thaw.config.suite import Suite
from thaw.envs.families import make_env
from thaw.envs.spaces import Spaces, VectorEnv
from thaw.experiment.pictures import flavors_of, picture_path
from thaw.experiment.process_tree import kill_tree
from thaw.files.atomic import write_atomic

PICTURE_STEPS = 60
"""Random decisions before which the first episode must end, or it counts as that long."""
PICTURE_PX = 160
"""The longer side of a small picture."""
PICTURE_SECONDS = 20.0
"""All small pictures together; after that they are given up."""


def draw_pictures(suite: Suite, folder: Path) -> None:
    """Draw a small picture of each flavor into a suite's folder, if it is not there yet.

    The report shows them; nothing depends on them. So a flavor that cannot be drawn, or an
    environment that hangs or crashes, costs its picture and nothing else: a process of its own
    draws, for at most :data:`PICTURE_SECONDS`. Devices of AndroidEnv are not started for this.

    Args:
        suite: The suite; its environments may be made.
        folder: The suite's folder.
    """
    wanted = [
        flavor
        for flavor in flavors_of(suite)
        if flavor.family != "androidenv" and not picture_path(folder, flavor).exists()
    ]
    if not wanted:
        return
    _, options = split_environment(suite.environment)
    with suppress(OSError):
        (folder / "pictures").mkdir(exist_ok=True)
        context = multiprocessing.get_context("forkserver")
        process = context.Process(target=_draw_each, args=(wanted, options, folder), daemon=True)
        process.start()
        try:
            process.join(PICTURE_SECONDS)
        finally:  # also after a signal: nothing must hold up the end of this process
            if process.is_alive() and process.pid is not None:
                kill_tree(process.pid)
            process.join()


def _draw_each(flavors: list[Flavor], options: dict[str, Any], folder: Path) -> None:
    """Draw in a process of its own, which says nothing: what an environment prints is not asked."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    for flavor in flavors:
        with suppress(Exception):  # a user's environment may raise anything
            picture = Image.fromarray(middle_screen(flavor, options, seed=0))
            picture.thumbnail((PICTURE_PX, PICTURE_PX), Image.Resampling.BOX)
            data = io.BytesIO()
            picture.save(data, "PNG", optimize=True)
            write_atomic(picture_path(folder, flavor), data.getvalue())


def screen_after(
    flavor: Flavor, options: dict[str, Any], num_steps: int, seed: int
) -> NDArray[np.uint8]:
    """Return the screen [height, width, 3] after seeded random decisions."""
    return _screens(flavor, options, num_steps, seed)[0][-1]


def middle_screen(flavor: Flavor, options: dict[str, Any], seed: int) -> NDArray[np.uint8]:
    """Return the screen [height, width, 3] in the middle of the first episode.

    At the beginning or the end of an episode, much may be out of sight.
    """
    screens, length = _screens(flavor, options, PICTURE_STEPS, seed)
    return screens[length // 2]


def _screens(
    flavor: Flavor, options: dict[str, Any], num_steps: int, seed: int
) -> tuple[list[NDArray[np.uint8]], int]:
    """Return the screens after 0 to ``num_steps`` seeded random decisions.

    Also return the first episode's length in decisions, cut at ``num_steps``.
    """
    env = make_env(flavor, 1, **options)
    try:
        env.reset(seed=seed)
        random = np.random.default_rng(seed)
        num_actions = Spaces.of(env, flavor).num_actions
        screens, length = [_screen(env)], num_steps
        for number in range(1, num_steps + 1):
            _, _, terminated, truncated, _ = env.step(random.integers(num_actions, size=1))
            screens.append(_screen(env))
            if (terminated[0] or truncated[0]) and length == num_steps:
                length = number
        return screens, length
    finally:
        env.close()


def _screen(env: VectorEnv) -> NDArray[np.uint8]:
    screens = env.render()
    assert screens is not None
    return np.array(screens[0], np.uint8)
