"""Which devices a run gets, which addresses there are, and what is imported for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thaw.acting.remote.process import ActorProcess, Task
from thaw.config.agent import AgentConfig
from thaw.config.flavor import Flavor
from thaw.config.run_spec import EvaluationConfig, RunSpec
from thaw.config.runtime import Runtime
from thaw.config.strict import Scalar
from thaw.config.update_rule import UpdateRule
from thaw.envs.androidenv.family import make_androidenv
from thaw.envs.androidenv.simulated.catch_app import ACTIVITY
from thaw.envs.androidenv.task_files import TASK_FOLDER
from thaw.envs.androidenv.vector import AndroidVectorEnv
from thaw.envs.families import list_flavors
from thaw.experiment.plan import run_key
from thaw.files.run_folder import RunFolder
from thaw.training.run import execute_run

SIMULATED: dict[str, Scalar] = {"device": "simulated"}


def test_actors_have_separate_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []

    def note(flavor: Flavor, num_envs: int, options: dict[str, Any]) -> AndroidVectorEnv:
        made.append(options)
        return make_androidenv(flavor, num_envs, options)

    monkeypatch.setattr(sys.modules[make_androidenv.__module__], "make_androidenv", note)
    agent = AgentConfig(
        embedding="impala_shallow", embedding_size=8, lstm_size=8, fc_size=8, clock="asynchronous"
    )
    for first_environment, chosen, expected in (
        (0, {}, 0),
        (3, {}, 3),
        (3, {"first_device": 5}, 8),
    ):
        spec = RunSpec(
            condition="pretrain",
            flavor=Flavor("androidenv/catch"),
            update_rule=UpdateRule("scratch"),
            seed=0,
            steps=1,
            environment={**SIMULATED, "downsample": 16, **chosen},
            agent=agent,
        )
        process = ActorProcess(
            Task(
                spec=spec,
                observation_shape=(30, 20, 3),
                num_actions=54,
                num_envs=1,
                first_environment=first_environment,
                store_embeddings=False,
                seed=0,
            )
        )
        process.build()
        assert process.actor is not None
        process.actor.env.close()
        assert made[-1]["first_device"] == expected


def test_groups_of_environments_have_separate_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, object]] = []

    def note(flavor: Flavor, num_envs: int, options: dict[str, Any]) -> AndroidVectorEnv:
        made.append((num_envs, options["first_device"]))
        return make_androidenv(flavor, num_envs, options)

    monkeypatch.setattr(sys.modules[make_androidenv.__module__], "make_androidenv", note)
    spec = RunSpec(
        condition="pretrain",
        flavor=Flavor("androidenv/catch"),
        update_rule=UpdateRule("scratch"),
        seed=0,
        steps=8,
        environment={**SIMULATED, "downsample": 16, "num_envs": 4, "first_device": 5},
        agent=AgentConfig(
            embedding="impala_shallow", embedding_size=8, lstm_size=8, fc_size=8, env_groups=2,
            unroll_length=2, precision="float32",
        ),
        evaluation=EvaluationConfig(episodes=1),
    )  # fmt: skip
    execute_run(spec, RunFolder(tmp_path), Runtime())
    assert made[:2] == [(2, 5), (2, 7)]  # then the evaluation's


# ------------------------------------------------------------------------------------ imports


def test_nothing_of_androidenv_is_imported_for_others() -> None:
    code = (
        "import sys, thaw, thaw.envs; thaw.make_env('catch').close(); thaw.envs.list_flavors();"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'android_env', 'grpc'}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_runs_of_any_address_have_separate_folders() -> None:
    addresses = (
        "androidenv//home/me/mine.textproto",
        "androidenv/mine.textproto?device=simulated",
        "androidenv/catch?avd_name=catch_{index}&apk=/home/me/catch.apk",
    )
    keys = set()
    for address in addresses:
        flavor = Flavor(address)
        assert Flavor(str(flavor)) == flavor
        spec = RunSpec(condition="random", flavor=flavor, update_rule=None, seed=0, steps=0)
        keys.add(run_key(spec))
    assert len(keys) == len(addresses)
    assert all(Path("runs", key).is_relative_to("runs") for key in keys)
    assert not any(set(key) & set("?&*\\ ") for key in keys)


def test_names() -> None:
    assert list_flavors("androidenv/catch@large*") == ["androidenv/catch@large_ball"]
    assert "androidenv/<path>.textproto" in list_flavors("androidenv")
    assert ACTIVITY in (TASK_FOLDER / "catch_default.textproto").read_text()
