from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.run_spec import RunSpec
from thaw.config.strict import from_plain, override, parse_yaml, to_plain, to_yaml
from thaw.config.suite import Suite, Transfer
from thaw.config.update_rule import UpdateRule
from thaw.experiment.suites import BUILT_IN, load_suite

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


def test_yaml_keeps_rules_and_seeds_of_ones_own(tmp_path: Path) -> None:
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


def test_a_suite_can_come_from_a_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, documented: Path
) -> None:
    (tmp_path / "suite_functions.py").write_text(
        "from thaw import load_suite\n"
        f"def mine(): return load_suite({str(documented)!r})\n"
        "def wrong(): return 'catch-quick'\n"
        "def broken(): return {}['no such key']\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert load_suite("suite_functions:mine", ["seeds=1"]).seed_list == (0,)
    with pytest.raises(InputError, match=r"returned str, not a thaw Suite"):
        load_suite("suite_functions:wrong")
    with pytest.raises(InputError, match=r"failed: KeyError: 'no such key' \(.*, line 4\)"):
        load_suite("suite_functions:broken")
    with pytest.raises(InputError, match=r"no attribute 'none'"):
        load_suite("suite_functions:none")


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
    "pretrain_steps=1e5": "expected a whole number, got a number with a point or an exponent",
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
    "environment.num_envs=0": "num_envs is 0; it must be a whole number >= 1",
    "environment.num_envs=many": "num_envs is 'many'; it must be a whole number >= 1",
    "environment.num_envs=true": "num_envs is True; it must be a whole number >= 1",
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


def test_numbers_are_read_as_people_write_them() -> None:
    assert parse_yaml("6e-4") == 6e-4
    assert parse_yaml("1E5") == 1e5
    assert parse_yaml("200_000") == 200_000
    assert parse_yaml("1e5x") == "1e5x"
    assert yaml.safe_load("6e-4") == "6e-4"  # why there is a loader of our own


# ------------------------------------------------------------------------------------- flavors


@pytest.mark.parametrize(
    ("address", "text", "parts"),
    [
        ("catch", "catch", ("catch", "catch", "default", ())),
        ("catch@default", "catch", ("catch", "catch", "default", ())),
        ("catch/catch@large_ball", "catch@large_ball", ("catch", "catch", "large_ball", ())),
        (
            "atari/space_invaders@m1d1",
            "atari/space_invaders@m1d1",
            ("atari", "space_invaders", "m1d1", ()),
        ),
        (
            "gym/MiniGrid-Empty-8x8-v0",
            "gym/MiniGrid-Empty-8x8-v0",
            ("gym", "MiniGrid-Empty-8x8-v0", "default", ()),
        ),
        (
            "catch?ball_radius=20&a=true&ball_color=#00FF00",
            "catch?a=true&ball_color=#00FF00&ball_radius=20",
            (
                "catch",
                "catch",
                "default",
                (("a", True), ("ball_color", "#00FF00"), ("ball_radius", 20)),
            ),
        ),
    ],
)
def test_flavors_are_kept_in_canonical_form(
    address: str, text: str, parts: tuple[object, ...]
) -> None:
    flavor = Flavor(address)
    assert flavor == text
    assert (flavor.family, flavor.name, flavor.variant, flavor.options) == parts
    assert Flavor(flavor).options == flavor.options


@pytest.mark.parametrize(
    "address", ["", "a@b@c", "catch@", "catch?x", "catch?a=1&a=2", "ca tch", "/x"]
)
def test_an_ill_formed_flavor_is_refused(address: str) -> None:
    with pytest.raises(InputError, match=r"flavor '"):
        Flavor(address)


# --------------------------------------------------------------------------------------- rules


def test_the_longest_prefix_decides() -> None:
    rule = UpdateRule("head=source:trained,embedding=source:frozen,head.lstm=random:trained")
    assert str(rule.of("embedding.linear.weight")) == "source:frozen"
    assert str(rule.of("head.fc.weight")) == "source:trained"
    assert str(rule.of("head.lstm.bias")) == "random:trained"
    assert str(rule.of("head.lstm2.bias")) == "source:trained"  # a prefix ends at a dot


def test_the_named_rules_are_the_paper_s() -> None:
    said = {
        name: (
            UpdateRule(name).of("embedding.x").trains,
            UpdateRule(name).of("head.x").trains,
            UpdateRule(name).needs_source,
            UpdateRule(name).trains,
        )
        for name in ("scratch", "update_all", "freeze_embedding", "freeze_head", "freeze_all")
    }
    assert said == {
        "scratch": (True, True, False, True),
        "update_all": (True, True, True, True),
        "freeze_embedding": (False, True, True, True),
        "freeze_head": (True, False, True, True),
        "freeze_all": (False, False, True, False),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("freeze_al", "did you mean 'freeze_all'? Known: scratch, update_all"),
        ("embedding=source:frozen", "missing head"),
        ("embedding=source:frozen,head=source:trained,torso=random:trained", "unknown torso"),
        ("embedding=source:frozen,head=target:trained", "'head=target:trained'"),
        ("embedding=source:frozen,head=source:thawed", "'head=source:thawed'"),
        ("embedding=source:frozen,head=source:frozen,head=source:trained", "each part named once"),
    ],
)
def test_a_wrong_rule_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        UpdateRule(text)
    assert said in str(caught.value)


# ------------------------------------------------------------------------------------ run specs


def spec(**changes: object) -> RunSpec:
    plain: dict[str, object] = {
        "condition": "freeze_head",
        "flavor": "catch@large_ball",
        "source": "catch",
        "source_hash": "0123456789abcdef",
        "update_rule": "freeze_head",
        "seed": 0,
        "steps": 100,
        "environment": {"num_envs": 4},
    }
    return from_plain(plain | changes, RunSpec, "test")


def test_every_field_of_a_run_decides_its_hash() -> None:
    changes: dict[str, object] = {
        "condition": "mine",
        "flavor": "catch",
        "source": None,
        "source_hash": None,
        "update_rule": "update_all",
        "seed": 1,
        "steps": 101,
        "environment": {"num_envs": 5},
        "agent": {"discount": 0.5},
        "evaluation": {"episodes": 7},
        "results_version": 0,
    }
    assert set(changes) == set(RunSpec.__struct_fields__)
    hashes = [spec(**{field: value}).content_hash for field, value in changes.items()]
    assert len({spec().content_hash, *hashes}) == len(changes) + 1


def test_every_field_of_the_agent_decides_the_hash() -> None:
    defaults = to_plain(AgentConfig())
    other: dict[type, object] = {bool: False, int: 77, float: 0.123, str: "impala_shallow"}
    words: dict[str, object] = {
        "clock": "overlapped",
        "env_groups": 2,
        "precision": "bfloat16",
        "truncation": "bootstrap",
        "learning_rate_schedule": "constant",
    }
    hashes = {
        spec(agent={name: words.get(name, other[type(value)])}).content_hash
        for name, value in defaults.items()
    }
    assert len(hashes | {spec().content_hash}) == len(defaults) + 1


@pytest.mark.parametrize("name", ["drawn_on", "seed"])
def test_what_a_run_says_itself_cannot_be_set_as_an_option(name: str) -> None:
    with pytest.raises(InputError, match=rf"^environment\.{name} cannot be set: .*; leave it out$"):
        RunSpec(
            condition="pretrain", flavor=Flavor("catch"), update_rule=UpdateRule("scratch"),
            seed=0, steps=1, environment={name: "cpu"},
        )  # fmt: skip


def test_equal_runs_have_equal_hashes_however_they_are_written() -> None:
    same = spec(
        flavor="catch/catch@large_ball",
        update_rule="head=source:frozen, embedding=source:trained",
        environment={"num_envs": 4},
        agent={"discount": 0.99},
    )
    assert same.content_hash == spec().content_hash
    assert from_plain(to_plain(same), RunSpec, "test") == same


def test_seeds_of_different_purposes_flavors_and_conditions_differ() -> None:
    seeds = {
        spec(**changes).derived_seed(purpose)
        for purpose in ("acting", "weights")
        for changes in ({}, {"seed": 1}, {"flavor": "catch"}, {"condition": "freeze_all"})
    }
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("num_envs", [0, -1, "x", True, None])
def test_a_run_checks_its_number_of_environments(num_envs: object) -> None:
    with pytest.raises(InputError, match=r"num_envs is .* it must be a whole number >= 1"):
        spec(environment={"num_envs": num_envs})


def test_override_leaves_nothing_half_done() -> None:
    plain = {"agent": {"discount": 0.9}}
    with pytest.raises(InputError):
        override(plain, "agent.discount.deeper=1")
    assert plain == {"agent": {"discount": 0.9}}
