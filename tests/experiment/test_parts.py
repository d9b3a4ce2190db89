"""Parts of one suite, from machines without a common disk, are published like the whole."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
from command_line import TINY, Say, thaw_command

from thaw.config.errors import InputError
from thaw.config.racing import RacingConfig
from thaw.config.strict import to_yaml
from thaw.experiment.published import publish_suite
from thaw.experiment.reporting import report_suite
from thaw.experiment.results import load_results
from thaw.experiment.suite_folder import SuiteFolder


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny suite with seed 1 alone, as another machine would run it; only read it."""
    root = tmp_path_factory.mktemp("second")
    (root / "tiny.yaml").write_text(TINY)
    spoken = thaw_command("run", "tiny.yaml", "--out", "suite", "--set", "seeds=[1]", cwd=root)
    assert spoken.status == 0, spoken.err
    return root / "suite"


def change(folder: Path, **changes: Any) -> None:
    """Change values of a suite.yaml."""
    suite = msgspec.structs.replace(SuiteFolder(folder).suite(), **changes)
    (folder / "suite.yaml").write_text(to_yaml(suite))


def test_parts_are_published_like_the_whole(finished: Path, second: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "suite")
    shutil.copytree(second / "runs", tmp_path / "suite" / "runs", dirs_exist_ok=True)
    change(tmp_path / "suite", seeds=2)
    whole = publish_suite([tmp_path / "suite"], tmp_path / "whole")
    publish_suite([finished], tmp_path / "first")
    joined = publish_suite([tmp_path / "first", second], tmp_path / "joined")

    assert (joined.num_runs, joined.num_missing) == (whole.num_runs, 0)
    studies = [tmp_path / "joined", tmp_path / "whole"]
    assert SuiteFolder(studies[0]).suite().seed_list == (0, 1)
    for study in studies:
        report_suite(study)
    for name in ("metrics.csv", "table.md", "table_source.csv"):
        one, other = ((study / "report" / name).read_text() for study in studies)
        assert one == other, name
    for name in ("runs.jsonl.gz", "curves.csv.gz"):
        lines = [gzip.decompress((study / name).read_bytes()).splitlines() for study in studies]
        assert sorted(lines[0]) == sorted(lines[1]), name
    rows = [(study / "scores.csv").read_text().splitlines() for study in studies]
    assert sorted(rows[0]) == sorted(rows[1])
    assert (studies[0] / "pictures").is_dir()


def test_a_study_grows_in_its_place(finished: Path, second: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    publish_suite([finished], study)
    grown = publish_suite([study, second], study)
    whole = load_results(study)
    assert grown.num_runs == len(whole.scores)
    assert sorted(whole.scores["seed"].unique()) == [0, 1]
    with pytest.raises(InputError, match="both have seed 1"):
        publish_suite([study, second], study)
    assert load_results(study).scores.equals(whole.scores)


def test_steps_beyond_a_million_are_not_rounded(
    finished: Path, second: Path, tmp_path: Path
) -> None:
    publish_suite([second], tmp_path / "part")
    packed = tmp_path / "part" / "curves.csv.gz"
    curves = pd.read_csv(packed)
    curves["steps"] += 1_234_567
    curves.to_csv(packed, index=False)
    publish_suite([finished, tmp_path / "part"], tmp_path / "joined")
    joined = load_results(tmp_path / "joined").curves
    assert set(joined["steps"]) > set(curves["steps"])


def test_a_seed_that_two_parts_have_is_refused(finished: Path, tmp_path: Path, say: Say) -> None:
    shutil.copytree(finished, tmp_path / "again")
    said = say("publish", finished, "again", "--out", "study")
    assert said.status == 2
    assert "both have seed 0; give each part seeds of its own" in said.err
    assert not (tmp_path / "study").exists()


def test_parts_that_differ_in_more_than_seeds_are_refused(
    finished: Path, second: Path, tmp_path: Path
) -> None:
    shutil.copytree(second, tmp_path / "longer")
    change(tmp_path / "longer", transfer_steps=720)
    with pytest.raises(InputError, match="differ in transfer_steps; only seeds may differ"):
        publish_suite([finished, tmp_path / "longer"], tmp_path / "study")


def test_a_race_is_no_part(finished: Path, second: Path, tmp_path: Path) -> None:
    shutil.copytree(second, tmp_path / "race")
    change(tmp_path / "race", seeds=(1, 2, 3), racing=RacingConfig(looks=(3,), levels=(0.05,)))
    with pytest.raises(InputError, match="race' is a race, which decides its seeds in one folder"):
        publish_suite([finished, tmp_path / "race"], tmp_path / "study")


def test_parts_whose_versions_have_other_results_are_refused(
    finished: Path, second: Path, tmp_path: Path
) -> None:
    publish_suite([second], tmp_path / "old")
    packed = tmp_path / "old" / "runs.jsonl.gz"
    text = gzip.decompress(packed.read_bytes())
    packed.write_bytes(
        gzip.compress(re.sub(rb'"results_version": \d+', b'"results_version": 1', text))
    )
    with pytest.raises(InputError, match=r"results differ \(results_version 1, \d+\)"):
        publish_suite([finished, tmp_path / "old"], tmp_path / "study")


def test_a_part_whose_records_are_damaged_is_refused(
    finished: Path, second: Path, tmp_path: Path
) -> None:
    publish_suite([second], tmp_path / "part")
    packed = tmp_path / "part" / "runs.jsonl.gz"
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"runs\.jsonl\.gz is damaged .*publish the suite again"):
        publish_suite([finished, tmp_path / "part"], tmp_path / "study")


def test_publish_without_a_folder_says_what_to_name(say: Say) -> None:
    said = say("publish", "--out", "study")
    assert said.status == 2
    assert "name the suite's folder" in said.err
