"""A video of a policy, with its score above the image."""

from __future__ import annotations

import importlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from thaw.acting.actor import Actor
from thaw.acting.evaluation import playing
from thaw.config.errors import InputError, install_hint
from thaw.config.flavor import Flavor
from thaw.envs.spaces import VectorEnv
from thaw.policy.policy import Acting
from thaw.policy.trajectory import EpisodeStats

SMALLEST_SIDE_PX = 320
"""Smaller images are enlarged by a whole factor until the shorter side has this length."""

STRIP_PX = 24

END_SECONDS = 0.6
"""The last image of an episode is shown this long, with the final score."""

DEFAULT_FPS = 15.0

Picture = NDArray[np.uint8]


def record(
    policy: Acting | None,
    flavor: Flavor,
    out: Path,
    *,
    num_episodes: int,
    seed: int,
    greedy: bool = False,
    options: dict[str, Any] | None = None,
) -> list[EpisodeStats]:
    """Record episodes of a flavor, one after the other, on the CPU.

    Args:
        policy: Chooses the actions; None is the uniform random policy.
        flavor: The environment's flavor.
        out: An .mp4 file; written under another name first, so that it is complete or absent.
        num_episodes: Number of episodes.
        seed: Episodes and sampling depend on it, as in ``thaw evaluate``.
        greedy: Take the most probable action.
        options: The family's options.

    Returns:
        The episodes.

    Raises:
        InputError: The file is no .mp4, imageio-ffmpeg is missing, or the flavor has no images.
        OSError: The file cannot be written.
    """
    if out.suffix != ".mp4":
        raise InputError(f"--out {out} is not an .mp4 file")
    ffmpeg = _ffmpeg()
    with playing(policy, flavor, num_envs=1, seed=seed, greedy=greedy, options=options) as actor:
        fps = float(actor.env.metadata.get("render_fps", DEFAULT_FPS))
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_name(f".{out.stem}.part.mp4")
        try:
            episodes = _play(ffmpeg, actor, flavor, part, num_episodes, fps)
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)
        return episodes


def _play(
    ffmpeg: Any, actor: Actor, flavor: Flavor, path: Path, num_episodes: int, fps: float
) -> list[EpisodeStats]:
    """Play and write; each image shows the environment before a decision."""
    episodes: list[EpisodeStats] = []
    screen, score, step = _screen(actor.env, flavor), 0.0, 0
    with _writer(ffmpeg, path, draw_frame(screen, score, step), fps) as writer:
        while len(episodes) < num_episodes:
            frame = draw_frame(screen, score, step)
            decision = actor.step()
            if decision.valid[0]:  # else the image is the end of the last episode again
                writer.send(frame)
            score += float(decision.rewards[0])
            step += int(decision.valid[0])
            before, screen = screen, _screen(actor.env, flavor)
            if decision.finished:
                episodes += decision.finished
                # If the environment has reset already, its last image is gone.
                last = screen if actor.mode == AutoresetMode.NEXT_STEP else before
                for _ in range(max(1, round(END_SECONDS * fps))):
                    writer.send(draw_frame(last, score, step))
                score, step = 0.0, 0
    return episodes


def draw_frame(screen: Picture, score: float, step: int) -> Picture:
    """Return an image, enlarged if small, below a strip with score and step.

    Args:
        screen: [height, width, 3], or [height, width] or [height, width, 1] in gray.
        score: Return so far, not clipped.
        step: Decisions so far.

    Returns:
        [height, width, 3]; height and width are even, as H.264 requires.
    """
    picture = np.asarray(screen, np.uint8)
    picture = picture[..., None] if picture.ndim == 2 else picture
    if picture.shape[-1] == 1:
        picture = picture.repeat(3, axis=-1)
    factor = max(1, -(-SMALLEST_SIDE_PX // min(picture.shape[:2])))
    picture = picture.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width, _ = picture.shape
    canvas = Image.new("RGB", (width + width % 2, STRIP_PX + height + height % 2))
    canvas.paste(Image.fromarray(picture), (0, STRIP_PX))
    ImageDraw.Draw(canvas).text(
        (6, 4), f"score {score:g}   step {step}", fill="white", font=ImageFont.load_default(14)
    )
    return np.asarray(canvas)


def _screen(env: VectorEnv, flavor: Flavor) -> Picture:
    """Return the image of the only environment.

    Raises:
        InputError: It has no image.
    """
    try:
        screens = env.render()
    except (gymnasium.error.Error, NotImplementedError, RuntimeError) as error:
        raise InputError(f"'{flavor}' cannot be drawn: {error}") from None
    if screens is None or screens[0] is None:
        raise InputError(
            f"'{flavor}' cannot be drawn: its environment has no 'rgb_array' rendering"
        )
    return np.asarray(screens[0], np.uint8)


@contextmanager
def _writer(
    ffmpeg: Any, path: Path, frame: Picture, fps: float
) -> Generator[Generator[None, Picture, None]]:
    """Open a video of frames of this size."""
    height, width, _ = frame.shape
    writer = ffmpeg.write_frames(
        str(path), (width, height), fps=fps, macro_block_size=2, ffmpeg_log_level="error"
    )
    writer.send(None)
    try:
        yield writer
    finally:
        writer.close()


def _ffmpeg() -> Any:
    try:
        return importlib.import_module("imageio_ffmpeg")
    except ImportError:
        raise InputError(
            f"videos need imageio-ffmpeg, which is not installed: {install_hint('video')}"
        ) from None
