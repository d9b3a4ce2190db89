"""`thaw bench`: rates of the real parts, ratios within rounds, a page for each machine."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from thaw.bench import Rates, Workload, measure, prepare, summarize, table, write_benchmark
from thaw.bench.present import BOUNDS
from thaw.cli.main import main
from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.run_spec import RunSpec
from thaw.config.runtime import Runtime
from thaw.config.update_rule import UpdateRule
from thaw.impala.learner import Learner
from thaw.training.build import build_clock, make_training_envs, policy_for
from thaw.training.clocks import Lockstep

SMALL = AgentConfig(
    embedding="impala_shallow",
    embedding_size=16,
    lstm_size=8,
    fc_size=8,
    unroll_length=5,
    precision="float32",
)
WORKLOAD = Workload(
    flavor=Flavor("catch"),
    agent=SMALL,
    num_envs=4,
    environment={"downsample": 16},
    num_packed=2,
)
NAMES = {
    "environment", "act", "learn", "act and learn", "freeze_all", "packed",
    *(f"{clock} {condition}" for clock in ("lockstep", "overlapped")
      for condition in ("update_all", "freeze_head", "freeze_embedding")),
    "lockstep update_all, two groups", "lockstep freeze_embedding, two groups",
}  # fmt: skip


pytestmark = pytest.mark.xdist_group("bench")  # the fixture is measured once

told: list[float] = []


@pytest.fixture(scope="module")
def rates() -> Rates:
    return measure(WORKLOAD, num_rounds=2, seconds=0.1, watch=told.append)


@pytest.mark.long
def test_everything_is_measured_in_every_round(rates: Rates) -> None:
    assert set(rates.steps_per_second) == NAMES | {"matrix product"}
    for name, values in rates.steps_per_second.items():
        assert [value > 0 for value in values] == [True, True], name
    assert 50 < rates.peak_mib < 4000


def test_the_parts_alone_are_faster_than_all_of_them_together(rates: Rates) -> None:
    found = {name: max(values) for name, values in rates.steps_per_second.items()}
    whole = found["lockstep update_all"]
    assert found["environment"] > whole
    for name in ("act", "learn", "freeze_all"):  # twice: a tenth of a second is no measurement
        assert 2 * found[name] > whole, name


@pytest.mark.usefixtures("rates")
def test_progress_adds_up_to_one() -> None:
    assert sum(told) == pytest.approx(1.0)
    assert len(told) == 2 * (len(NAMES) + 1)


@pytest.mark.slow
def test_an_odd_number_of_environments_is_not_put_into_groups() -> None:
    found = measure(
        msgspec.structs.replace(WORKLOAD, num_envs=3), num_rounds=1, seconds=0.01
    ).steps_per_second
    assert set(found) == {name for name in NAMES if "groups" not in name} | {"matrix product"}
    ratios = summarize(WORKLOAD, Rates(found, 512.0))["ratios"]
    assert "packed / one run on all threads" in ratios
    assert "two groups / one" not in ratios


@pytest.mark.slow
def test_the_asynchronous_clock_is_measured_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="pip install 'thaw[ray]'")
    monkeypatch.setattr("thaw.bench.subjects.TRAINED", ("update_all",))
    monkeypatch.setattr("thaw.bench.rates.TRAINED", ("update_all",))
    monkeypatch.setattr("thaw.bench.rates.GROUPED", ())
    agent = msgspec.structs.replace(SMALL, actors=2)
    workload = msgspec.structs.replace(WORKLOAD, agent=agent, asynchronous=True)
    found = measure(workload, num_rounds=1, seconds=0.1).steps_per_second
    assert found["asynchronous update_all"][0] > 0


def test_whole_training_is_assembled_as_a_run_assembles_it() -> None:
    """A benchmark that values truncated steps must pay for it, as training does."""
    agent = msgspec.structs.replace(SMALL, truncation="bootstrap", env_groups=2)
    workload = msgspec.structs.replace(WORKLOAD, agent=agent)
    with contextlib.ExitStack() as stack:
        envs = make_training_envs(workload.spec, "cpu")
        for env in envs:
            stack.callback(env.close)
        policy = policy_for(envs[0], agent, workload.flavor)
        clock = build_clock(workload.spec, Runtime(), envs, Learner(policy, agent, 100))
        stack.callback(clock.close)
        assert isinstance(clock, Lockstep)
        assert [actor.bootstraps_truncated for actor in clock.collector.actors] == [True, True]


def test_the_asynchronous_clock_needs_an_environment_for_each_actor() -> None:
    pytest.importorskip("ray", reason="pip install 'thaw[ray]'")
    spec = RunSpec(
        condition="pretrain", flavor=Flavor("catch"), update_rule=UpdateRule("scratch"), seed=0,
        steps=1, agent=SMALL, environment={"num_envs": 4},
    )  # fmt: skip
    with pytest.raises(InputError, match="each actor needs an environment"):
        prepare(spec, "cpu", 1, 1, asynchronous=True)


def test_ratios_are_taken_within_rounds() -> None:
    # The machine halves its speed in the second round; no ratio may notice.
    rounds = {name: [800.0, 400.0] for name in NAMES}
    rounds |= {"environment": [1000.0, 500.0], "act": [500.0, 250.0], "learn": [250.0, 125.0]}
    rounds |= {"act and learn": [200.0, 100.0], "matrix product": [9e9, 9e9]}
    rounds |= {"lockstep update_all": [100.0, 50.0], "packed": [150.0, 75.0]}
    summary = summarize(WORKLOAD, Rates(rounds, 512.0, 10**6))
    bound = 1 / (1 / 1000 + 1 / 200)
    bound_two = 1 / (1 / 1000 + 1 / 500 + 1 / 250)
    for name, value in (
        ("bound", bound),
        ("bound, two passes", bound_two),
        ("bound, frozen embedding", 1 / (1 / 1000 + 1 / 500)),
    ):
        assert summary["steps_per_second"][name] == {
            "median": pytest.approx(value * 0.75),
            "lowest": pytest.approx(value / 2),
            "highest": pytest.approx(value),
        }
    assert "matrix product" not in summary["steps_per_second"]
    medians = {n: s["median"] for n, s in summary["multiplications_per_second"].items()}
    assert medians == {
        "best matrix product": 9e9,
        "acting": pytest.approx(500e6 * 0.75),
        "acting and learning": pytest.approx(3 * 200e6 * 0.75),
    }
    assert "| acting and learning | 0.5 | 0.3 | 0.6 |" in table(summary)
    for name, expected in (
        ("update_all / bound", 100 / bound),
        ("update_all / bound of two passes", 100 / bound_two),
        ("bound / bound of two passes", bound / bound_two),
        ("packed / one run on all threads", 1.5),
        ("freeze_embedding / update_all", 8.0),
    ):
        spread = summary["ratios"][name]
        assert list(spread.values()) == [pytest.approx(expected)] * 3, name
    assert "| packed / one run on all threads | 1.50 | 1.50 | 1.50 |" in table(summary)


def test_a_page_keeps_other_workloads_and_replaces_its_own(tmp_path: Path, rates: Rates) -> None:
    summary = summarize(WORKLOAD, rates)
    page = write_benchmark(summary, "thaw bench", tmp_path)
    assert page.parent == tmp_path
    assert page.suffix == ".md"
    other = summary | {"flavor": "catch@large_ball"}
    assert write_benchmark(other, "thaw bench", tmp_path) == page
    text = write_benchmark(summary | {"precision": "bfloat16"}, "once more", tmp_path).read_text()
    assert text.count("\n## ") == 2
    assert text.count("![") == 2
    for picture in tmp_path.glob("*.svg"):
        assert f"({picture.name})" in text
        assert picture.read_bytes().startswith(b"<?xml")
    assert text.startswith("# ")
    assert "## catch, impala_shallow" in text
    assert "## catch@large_ball, impala_shallow" in text
    assert text.count("`thaw bench`") == 1
    assert text.count("`once more`") == 1
    commit = summary["machine"]["git_commit"]
    assert summary["date"] in text
    assert commit is None or commit[:12] in text


def test_a_workload_settles_its_precision() -> None:
    spec = RunSpec(
        condition="pretrain",
        flavor=Flavor("catch"),
        update_rule=UpdateRule("scratch"),
        seed=0,
        steps=1,
        environment={"downsample": 16, "num_envs": 3},
    )
    workload = prepare(spec, "cpu", 1, 2)
    assert workload.agent.precision in ("float32", "bfloat16")
    assert (workload.num_envs, workload.environment) == (3, {"downsample": 16})


@pytest.mark.slow
def test_the_command_prints_one_json_document(tmp_path: Path) -> None:
    command = [
        "bench", "--embedding", "impala_shallow", "--rounds", "1",
        "--seconds", "0.05", "--packed", "1", "--threads", "1", "--json",
        "--out", str(tmp_path / "not" / "there"),
        "--set", "environment.downsample=16", "--set", "agent.unroll_length=3",
        "--set", "environment.num_envs=2",
    ]  # fmt: skip
    thaw = str(Path(sys.executable).with_name("thaw"))
    done = subprocess.run([thaw, *command], capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    assert document["flavor"] == "catch"
    assert document["num_envs"] == 2
    assert set(document["steps_per_second"]) == NAMES | set(BOUNDS)
    (page,) = tmp_path.glob("not/there/*.md")
    assert f"written: {page}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--rounds", "0"], "--rounds is 0; it must be at least 1"),
        (["--seconds", "0"], "--seconds is 0; it must be above 0"),
        (["--flavor", "catsh"], "catsh"),
        (["--embedding", "impala_dep"], "did you mean 'impala_deep'?"),
        (["--device", "cuda"], "no usable CUDA GPU"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line
