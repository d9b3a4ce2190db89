from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from thaw.acting.video import END_SECONDS, SMALLEST_SIDE_PX, STRIP_PX, draw_frame, record
from thaw.cli.main import main
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor

imageio_ffmpeg = pytest.importorskip(
    "imageio_ffmpeg", reason="imageio-ffmpeg is not installed: pip install 'thaw[video]'"
)


def read(path: Path) -> tuple[float, list[NDArray[np.uint8]]]:
    """Frames per second and frames of a film."""
    reader = imageio_ffmpeg.read_frames(str(path))
    about: dict[str, Any] = next(reader)
    width, height = about["size"]
    frames = [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader]
    return about["fps"], frames


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


# ------------------------------------------------------------------------------- single pictures


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((480, 320, 3), (480 + STRIP_PX, 320, 3)),
        ((64, 64, 3), (320 + STRIP_PX, 320, 3)),
        ((7, 9, 3), (46 * 7 + STRIP_PX, 46 * 9, 3)),
        ((401, 333, 3), (402 + STRIP_PX, 334, 3)),
        ((84, 84), (336 + STRIP_PX, 336, 3)),
        ((84, 84, 1), (336 + STRIP_PX, 336, 3)),
    ],
)
def test_small_pictures_grow_by_a_whole_number_and_sides_are_even(
    shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert draw_frame(np.zeros(shape, np.uint8), 0.0, 0).shape == expected


def test_the_picture_is_below_the_strip_pixel_for_pixel() -> None:
    picture = np.random.default_rng(0).integers(256, size=(64, 80, 3), dtype=np.uint8)
    frame = draw_frame(picture, 1.5, 3)
    factor = -(-SMALLEST_SIDE_PX // 64)
    np.testing.assert_array_equal(frame[STRIP_PX::factor, ::factor], picture)


def test_score_and_step_are_drawn_in() -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    frame, scored, later = (draw_frame(black, *now) for now in ((0.0, 0), (1.0, 0), (0.0, 1)))
    assert frame[:STRIP_PX].max() == 255
    assert not frame[STRIP_PX:].any()
    assert not np.array_equal(frame, scored)
    assert not np.array_equal(frame, later)


# ----------------------------------------------------------------------------------------- films


def test_a_film_of_catch(tmp_path: Path) -> None:
    out = tmp_path / "new" / "catch.mp4"
    options = {"downsample": 16, "frames_per_step": 8}
    episodes = record(None, Flavor("catch"), out, num_episodes=2, seed=0, options=options)
    fps, frames = read(out)
    assert fps == pytest.approx(1000 / (16 * 8), abs=0.01)
    ends = 2 * round(END_SECONDS * fps)
    assert len(frames) == sum(episode.length_steps for episode in episodes) + ends
    assert frames[0].shape == (480 + STRIP_PX, 320, 3)
    # The ball falls.
    assert difference(frames[0][STRIP_PX:], frames[10][STRIP_PX:]) > 0.1
    assert list(out.parent.iterdir()) == [out]


def test_the_score_at_the_end_is_the_episodes(tmp_path: Path) -> None:
    out = tmp_path / "catch.mp4"
    (episode,) = record(None, Flavor("catch?downsample=16"), out, num_episodes=1, seed=1)
    _, frames = read(out)
    blank = np.zeros((480, 320, 3), np.uint8)
    step = episode.length_steps
    right = draw_frame(blank, episode.episode_return, step)[:STRIP_PX]
    wrong = draw_frame(blank, -episode.episode_return, step)[:STRIP_PX]
    shown = frames[-1][:STRIP_PX]
    assert difference(shown, right) < difference(shown, wrong)


def test_a_film_where_the_reset_takes_a_step(tmp_path: Path) -> None:
    pytest.importorskip("envpool")
    out = tmp_path / "grid.mp4"
    flavor = Flavor("minigrid/MiniGrid-Empty-5x5-v0?max_episode_steps=6")
    episodes = record(None, flavor, out, num_episodes=3, seed=0)
    fps, frames = read(out)
    assert [episode.length_steps for episode in episodes] == [6, 6, 6]
    assert len(frames) == 3 * 6 + 3 * round(END_SECONDS * fps)


def test_the_same_seed_films_the_same(tmp_path: Path) -> None:
    films = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        out = tmp_path / f"{name}.mp4"
        record(None, Flavor("catch?downsample=16"), out, num_episodes=1, seed=seed)
        films.append(np.stack(read(out)[1]))
    np.testing.assert_array_equal(films[0], films[1])
    assert not np.array_equal(films[0], films[2])


# ---------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("name", ["film.avi", "film", "film.gif"])
def test_another_suffix_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not an \.mp4 file"):
        record(None, Flavor("catch"), tmp_path / name, num_episodes=1, seed=0)


def test_without_the_extra_the_pip_line_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(InputError, match=r"pip install 'thaw\[video\]'"):
        record(None, Flavor("catch"), tmp_path / "a.mp4", num_episodes=1, seed=0)


def test_a_flavor_without_pictures_leaves_no_file(tmp_path: Path) -> None:
    pytest.importorskip("envpool")
    flavor = Flavor("envpool/Catch-v0")
    with pytest.raises(InputError, match="cannot be drawn"):
        record(None, flavor, tmp_path / "a.mp4", num_episodes=1, seed=0)
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------------- command


TRAIN = [
    "--steps", "60", "--set", "agent.embedding=mlp", "--set", "agent.lstm_size=8",
    "--set", "agent.fc_size=8", "--set", "environment.num_envs=2",
    "--set", "environment.downsample=16", "--set", "evaluation.episodes=1",
]  # fmt: skip


def test_the_command_films_a_checkpoint_with_its_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = str(tmp_path / "run"), tmp_path / "film.mp4"
    assert main(["train", "catch", "--out", run, *TRAIN]) == 0
    arguments = ["record", run, "catch@large_ball", "--out", str(out), "--seed", "3", "--greedy"]
    assert main([*arguments, "--episodes", "2"]) == 0
    assert "2 episodes, mean return" in capsys.readouterr().out
    assert len(read(out)[1]) > 2 * 30
    assert main(["record", run, "catch?downsample=8", "--out", str(out)]) == 2
    assert "observations" in capsys.readouterr().err


def test_the_command_films_chance_and_refuses_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "film.mp4")
    assert main(["record", "random", "catch?downsample=16", "--out", out]) == 0
    assert ": 1 episode, return " in capsys.readouterr().out
    assert main(["record", "random", "catch", "--out", out, "--episodes", "0"]) == 2
    assert "--episodes" in capsys.readouterr().err
    assert main(["record", "random", "catch", "--out", str(tmp_path / "a.avi")]) == 2
    assert "not an .mp4 file" in capsys.readouterr().err
