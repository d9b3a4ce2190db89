from __future__ import annotations

import pytest

from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.run_spec import RunSpec, split_environment
from thaw.config.strict import from_plain, to_plain
from thaw.config.update_rule import UpdateRule


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
        "source_step": 7,
        "milestones": [7, 100],
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


@pytest.mark.parametrize("name", ["num_env", "num_envss", "numenvs", "n_envs", "Num_envs"])
def test_a_misspelt_number_of_environments_is_named(name: str) -> None:
    with pytest.raises(InputError, match=f"unknown key '{name}' in env.*; did you mean 'num_envs'"):
        spec(environment={"downsample": 8, name: 4})


def test_options_with_similar_names_are_no_misspelling() -> None:
    options = {"num_levels": 1, "num_actions": 9, "num_threads": 1, "num_objects": 2}
    assert spec(environment={"num_envs": 4, **options}).environment_options == options


@pytest.mark.parametrize("num_envs", [0, -1, "x", True, None])
def test_a_run_checks_its_number_of_environments(num_envs: object) -> None:
    with pytest.raises(
        InputError, match=r"num_envs is .* it must be a whole number from 1 to 100,000"
    ):
        spec(environment={"num_envs": num_envs})


def test_an_environment_section_is_split() -> None:
    section = {"num_envs": 4, "downsample": 8}
    assert split_environment(section) == (4, {"downsample": 8})
    assert section == {"num_envs": 4, "downsample": 8}
    assert split_environment({}) == (32, {})
