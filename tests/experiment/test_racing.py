"""Races of small runs, also ended by a power cut."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import command_line
import pandas as pd
import pytest
from command_line import Spoken, thaw_here, thaw_process

from thaw.config.errors import InputError
from thaw.config.racing import RacingConfig
from thaw.config.strict import from_plain, parse_yaml
from thaw.config.suite import Suite
from thaw.experiment.plan import plan
from thaw.experiment.published import publish_suite
from thaw.experiment.suite_folder import SuiteFolder
from thaw.experiment.suites import load_suite

SUPPORT = str(Path(command_line.__file__).parent)
"""Where bandit_envs.py lies."""

PLACE = "gym/bandit_envs:Bandit-v0"
RACE = f"""\
name: race
transfers:
  - {{source: '{PLACE}', target: '{PLACE}'}}
conditions: [random, scratch, update_all, freeze_head]
racing: {{looks: [3, 4], levels: [0.03, 0.02]}}
pretrain_steps: 1_200
transfer_steps: 40
environment: {{num_envs: 4}}
agent: {{preset: vector, embedding_size: 8, lstm_size: 8, fc_size: 8, unroll_length: 10,
  optimizer: rmsprop, learning_rate: 0.03, reward_scale: 1.0}}
evaluation: {{episodes: 20, score: evaluation, source: false}}
"""
"""What was pretrained wins over scratch at the first look; two rules are not told apart."""

pytestmark = pytest.mark.xdist_group("racing")


def suite(**changes: object) -> Suite:
    return from_plain(parse_yaml(RACE) | {"agent": {}} | changes, Suite, "test")


def thaw(*words: object, cwd: Path) -> Spoken:
    return thaw_here(*words, cwd=cwd)


def run_race(root: Path, *words: object) -> Spoken:
    return thaw("run", "race.yaml", "--trust-code", "--out", "race", *words, cwd=root)


def seeds_of(folder: Path) -> dict[str, list[int]]:
    """Return the seeds that each condition has finished."""
    found: dict[str, list[int]] = {}
    for result in sorted(folder.glob("runs/**/result.json")):
        condition, seed = result.parts[-3], result.parts[-2]
        found.setdefault(condition, []).append(int(seed.removeprefix("seed")))
    return found


def scores_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "scores.csv").drop(columns="seconds")


@pytest.fixture(scope="module")
def race(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A race that was run to its end; only read it."""
    root = tmp_path_factory.mktemp("race")
    (root / "race.yaml").write_text(RACE)
    spoken = run_race(root, "--workers", 2)
    assert spoken.status == 0, spoken.err
    (root / "spoken.err").write_text(spoken.err)
    return root / "race"


@pytest.fixture
def copied(race: Path, tmp_path: Path) -> Path:
    (tmp_path / "race.yaml").write_text(RACE)
    return Path(shutil.copytree(race, tmp_path / "race"))


def verdict_of(folder: Path) -> dict[str, object]:
    (verdict,) = json.loads((folder / "report/metrics.json").read_text())["verdicts"]
    assert isinstance(verdict, dict)
    return verdict


# ------------------------------------------------------------------------------- a race by itself


@pytest.mark.long
def test_a_dropped_condition_gets_no_more_seeds(race: Path) -> None:
    live = [0, 1, 2, 3]
    assert seeds_of(race) == {
        "pretrain": live, "random": live, "scratch": [0, 1, 2], "update_all": live,
        "freeze_head": live,
    }  # fmt: skip
    verdict = verdict_of(race)
    assert verdict["confidence"] == pytest.approx(0.98)
    assert "Dropped: From scratch (by " in str(verdict["sentence"])
    assert str(verdict["race"]).startswith("Race: look 2 of 2, at 4 seeds, level 2 %.")
    assert not verdict["decided"]


def test_the_plan_stands_in_suite_yaml(race: Path) -> None:
    written = load_suite(race / "suite.yaml")
    assert written.racing == RacingConfig(looks=(3, 4), levels=(0.03, 0.02))
    assert written.seeds == 4


def test_lines_tell_each_look_and_count_what_was_asked_for(race: Path) -> None:
    lines = (race.parent / "spoken.err").read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if "look 1 of 2" in line)
    assert lines[first - 1].startswith("[15/15] ")  # 3 seeds of pretrain and four conditions
    assert lines[first + 1].startswith("[16/19] ")
    assert "look 2 of 2, at 4 seeds" in lines[-1]
    done = thaw("status", race, cwd=race.parent).out.splitlines()
    assert done[-1] == "19 done, 0 failed, 0 running, 0 waiting"
    assert done[-2].startswith(f"{PLACE} -> {PLACE}: Race: look 2 of 2")
    document = json.loads(thaw("status", race, "--json", cwd=race.parent).out)
    (told,) = document["races"]
    assert (told["looks"], told["ended"], told["is_valid"]) == (2, "last look", True)
    assert [drop["condition"] for drop in told["dropped"]] == ["scratch"]


def test_what_a_race_did_not_ask_for_is_not_missing(race: Path, tmp_path: Path) -> None:
    assert publish_suite([race], tmp_path)[:2] == (19, 0)


def test_a_finished_race_is_left_as_it_is(copied: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (copied / "runs").rglob("*") if p.is_file()}
    verdict = verdict_of(copied)
    spoken = run_race(copied.parent)
    assert (spoken.status, spoken.err) == (0, "all runs were done already\n")
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert verdict_of(copied) == verdict


@pytest.mark.slow
def test_a_race_goes_on_where_runs_are_lost_and_ends_as_before(race: Path, copied: Path) -> None:
    for lost in ("update_all/seed1", "pretrain/seed3", "scratch/seed2"):
        shutil.rmtree(copied / "runs" / PLACE / lost)
    status = thaw("status", copied, cwd=copied.parent).out
    assert "Race with 2 looks: none made yet." in status
    assert "waiting  gym/bandit_envs:Bandit-v0/scratch/seed2" in status
    watched = thaw("watch", copied, cwd=copied.parent)
    assert watched.status == 1
    assert "runs are left" in watched.err
    spoken = run_race(copied.parent)
    assert spoken.status == 0, spoken.err
    assert scores_of(copied).equals(scores_of(race))
    assert verdict_of(copied) == verdict_of(race)
    assert thaw("watch", copied, cwd=copied.parent).status == 0


@pytest.mark.slow
@pytest.mark.parametrize("after", [7, 17])
def test_a_race_that_was_killed_ends_as_an_unbroken_one(
    race: Path, tmp_path: Path, after: int
) -> None:
    (tmp_path / "race.yaml").write_text(RACE)
    command = ("run", "race.yaml", "--trust-code", "--out", "race", "--workers", 2)
    with thaw_process(*command, cwd=tmp_path, PYTHONPATH=SUPPORT) as process:
        limit = time.monotonic() + 400
        while len(list(tmp_path.glob("race/runs/**/result.json"))) < after:
            assert time.monotonic() < limit
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    spoken = run_race(tmp_path)
    assert spoken.status == 0, spoken.err
    assert scores_of(tmp_path / "race").equals(scores_of(race))
    assert verdict_of(tmp_path / "race") == verdict_of(race)


def test_a_failed_run_stops_its_own_race_only(tmp_path: Path) -> None:
    broken = f"{PLACE}?broken=true"
    text = RACE.replace(
        "conditions:", f"  - {{source: '{PLACE}', target: '{broken}'}}\nconditions:"
    ).replace("random, scratch, update_all, freeze_head", "scratch, update_all")
    (tmp_path / "race.yaml").write_text(text)
    spoken = run_race(tmp_path, "--workers", 2)
    assert spoken.status == 1
    stopped = [line for line in spoken.err.splitlines() if "stopped without a verdict" in line]
    assert len(stopped) == 1
    assert stopped[0].startswith(f"the race {PLACE} -> {broken} stopped")
    first, second = json.loads((tmp_path / "race/report/metrics.json").read_text())["verdicts"]
    assert first["decided"]
    assert first["best"] == "update_all"
    assert not second["decided"]
    assert "waits for 6 runs" in second["sentence"]
    assert not list(tmp_path.glob("race/runs/**/seed3"))  # one race won, the other stopped


def test_a_race_whose_runs_have_no_score_says_so(tmp_path: Path) -> None:
    overrides = [
        "racing={looks: [3]}", "pretrain_steps=2000", "transfer_steps=64",
        "conditions=[random,update_all,freeze_embedding]", "evaluation.score=training",
        "transfers=[{source: catch, target: catch@small_paddle}]", "environment.num_envs=16",
        "agent.unroll_length=4", "evaluation.episodes=4",
    ]  # fmt: skip
    words = [word for override in overrides for word in ("--set", override)]
    spoken = thaw("run", "catch-quick", "--out", "race", *words, cwd=tmp_path)
    assert spoken.status == 1
    without = "catch@small_paddle/update_all/seed21 is done and has no score"
    assert f"stopped without a verdict, because {without}\n" in spoken.err
    assert f"It cannot be made: {without}." in thaw("status", "race", cwd=tmp_path).out


# ------------------------------------------------------------------------- seeds added by hand


@pytest.mark.slow
def test_seeds_are_added_by_hand_only_if_one_says_so(race: Path, copied: Path) -> None:
    root = copied.parent
    plain = [*("run", copied / "suite.yaml", "--trust-code", "--out", copied)]
    for words in (["--set", "racing=null", "--seeds", 6], ["--set", "racing={looks: [3, 6]}"]):
        refused = thaw(*plain, *words, cwd=root)
        assert refused.status == 2
        assert "holds a race (looks at 3, 4 seeds) whose plan stood" in refused.err
        assert "--set racing.by_hand=true --seeds N" in refused.err
    assert (copied / "suite.yaml").read_bytes() == (race / "suite.yaml").read_bytes()

    spoken = thaw(*plain, "--set", "racing.by_hand=true", "--seeds", 5, cwd=root)
    assert spoken.status == 0, spoken.err
    assert set(map(tuple, seeds_of(copied).values())) == {(0, 1, 2, 3, 4)}
    verdict = verdict_of(copied)
    assert "Seeds were added to this race by hand (From scratch 2 seeds" in str(verdict["sentence"])
    assert verdict["confidence"] == 0.95

    again = run_race(root)
    assert again.status == 2
    assert "by hand" in again.err


@pytest.mark.slow
def test_runs_that_no_race_asked_for_are_noticed(race: Path, copied: Path, tmp_path: Path) -> None:
    # Copied from a folder without a race: the same runs.
    (tmp_path / "plain.yaml").write_text(RACE.replace("racing:", "# racing:"))
    spoken = thaw(
        "run", "plain.yaml", "--trust-code", "--out", "plain", "--seeds", 4,
        "--set", "conditions=[scratch]", cwd=tmp_path,
    )  # fmt: skip
    assert spoken.status == 0, spoken.err
    run = Path("runs") / PLACE / "scratch/seed3"
    shutil.copytree(tmp_path / "plain" / run, copied / run)
    assert thaw("report", copied, cwd=tmp_path).status == 0
    said = "Seeds were added to this race by hand (From scratch 1 seed)"
    assert said in str(verdict_of(copied)["sentence"])
    document = json.loads(thaw("status", copied, "--json", cwd=tmp_path).out)
    assert not document["races"][0]["is_valid"]

    refused = thaw(
        "run", "race.yaml", "--trust-code", "--out", "plain", cwd=tmp_path
    )  # a plan that comes after the runs
    assert refused.status == 2
    assert "planned without a race" in refused.err


# ------------------------------------------------------------------------------ suites and plans


def test_racing_changes_no_run() -> None:
    raced = {run.key: run.spec.content_hash for run in plan(suite()).runs}
    plain = {run.key: run.spec.content_hash for run in plan(suite(racing=None, seeds=4)).runs}
    assert raced == plain


def test_the_last_look_decides_the_seeds() -> None:
    assert suite(seeds=2).seed_list == (0, 1, 2, 3)
    assert suite(seeds=9).seed_list == (0, 1, 2, 3)
    assert suite(seeds=[5, 3, 9, 1, 7]).seed_list == (5, 3, 9, 1)
    with pytest.raises(InputError, match="seeds are 3, but the race looks at 4 at last"):
        suite(seeds=[5, 3, 9])
    with pytest.raises(InputError, match="a race needs two conditions that train"):
        suite(conditions=["random", "update_all", "freeze_all"])
    by_hand = suite(racing={"looks": [3, 4], "by_hand": True}, seeds=9)
    assert len(by_hand.seed_list) == 9
    assert plan(by_hand).at_least == plan(by_hand)


def test_plan_says_at_least_and_at_most(tmp_path: Path) -> None:
    (tmp_path / "race.yaml").write_text(RACE)
    command = ("plan", "race.yaml", "--trust-code")
    spoken = thaw(*command, cwd=tmp_path)
    assert "20 runs, 4 of them pretrainings" in spoken.out
    assert "looks at 3, 4 seeds: these runs at most, and 15 of them at least" in spoken.out
    document = json.loads(thaw(*command, "--json", cwd=tmp_path).out)
    assert (document["num_runs"], document["at_least"]["num_runs"]) == (20, 15)
    assert document["at_least"]["total_steps"] == 3 * (1200 + 3 * 40)


def test_race_is_an_option_that_gives_a_suite_the_default_plan(tmp_path: Path) -> None:
    (tmp_path / "plain.yaml").write_text(RACE.replace("racing:", "# racing:"))
    command = ("plan", "plain.yaml", "--trust-code", "--race")
    (tmp_path / "again.yaml").write_text(thaw(*command, "--yaml", cwd=tmp_path).out)
    written = load_suite(tmp_path / "again.yaml")
    assert written.racing == RacingConfig()
    assert written.racing.looks == (3, 5, 8, 12)
    assert written.seeds == 12
    refused = thaw(*command, "--seeds", 20, cwd=tmp_path)
    assert refused.status == 2
    assert "--seeds is 20, but the race ends at 12 seeds" in refused.err


def test_first_seeds_of_a_list_are_raced_first(tmp_path: Path) -> None:
    from thaw.experiment.raced_runs import RacedRuns

    planned = plan(suite(seeds=[5, 3, 9, 1]))
    races = RacedRuns(planned, SuiteFolder(tmp_path), [])
    assert {run.spec.seed for run in races.asked()} == {5, 3, 9}
    asked = [run.spec.condition for run in races.asked()]
    assert asked[:3] == ["pretrain"] * 3
    assert len(asked) == 15
