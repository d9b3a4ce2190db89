from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.run_spec import content_hash_of
from thaw.config.strict import to_plain, to_yaml
from thaw.config.suite import Suite
from thaw.experiment.plan import plan
from thaw.experiment.results import load_results
from thaw.experiment.suite_folder import SuiteFolder
from thaw.experiment.suites import load_suite
from thaw.files.atomic import StoreMismatch

PRETRAIN = "runs/catch/pretrain/seed0"
TARGET = "runs/catch@large_ball"


def suite_of(folder: Path, *overrides: str) -> Suite:
    return load_suite(folder / "suite.yaml", overrides)


def test_status_tells_done_failed_stopped_and_waiting(copied: Path) -> None:
    folder = SuiteFolder(copied)
    (copied / TARGET / "scratch/seed0/result.json").unlink()
    (copied / TARGET / "scratch/seed0/error.txt").write_text(
        'Traceback (most recent call last):\n  File "x.py", line 1, in f\n    f()\n    ^^^\n'
        "RuntimeError: out of\nmemory\n"
    )
    (copied / TARGET / "update_all/seed0/result.json").unlink()
    shutil.rmtree(copied / TARGET / "freeze_all/seed0")
    rows = {run.key: folder.describe(run) for run in folder.plan().runs}
    failed = rows["catch@large_ball/scratch/seed0"]
    assert (failed["status"], failed["error"]) == ("failed", "RuntimeError: out of memory")
    stopped = rows["catch@large_ball/update_all/seed0"]
    assert (stopped["status"], stopped["steps"], stopped["total_steps"]) == ("stopped", 360, 360)
    waiting = rows["catch@large_ball/freeze_all/seed0"]
    assert (waiting["status"], waiting["steps"], waiting["mean_return"]) == ("waiting", 0, None)
    assert rows["catch/pretrain/seed0"]["status"] == "done"


def test_the_same_suite_and_a_wider_one_are_welcome(copied: Path) -> None:
    folder = SuiteFolder(copied)
    for overrides in ([], ["seeds=3"], ["conditions=[scratch]"], ["report.num_bins=3"]):
        folder.check(plan(suite_of(copied, *overrides)))


def test_other_settings_are_refused_also_where_no_run_is_the_same(copied: Path) -> None:
    folder = SuiteFolder(copied)
    other = plan(suite_of(copied, "seeds=[7,8]", "agent.discount=0.5"))
    with pytest.raises(StoreMismatch, match=r"suite.yaml, '.*', differs in agent.discount\)"):
        folder.check(other)
    folder.check(plan(suite_of(copied, "seeds=[7,8]", "name=wider")))
    shutil.rmtree(copied / "runs")
    folder.check(other)


@pytest.mark.parametrize(
    ("override", "differing"),
    [
        ("agent.discount=0.5", "in catch/pretrain/seed0 differ agent.discount"),
        ("pretrain_steps=500", "in catch/pretrain/seed0 differ steps"),
        ("transfer_steps=500", "in catch@large_ball/scratch/seed0 differ steps"),
        ("environment.num_envs=8", "differ environment.num_envs"),
        ("environment.ball_speed=2", "differ environment.ball_speed"),
    ],
)
def test_another_configuration_is_refused_by_name(
    copied: Path, override: str, differing: str
) -> None:
    with pytest.raises(StoreMismatch) as caught:
        SuiteFolder(copied).check(plan(suite_of(copied, override)))
    assert differing in str(caught.value)


def test_runs_that_the_present_suite_leaves_out_still_count(copied: Path) -> None:
    # Narrowed to one condition, then widened again with other settings: the runs of the first
    # time are still there, and must not pass for runs of the third.
    folder = SuiteFolder(copied)
    folder.begin(suite_of(copied, "conditions=[random]"))
    wider = suite_of(copied, "conditions=[random, scratch]", "transfer_steps=500")
    with pytest.raises(StoreMismatch, match=r"scratch/seed0 differ steps"):
        folder.check(plan(wider))


@pytest.mark.parametrize("name", ["run.json", "result.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_broken_file_makes_its_run_damaged_and_never_done(
    copied: Path, name: str, text: str
) -> None:
    (copied / PRETRAIN / name).write_text(text)
    folder = SuiteFolder(copied)
    folder.check(plan(suite_of(copied)))
    run = folder.plan().runs[0]
    assert folder.status(run) == "damaged"
    assert f"pretrain/seed0/{name} is" in str(folder.describe(run)["error"])


def test_a_broken_suite_yaml_is_an_error(copied: Path) -> None:
    (copied / "suite.yaml").write_text("name: [")
    with pytest.raises(InputError, match=r"suite.yaml: not valid YAML: line 1"):
        load_results(copied)


def test_a_folder_that_is_none_of_ours_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="does not exist"):
        load_results(tmp_path / "none")
    with pytest.raises(InputError, match="is a file, not a folder"):
        load_results(tmp_path / "file")
    with pytest.raises(InputError, match=r"holds no|has no suite\.yaml"):
        load_results(tmp_path)
    with pytest.raises(StoreMismatch, match=r"not empty and holds no suite\.yaml"):
        SuiteFolder(tmp_path).check(plan(load_suite("catch-quick")))


def test_a_suite_s_folder_repeats_itself(finished: Path) -> None:
    suite = suite_of(finished)
    assert to_yaml(suite) == (finished / "suite.yaml").read_text()
    keys = {run.key for run in SuiteFolder(finished).plan().runs}
    assert keys == {str(path.parent.relative_to(finished / "runs")) for path in
                    finished.rglob("run.json")}  # fmt: skip


def test_a_folder_of_an_earlier_thaw_opens_with_what_it_ran(tmp_path: Path) -> None:
    """It had one optimizer, and did not name it; no preset of today may complete it."""
    suite = load_suite(
        "minigrid-quick",
        ["transfers=[{source: gym/CartPole-v1, target: 'gym/CartPole-v1?gravity=5'}]", "seeds=1"],
    )
    new = ("optimizer", "adam_epsilon", "reward_scale")
    plain = to_plain(suite)
    plain["agent"] = {name: v for name, v in plain["agent"].items() if name not in new}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(plain))
    folder = SuiteFolder(tmp_path)
    before = AgentConfig(**plain["agent"] | {"optimizer": "rmsprop_torch"})
    assert folder.suite().agent == before

    run = folder.plan().runs[0]
    description = to_plain(run.spec) | {"agent": plain["agent"], "results_version": 2}
    run_folder = folder.run_folder(run)
    run_folder.path.mkdir(parents=True)
    hashed = description | {"content_hash": content_hash_of(description)}
    (run_folder.path / "run.json").write_text(json.dumps(hashed))
    assert folder.status(run) == "stopped"
    assert run_folder.spec().agent == before
    hashed["seed"] = 7
    (run_folder.path / "run.json").write_text(json.dumps(hashed))
    assert "was edited" in str(folder.damage(run))
