from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
from command_line import Say

from thaw.config.flavor import Flavor
from thaw.experiment.gallery import draw_gallery
from thaw.experiment.screens import screen_after
from thaw.experiment.suites import load_suite


def test_the_command_draws_a_picture_where_it_is_asked_to(say: Say, tmp_path: Path) -> None:
    spoken = say("gallery", "catch-quick", "--out", "deep/flavors.png", "--steps", 3)
    assert spoken == (0, "deep/flavors.png\n", "")
    picture = matplotlib.image.imread(tmp_path / "deep/flavors.png")
    height, width = picture.shape[:2]
    assert width > 1.5 * height  # three portrait screens side by side
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 10


def test_flavors_differ_in_nothing_but_what_their_variant_sets() -> None:
    options = {"frames_per_step": 4}
    default = screen_after(Flavor("catch"), options, 5, seed=0)
    large = screen_after(Flavor("catch@large_ball"), options, 5, seed=0)
    assert default.shape == large.shape
    assert default.shape[-1] == 3
    # Equal seeds and actions: only the ball, somewhere in a twentieth of the screen, differs.
    assert 0 < np.any(default != large, axis=-1).mean() < 0.05
    assert np.array_equal(default, screen_after(Flavor("catch"), options, 5, seed=0))
    assert not np.array_equal(default, screen_after(Flavor("catch"), options, 5, seed=1))


def test_each_source_has_a_row_of_its_own(tmp_path: Path) -> None:
    transfers = "transfers=[{source: catch, target: catch@large_ball}%s]"
    sizes = []
    for number, more in enumerate(("", ", {source: catch@small_ball, target: catch@large_ball}")):
        out = tmp_path / f"{number}.png"
        draw_gallery(load_suite("catch-quick", [transfers % more]), out, num_steps=1)
        sizes.append(matplotlib.image.imread(out).shape)
    assert sizes[1][0] == 2 * sizes[0][0]
    assert sizes[1][1] == sizes[0][1]
