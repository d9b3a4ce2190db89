"""What a suite's folder tells its report, and the pictures of its flavors."""

from __future__ import annotations

import io
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thaw.config.flavor import Flavor
from thaw.config.suite import Suite
from thaw.experiment import screens
from thaw.experiment.background import background_of
from thaw.experiment.pictures import MOST_BYTES, picture_path, read_pictures
from thaw.experiment.published import publish_suite
from thaw.experiment.reporting import report_suite
from thaw.experiment.results import load_results
from thaw.experiment.screens import PICTURE_PX, draw_pictures, middle_screen
from thaw.experiment.suite_folder import SuiteFolder
from thaw.experiment.suites import load_suite
from thaw.files.attempts import Attempts, Cause, with_begun, with_ended, write_attempts
from thaw.report.background import Background

CATCH = ["transfers=[{source: catch, target: catch@large_ball}]"]


def background(folder: Path, out: Path) -> Background:
    suite_folder = SuiteFolder(folder)
    return background_of(suite_folder, suite_folder.plan(), load_results(folder).scores, out)


def suite_of(source: str, target: str) -> Suite:
    transfers = f"transfers=[{{source: '{source}', target: '{target}'}}]"
    return load_suite("catch-quick", [transfers, "environment={num_envs: 4}"])


def write_tries(run: Path, *tries: tuple[Cause, int]) -> None:
    """Write attempts that ended so, and started at these steps."""
    attempts: Attempts = ()
    for cause, steps in tries:
        attempts = with_ended(with_begun(attempts, "local", steps), cause)
    write_attempts(run, attempts)


def test_a_folder_tells_where_its_runs_come_from(finished: Path) -> None:
    known = background(finished, finished / "report").provenance
    machine = json.loads(next(finished.glob("runs/**/machine.json")).read_text())
    assert known.command == f"thaw run {finished}/suite.yaml --out ELSEWHERE"
    assert f"torch {machine['packages']['torch']}" in known.versions
    assert known.commit == (machine["git_commit"] or "")
    assert known.machine == f"{machine['processor']}, {machine['platform']}"
    assert known.budgets.startswith("400 steps of pretraining, 360 of each transfer")
    assert known.network.startswith("impala_shallow with 256 features, LSTM 16, ")
    assert known.clock == "lockstep"
    assert known.wall_time.endswith(f" of {len(load_results(finished).scores)} runs together")
    assert known.date.endswith(" UTC")
    assert known.suite_file == "../suite.yaml"


def test_the_page_shows_it_all_and_links_what_is_there(finished: Path) -> None:
    text = (finished / "report/index.html").read_text(encoding="utf-8")
    assert "400 steps of pretraining" in text
    assert 'href="../suite.yaml"' in text
    assert 'href="../runs/catch%40large_ball/freeze_head/seed0/"' in text
    assert text.count('<img src="data:image/png;base64,') == 2
    assert "evaluation episodes" in text


def test_links_are_made_only_within_the_folder(finished: Path, tmp_path: Path) -> None:
    inside = background(finished, finished / "deep" / "report")
    assert (inside.root, inside.runs) == ("../..", "../../runs")
    elsewhere = background(finished, tmp_path)
    assert elsewhere.root == elsewhere.runs == ""
    assert elsewhere.provenance.suite_file == ""


def test_health_counts_cut_episodes_and_failed_runs(copied: Path) -> None:
    cut = background(copied, copied / "report").health
    assert cut["Failed runs"] == "None."
    assert cut["Cut episodes"].startswith("None of ")
    run = copied / "runs/catch@large_ball/scratch/seed0"
    result = json.loads((run / "result.json").read_text())
    result["evaluation"]["num_truncated"] = 3
    (run / "result.json").write_text(json.dumps(result))
    (run / "checksums.json").unlink()
    (copied / "runs/catch@large_ball/freeze_head/seed0/error.txt").write_text("boom")
    found = background(copied, copied / "report").health
    assert found["Failed runs"] == "freeze_head/seed0."
    assert found["Cut episodes"].startswith("3 of ")


def test_health_tells_what_was_resumed_and_what_was_retried(copied: Path, tmp_path: Path) -> None:
    title = "Resumed and retried"
    assert background(copied, copied / "report").health[title] == "No run."
    runs = copied / "runs/catch@large_ball"
    write_tries(runs / "scratch/seed0", ("crash", 0), ("lost", 120), ("crash", 120), ("done", 200))
    write_tries(runs / "update_all/seed0", ("stopped", 0), ("done", 80))
    said = (
        "2 of 8 runs were resumed from a checkpoint, 1 was retried: "
        "catch@large_ball/scratch/seed0 (crash, lost)."
    )
    assert background(copied, copied / "report").health[title] == said
    assert f"<dd>{said}</dd>" in report_suite(copied).page.read_text(encoding="utf-8")
    publish_suite([copied], tmp_path / "study")
    assert f"<dd>{said}</dd>" in report_suite(tmp_path / "study").page.read_text(encoding="utf-8")
    for path in copied.rglob("attempts.json"):
        path.unlink()
    assert title not in background(copied, copied / "report").health, "of an earlier thaw"


def test_a_report_is_made_where_nothing_but_scores_can_be_read(copied: Path) -> None:
    for path in copied.rglob("machine.json"):
        path.write_text("{")
    shutil.rmtree(copied / "pictures")
    text = report_suite(copied).page.read_text(encoding="utf-8")
    assert "<dt>Versions</dt>" not in text
    assert "<img" not in text


def test_films_in_the_folder_are_linked(copied: Path) -> None:
    (copied / "films").mkdir()
    for name in ("before.mp4", "films/after.mp4", "notes.txt"):
        (copied / name).touch()
    assert background(copied, copied / "report").films == ("before.mp4", "films/after.mp4")


def test_each_flavor_has_a_small_picture_drawn_once(tmp_path: Path) -> None:
    suite = load_suite("catch-quick", CATCH)
    draw_pictures(suite, tmp_path)
    pictures = read_pictures(tmp_path, suite)
    assert list(pictures) == ["catch", "catch@large_ball"]
    images = {name: Image.open(io.BytesIO(data)) for name, data in pictures.items()}
    assert all(max(image.size) == PICTURE_PX for image in images.values())
    spots = {name: int((np.asarray(image) > 128).sum()) for name, image in images.items()}
    assert 0 < spots["catch"] < spots["catch@large_ball"]  # the ball is in sight
    drawn = picture_path(tmp_path, Flavor("catch"))
    drawn.write_bytes(b"mine")
    draw_pictures(suite, tmp_path)
    assert drawn.read_bytes() == b"mine"
    assert list(read_pictures(tmp_path, suite)) == ["catch@large_ball"]  # that is no picture


def test_the_picture_is_of_the_middle_of_an_episode() -> None:
    options = {"frames_per_step": 16}
    heights = np.nonzero(np.asarray(middle_screen(Flavor("catch"), options, seed=0)).any(axis=2))[0]
    ball = heights[heights < heights.max() - 5]  # the paddle is at the bottom
    assert 0.2 * heights.max() < ball.mean() < 0.8 * heights.max()


def test_a_flavor_that_cannot_be_drawn_costs_only_its_picture(tmp_path: Path) -> None:
    mine = "gym/misbehaving_envs:"
    draw_pictures(suite_of(f"{mine}WellBehaved-v0", f"{mine}Rendered-v0?after=99"), tmp_path)
    (drawn,) = (tmp_path / "pictures").iterdir()
    assert np.asarray(Image.open(drawn)).tolist() == np.full((8, 8, 3), 128).tolist()


@pytest.mark.parametrize("kind", ["RenderedHang", "RenderedExit"])
def test_an_environment_that_hangs_or_dies_holds_nothing_up(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screens, "PICTURE_SECONDS", 6.0)
    began = time.monotonic()
    address = f"gym/misbehaving_envs:{kind}-v0"
    draw_pictures(suite_of(address, f"{address}?after=2"), tmp_path)
    assert time.monotonic() - began < 40
    assert list((tmp_path / "pictures").iterdir()) == []


def test_no_device_is_started_for_a_picture(tmp_path: Path) -> None:
    draw_pictures(suite_of("androidenv/catch", "androidenv/catch@large_ball"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_is_too_large_is_not_shown(tmp_path: Path) -> None:
    suite = load_suite("catch-quick", CATCH)
    (tmp_path / "pictures").mkdir()
    for flavor, size in (("catch", MOST_BYTES), ("catch@large_ball", MOST_BYTES + 1)):
        data = b"\x89PNG\r\n\x1a\n".ljust(size, b"0")
        picture_path(tmp_path, Flavor(flavor)).write_bytes(data)
    assert list(read_pictures(tmp_path, suite)) == ["catch"]
