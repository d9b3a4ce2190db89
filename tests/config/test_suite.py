from __future__ import annotations

from pathlib import Path

import pytest

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.strict import to_yaml
from thaw.config.suite import Suite, Transfer
from thaw.config.update_rule import UpdateRule
from thaw.experiment.built_in import BUILT_IN
from thaw.experiment.suites import load_suite

# As the documentation writes it, comments and all.
DOCUMENTED = """\
name: my-catch
transfers:
  - {source: catch, target: catch@large_ball}
  - {source: catch, target: catch@red_background}
conditions: [random, scratch, update_all, freeze_embedding, freeze_head, freeze_all]
seeds: 3                      # or a list of seeds
pretrain_steps: 200_000
transfer_steps: 200_000       # of every transfer and of scratch
environment: {num_envs: 32}   # options of the family
agent: {embedding: impala_shallow, unroll_length: 20, learning_rate: 6.0e-4, clock: lockstep}
evaluation: {episodes: 100, source: true}
"""


@pytest.fixture
def documented(tmp_path: Path) -> Path:
    path = tmp_path / "documented.yaml"
    path.write_text(DOCUMENTED)
    return path


def test_the_documented_suite_file_loads_as_it_stands(documented: Path) -> None:
    suite = load_suite(documented)
    assert suite.name == "my-catch"
    assert suite.transfers == (
        Transfer(source=Flavor("catch"), target=Flavor("catch@large_ball")),
        Transfer(source=Flavor("catch"), target=Flavor("catch@red_background")),
    )
    assert suite.seed_list == (0, 1, 2)
    assert (suite.pretrain_steps, suite.transfer_steps) == (200_000, 200_000)
    assert suite.environment == {"num_envs": 32}
    assert suite.agent == AgentConfig(
        embedding="impala_shallow", unroll_length=20, learning_rate=6e-4, clock="lockstep"
    )
    assert suite.evaluation.episodes == 100


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_suite_is_the_same_after_writing_and_reading_yaml(name: str, tmp_path: Path) -> None:
    path = tmp_path / "again.yaml"
    path.write_text(to_yaml(load_suite(name)))
    assert load_suite(path) == load_suite(name)


def test_yaml_keeps_custom_rules_and_seeds(tmp_path: Path) -> None:
    suite = Suite(
        name="own",
        transfers=(Transfer(source=Flavor("catch"), target=Flavor("catch?ball_radius=20")),),
        conditions=("fresh_lstm", "scratch"),
        update_rules={
            "fresh_lstm": UpdateRule(
                "embedding=source:frozen,head=source:trained,head.lstm=random:trained"
            )
        },
        seeds=(4, 2),
        pretrain_steps=10,
        transfer_steps=10,
        agent=AgentConfig(reward_clip=None),
    )
    path = tmp_path / "own.yaml"
    path.write_text(to_yaml(suite))
    assert load_suite(path) == suite
    assert load_suite(path).seed_list == (4, 2)


def test_overrides_reach_every_depth_and_are_yaml(documented: Path) -> None:
    suite = load_suite(
        documented,
        [
            "seeds=[7, 9]",
            "agent.learning_rate=1e-3",
            "agent.reward_clip=null",
            "evaluation.source=false",
            "environment.downsample=8",
            "environment.background_color=#FF0000",
            "update_rules.probe=embedding=source:frozen,head=random:trained",
            "conditions=[probe]",
        ],
    )
    assert suite.seed_list == (7, 9)
    assert (suite.agent.learning_rate, suite.agent.reward_clip) == (1e-3, None)
    assert suite.evaluation.source is False
    assert suite.environment["downsample"] == 8
    assert suite.environment["background_color"] == "#FF0000"
    assert suite.rule("probe") == UpdateRule("embedding=source:frozen,head=random:trained")


WRONG_OVERRIDES = {
    "agent.discuont=1": "agent: unknown key 'discuont'; did you mean 'discount'? Allowed: embed",
    "pretrain_stesp=1": "unknown key 'pretrain_stesp'; did you mean 'pretrain_steps'?",
    "agent.discount=hello": "agent.discount: expected a number, got a word",
    "agent.discount=2": "agent.discount: expected a number <= 1.0",
    "agent.lstm_size=true": "agent.lstm_size: expected a whole number, got true or false",
    "agent.clock=overlappd": "did you mean 'overlapped'? Allowed: lockstep, overlapped, asy",
    "agent=4": "agent: expected a mapping, got a whole number",
    "pretrain_steps=-4": "pretrain_steps: expected a whole number >= 1",
    "transfer_steps=1e5": "expected a whole number, got a number with a point or an exponent",
    "transfer_steps=0": "transfer_steps: expected a whole number >= 1",
    "seeds=0": "seeds: expected a whole number >= 1",
    "seeds=-1": "seeds: expected a whole number >= 1",
    "seeds=[]": "seeds: expected a list of length >= 1",
    "seeds=[0, -1]": "seeds[1]: expected a whole number >= 0",
    "seeds=[3, 3]": "seeds: '3' is there twice",
    "seeds=few": "seeds: expected a whole number or a list, got a word",
    "conditions=[]": "conditions: expected a list of length >= 1",
    "conditions=scratch": "conditions: expected a list, got a word",
    "conditions=[freeze_al]": "unknown condition 'freeze_al'; did you mean 'freeze_all'? Allowed",
    "conditions=[scratch, scratch]": "conditions: 'scratch' is there twice",
    "transfers=[]": "transfers: expected a list of length >= 1",
    "transfers=catch": "transfers: expected a list, got a word",
    "transfers=[{source: catch, tarrget: catch}]": "transfers[0]: unknown key 'tarrget'; did",
    "transfers=[{source: catch}]": "transfers[0]: the key 'target' is missing",
    "transfers=[{source: catch, target: 5}]": "transfers[0].target: expected a word, got 5",
    "transfers=[{source: catch, target: a@b@c}]": "not of the form family/name@variant",
    "transfers=[{source: a, target: b}, {source: a, target: b}]": "'a -> b' is there twice",
    "update_rules={mine: freeze_embeding}": "update_rules: unknown update rule 'freeze_embeding'; "
    "did you mean 'freeze_embedding'?",
    "update_rules={mine: embedding=source:frozen}": "missing head",
    "update_rules={scratch: freeze_all}": "'scratch' is a built-in name; choose another",
    "update_rules={a/b: freeze_all}": "may contain only letters, digits and . _ -",
    "environment=[1]": "environment: expected a mapping, got a list",
    "environment.num_envs=0": "num_envs is 0; it must be a whole number from 1 to 100,000",
    "environment.num_envs=many": "num_envs is 'many'; it must be a whole number from 1 to 100,000",
    "environment.num_envs=true": "num_envs is True; it must be a whole number from 1 to 100,000",
    "name=a/b": "name 'a/b' may contain only letters, digits and . _ -",
    "name.x=1": "--set name.x=1: 'name' has no keys below it",
    "agent.learning_rate.x=1": "'learning_rate' has no keys below it",
    "agent": "--set agent: expected KEY=VALUE, as in agent.discount=0.9",
    "=4": "--set =4: expected KEY=VALUE",
    "agent.=4": "--set agent.=4: expected KEY=VALUE",
    "agent.discount={": "--set agent.discount={: not valid YAML: line 1",
    "report.paper=table9": "report.paper: unknown word 'table9'",
    "evaluation.episodes=0": "evaluation.episodes: expected a whole number >= 1",
}


@pytest.mark.parametrize("item", WRONG_OVERRIDES)
def test_a_wrong_value_is_refused_in_words(item: str, documented: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_suite(documented, [item])
    assert WRONG_OVERRIDES[item] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "`" not in str(caught.value)  # msgspec's own words


WRONG_FILES = {
    "": "a suite file is a mapping",
    "- a\n- b\n": "a suite file is a mapping",
    "just words": "a suite file is a mapping",
    "name: [": "not valid YAML: line 1: expected the node content",
    "name: a\n\tb: c": "not valid YAML: line 2",
    "name: a\nname: b\n": "line 2: the key 'name' is there twice",
    "agent: {discount: 1, discount: 1}": "the key 'discount' is there twice",
    "name: !!python/object/apply:os.getcwd []": "could not determine a constructor",
    "name: a\n": "the key 'transfers' is missing",
}


@pytest.mark.parametrize("text", WRONG_FILES)
def test_a_broken_suite_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_suite(path)
    assert WRONG_FILES[text] in str(caught.value)
    assert str(path) in str(caught.value)


def test_unreadable_and_unknown_suites_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for source, said in (
        (tmp_path / "binary.yaml", "not UTF-8 text"),
        (tmp_path / "none.yaml", "No such file"),
        ("catch-quik", "unknown suite 'catch-quik'; did you mean 'catch-quick'? Built in: catch-"),
        ("no_module:f", "No module named 'no_module'"),
        ("os:getcwd", "returned str, not a thaw Suite"),
    ):
        with pytest.raises(InputError, match=r".") as caught:
            load_suite(source)
        assert said in str(caught.value)
