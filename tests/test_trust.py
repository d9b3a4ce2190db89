"""What others wrote is data: it executes nothing that the user did not name or trust."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command_line import TINY, Say, listing
from safetensors.torch import load_file, save_file

from thaw.config import AgentConfig, Flavor, RunSpec, UpdateRule
from thaw.config.errors import InputError
from thaw.config.trust import code_named_in
from thaw.experiment.execute import run
from thaw.experiment.plan import plan
from thaw.experiment.suites import load_suite
from thaw.files.checkpoint import load_policy, read_description, save_checkpoint
from thaw.files.checksums import CHECKSUMS
from thaw.files.policy_file import POLICY_FILE
from thaw.files.run_folder import RunFolder
from thaw.policy import Policy

CODE = """
from pathlib import Path

import gymnasium
from torch import nn

PROOF = Path(__file__).with_name("proof")
PROOF.touch()
gymnasium.register("Env-v0", entry_point="gymnasium.envs.classic_control:CartPoleEnv")


class Net(nn.Module):
    def __init__(self, observation_shape, embedding_size):
        super().__init__()
        self.linear = nn.Linear(observation_shape[-1], embedding_size)

    def forward(self, observations):
        return self.linear(observations.float()).flatten(1, -2).mean(1)


def make(observation_shape, embedding_size):
    PROOF.touch()
    return Net(observation_shape, embedding_size)


class Head(nn.Module):
    state_size = 0

    def __init__(self, embedding_size, num_actions):
        super().__init__()
        self.policy = nn.Linear(embedding_size, num_actions)
        self.value = nn.Linear(embedding_size, 1)

    def forward(self, embeddings, first, last_actions, last_rewards, state):
        return self.policy(embeddings), self.value(embeddings).squeeze(-1), state


def head(embedding_size, num_actions):
    PROOF.touch()
    return Head(embedding_size, num_actions)
"""
"""A module in the working folder that leaves a proof where it is imported or called."""

EMBEDDING = "agent.embedding=stranger:make"
HEAD = "agent.head=stranger:head"
ENV = "gym/stranger:Env-v0"
SMALL: dict[str, Any] = {"embedding_size": 4, "lstm_size": 4, "fc_size": 4}
CATCH = {"num_envs": 2, "downsample": 16}
SUITES = {
    EMBEDDING: TINY.replace("impala_shallow", "'stranger:make'"),
    HEAD: TINY.replace("impala_shallow", "impala_shallow, head: 'stranger:head'"),
    ENV: TINY.replace("catch@large_ball", f"'{ENV}'"),
    "environment.adb_path=/x/adb": TINY.replace("{num_envs", "{adb_path: /x/adb, num_envs"),
}
SUITE_COMMANDS: dict[str, list[object]] = {
    "plan": [],
    "run": ["--out", "out"],
    "gallery": ["--out", "out.png", "--steps", 1],
}
CHECKPOINT_COMMANDS: dict[str, list[object]] = {
    "evaluate": ["--episodes", 1],
    "record": ["--out", "out.mp4"],
    "transfer": ["--rule", "update_all", "--steps", 40, "--out", "out"],
}


@pytest.fixture
def proof(say: Say, tmp_path: Path) -> Iterator[Path]:
    """The file that tells that the stranger's code was executed; its module lies beside."""
    del say  # it has made tmp_path the working folder
    (tmp_path / "stranger.py").write_text(CODE)
    sys.modules.pop("stranger", None)
    yield tmp_path / "proof"
    sys.modules.pop("stranger", None)


def write_checkpoint(path: Path, code: str) -> None:
    """Make a run's folder that names some code, as its owner would."""
    embedding, head, flavor, environment = "mlp", "lstm", "catch", dict[str, Any](CATCH)
    match code.partition("="):
        case "agent.embedding", _, embedding:
            pass
        case "agent.head", _, head:
            pass
        case name, "=", value:
            environment[name.removeprefix("environment.")] = value
        case flavor, _, _:
            environment = {}
    shape, num_actions = ((30, 20, 3), 54) if flavor == "catch" else ((4,), 2)
    agent = AgentConfig(
        embedding=embedding, head=head, unroll_length=10, precision="float32", **SMALL
    )
    spec = RunSpec(
        condition="pretrain", flavor=Flavor(flavor), update_rule=UpdateRule("scratch"), seed=0,
        steps=10, environment=environment, agent=agent,
    )  # fmt: skip
    RunFolder(path).begin(spec)
    sys.path.append(str(path.parent))
    save_checkpoint(RunFolder(path), Policy(shape, num_actions, agent))
    sys.path.remove(str(path.parent))
    sys.modules.pop("stranger", None)
    (path.parent / "proof").unlink(missing_ok=True)


# ------------------------------------------------------------------------------------- suites


@pytest.mark.parametrize("command", SUITE_COMMANDS)
@pytest.mark.parametrize("code", SUITES)
def test_a_suite_file_executes_nothing(
    say: Say, tmp_path: Path, proof: Path, command: str, code: str
) -> None:
    (tmp_path / "suite.yaml").write_text(SUITES[code])
    before = listing(tmp_path)
    spoken = say(command, "suite.yaml", *SUITE_COMMANDS[command])
    assert (spoken.status, spoken.out) == (2, "")
    assert spoken.err == (
        f"thaw: suite.yaml names code that this would execute: {code}; if you trust it, repeat "
        "the command with --trust-code\n"
    )
    assert not proof.exists()
    assert listing(tmp_path) == before


@pytest.mark.parametrize("words", [["--trust-code"], ["--set", EMBEDDING]])
def test_a_suite_file_executes_what_is_trusted_or_named(
    say: Say, tmp_path: Path, proof: Path, words: list[str]
) -> None:
    (tmp_path / "suite.yaml").write_text(SUITES[EMBEDDING] + "conditions: [random]\n")
    assert say("plan", "suite.yaml", *words).status == 0
    assert not proof.exists()  # planning needs no network
    assert say("run", "suite.yaml", "--out", "out", "--workers", 1, *words).status == 0
    assert proof.exists()


def test_other_code_than_the_file_names_is_no_permission(
    say: Say, tmp_path: Path, proof: Path
) -> None:
    (tmp_path / "suite.yaml").write_text(SUITES[ENV])
    assert say("plan", "suite.yaml", "--set", EMBEDDING).status == 2
    assert not proof.exists()


def test_environments_of_a_trusted_suite_file_are_made(
    say: Say, tmp_path: Path, proof: Path
) -> None:
    text = TINY.replace("{source: catch, target: catch@large_ball}", f"{{source: '{ENV}', target: "
                        f"'{ENV}?gravity=5'}}").replace("impala_shallow", "mlp")  # fmt: skip
    text = text.replace(", downsample: 16, frames_per_step: 8", "")
    (tmp_path / "suite.yaml").write_text(text)
    assert say("plan", "suite.yaml").status == 2
    assert not proof.exists()
    assert say("plan", "suite.yaml", "--trust-code").status == 0
    assert proof.exists()


def test_a_file_in_python_is_data_too(tmp_path: Path, proof: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(SUITES[EMBEDDING])
    assert load_suite(path).agent.embedding == "stranger:make"
    with pytest.raises(InputError, match=rf"{EMBEDDING}; if you trust it, pass trust_code=True$"):
        run(str(path), tmp_path / "out")
    assert not proof.exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [["status"], ["watch"], ["report"]])
def test_looking_at_a_folder_executes_nothing(
    say: Say, tmp_path: Path, proof: Path, command: list[str]
) -> None:
    everything = SUITES[EMBEDDING].replace("catch@large_ball", f"'{ENV}'")
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "suite.yaml").write_text(everything + "conditions: [scratch]\n")
    (run,) = plan(load_suite(tmp_path / "suite" / "suite.yaml")).runs
    folder = RunFolder(tmp_path / "suite" / "runs" / run.key)
    folder.begin(run.spec)
    folder.finish({"mean_return": 1.0, "sem": None, "num_episodes": 4, "steps": 360, "frames": 360,
                   "seconds": 1.0})  # fmt: skip
    folder.episodes.append([])
    spoken = say(*command, "suite")
    assert spoken.status == 0, spoken.err
    assert not proof.exists()


# -------------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("command", CHECKPOINT_COMMANDS)
@pytest.mark.parametrize("code", SUITES)
def test_a_checkpoint_executes_nothing(
    say: Say, tmp_path: Path, proof: Path, command: str, code: str
) -> None:
    write_checkpoint(tmp_path / "theirs", code)
    before = listing(tmp_path)
    spoken = say(command, "theirs", "catch", *CHECKPOINT_COMMANDS[command])
    assert (spoken.status, spoken.out) == (2, "")
    assert spoken.err == (
        f"thaw: checkpoint 'theirs' names code that this would execute: {code}; if you trust it, "
        "repeat the command with --trust-code\n"
    )
    assert not proof.exists()
    assert listing(tmp_path) == before


@pytest.mark.parametrize("command", CHECKPOINT_COMMANDS)
def test_an_embedding_of_a_trusted_checkpoint_is_called(
    say: Say, tmp_path: Path, proof: Path, command: str
) -> None:
    write_checkpoint(tmp_path / "mine", EMBEDDING)
    spoken = say(command, "mine", "catch", *CHECKPOINT_COMMANDS[command], "--trust-code")
    assert spoken.status == 0, spoken.err
    assert proof.exists()


@pytest.mark.parametrize("command", ["evaluate", "transfer"])
def test_a_module_that_the_user_names_is_imported(
    say: Say, tmp_path: Path, proof: Path, command: str
) -> None:
    write_checkpoint(tmp_path / "mine", ENV)
    assert say(command, "mine", "gym/CartPole-v1", *CHECKPOINT_COMMANDS[command]).status == 2
    assert not proof.exists()
    spoken = say(command, "mine", f"{ENV}?gravity=5", *CHECKPOINT_COMMANDS[command])
    assert spoken.status == 0, spoken.err
    assert proof.exists()


def test_an_embedding_that_the_user_names_is_called_and_goes_on(
    say: Say, tmp_path: Path, proof: Path
) -> None:
    write_checkpoint(tmp_path / "mine", EMBEDDING)
    words = ["transfer", "mine", "catch", *CHECKPOINT_COMMANDS["transfer"], "--set", EMBEDDING]
    assert say(*words).status == 0
    (tmp_path / "out" / "result.json").unlink()
    assert say(*words).status == 0
    assert proof.exists()


def test_load_policy_calls_only_what_it_may(
    tmp_path: Path, proof: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path / "mine", EMBEDDING)
    monkeypatch.syspath_prepend(tmp_path)
    for other in (None, "other:make", "stranger"):
        with pytest.raises(InputError) as caught:
            load_policy(tmp_path / "mine", embedding=other)
        assert str(caught.value) == (
            f"{tmp_path / 'mine' / 'checkpoint' / POLICY_FILE} names code that this would execute: "
            f"{EMBEDDING}; if you trust it, pass embedding='stranger:make' or trust_code=True"
        )
    assert not proof.exists()
    assert load_policy(tmp_path / "mine", embedding="stranger:make").num_actions == 54
    assert load_policy(tmp_path / "mine", trust_code=True).num_actions == 54
    assert proof.exists()


# ------------------------------------------------------------------------ hostile descriptions


@contextmanager
def memory_limit(more_bytes: int) -> Iterator[None]:
    """Let this process take only so much more memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def changed(**changes: object) -> Any:
    """A description that fits, but for some changes; agent's keys by ``agent__name``."""
    agent: dict[str, object] = {"embedding": "mlp", **SMALL}
    agent |= {k.removeprefix("agent__"): v for k, v in changes.items() if k.startswith("agent__")}
    others = {k: v for k, v in changes.items() if not k.startswith("agent__")}
    return {"observation_shape": [30, 20, 3], "num_actions": 54, "agent": agent, **others}


HOSTILE = {
    "a shell command": changed(observation_shape=["sh", "-c", "touch proof"],
                               agent__embedding="subprocess:Popen"),
    "words": changed(observation_shape="30"),
    "no sides": changed(observation_shape=[]),
    "five sides": changed(observation_shape=[1, 1, 1, 1, 1]),
    "negative": changed(observation_shape=[-30, -20, 3]),
    "zero": changed(observation_shape=[30, 0, 3]),
    "fractions": changed(observation_shape=[30.5, 20, 3]),
    "truth": changed(observation_shape=[True, 20, 3]),
    "nested": changed(observation_shape=[[30], 20, 3]),
    "a huge side": changed(observation_shape=[10**12, 1, 1]),
    "huge sides": changed(observation_shape=[65_536, 65_536, 65_536, 65_536]),
    "many pixels": changed(observation_shape=[2800, 2900, 1]),
    "many pixels for convolutions": changed(observation_shape=[2800, 2900, 1],
                                            agent__embedding="impala_deep"),
    "images too small": changed(observation_shape=[9, 9, 3], agent__embedding="impala_shallow"),
    "no actions": changed(num_actions=0),
    "a word for actions": changed(num_actions="3"),
    "actions in a list": changed(num_actions=[3]),
    "1e12 actions": changed(num_actions=10**12),
    "65,536 actions": changed(num_actions=65_536),
    "lstm 1e9": changed(agent__lstm_size=10**9),
    "lstm 60,000": changed(agent__lstm_size=60_000),
    "embedding 1e9": changed(agent__embedding_size=10**9),
    "embedding 60,000": changed(agent__embedding_size=60_000),
    "fc 1e30": changed(agent__fc_size=10**30),
    "an unknown embedding": changed(agent__embedding="impala"),
    "a list for an embedding": changed(agent__embedding=["stranger:make"]),
    "another key": changed(code="stranger:make"),
    "a list": [changed()],
    "a word": "thaw",
    "nothing": None,
}  # fmt: skip


@pytest.mark.parametrize("name", [*HOSTILE, "deep", "too long a number"])
def test_a_hostile_description_is_refused_at_once(tmp_path: Path, proof: Path, name: str) -> None:
    write_checkpoint(tmp_path / "theirs", "agent.embedding=mlp")
    file = tmp_path / "theirs" / "checkpoint" / POLICY_FILE
    texts = {"deep": "[" * 100_000, "too long a number": '{"num_actions": ' + "9" * 10_000 + "}"}
    save_file(load_file(file), file, {"thaw": texts.get(name) or json.dumps(HOSTILE[name])})
    (file.parent / CHECKSUMS).unlink()  # its author makes it look undamaged
    started = time.monotonic()
    with memory_limit(500_000_000), pytest.raises(InputError) as caught:
        load_policy(tmp_path / "theirs", trust_code=name != "a shell command")
    assert time.monotonic() - started < 5
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)
    assert not proof.exists()


def test_what_the_hostile_descriptions_are_changed_from_is_fine(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "mine", "agent.embedding=mlp")
    file = tmp_path / "mine" / "checkpoint" / POLICY_FILE
    save_file(load_file(file), file, {"thaw": json.dumps(changed())})
    (file.parent / CHECKSUMS).unlink()
    assert read_description(file).observation_shape == (30, 20, 3)
    assert load_policy(tmp_path / "mine").num_actions == 54


def test_a_deep_run_json_is_refused_in_one_line(say: Say, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "theirs", "agent.embedding=mlp")
    (tmp_path / "theirs" / "run.json").write_text("[" * 100_000)
    spoken = say("evaluate", "theirs", "catch")
    assert (spoken.status, spoken.err.count("\n")) == (2, 1)
    assert "run.json is broken" in spoken.err


# --------------------------------------------------------------------------- what counts as code


@pytest.mark.parametrize(
    ("flavor", "code"),
    [
        ("catch?ball_radius=20", ()),
        ("gym/CartPole-v1?gravity=5", ()),
        (f"{ENV}?gravity=5", (ENV,)),
        ("gym/Any-v0?env_id=stranger:Env-v0", ("environment.env_id=stranger:Env-v0",)),
        ("androidenv/catch@large_ball?device=simulated", ()),
        ("androidenv/catch?emulator_path=/x/e", ("environment.emulator_path=/x/e",)),
        ("androidenv/tasks/theirs.textproto", ("androidenv/tasks/theirs.textproto",)),
    ],
)
def test_code_in_a_flavor(flavor: str, code: tuple[str, ...]) -> None:
    assert code_named_in(Flavor(flavor)) == code


def test_a_name_that_cannot_be_printed_hides_nothing(say: Say, tmp_path: Path, proof: Path) -> None:
    text = SUITES[EMBEDDING].replace("'stranger:make'", r'"stranger:make\e[2K\r"')
    (tmp_path / "suite.yaml").write_text(text)
    spoken = say("plan", "suite.yaml")
    assert spoken.status == 2
    assert r"agent.embedding=stranger:make\x1b[2K\r'" in spoken.err
    assert not proof.exists()
