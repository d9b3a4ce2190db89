from __future__ import annotations

import msgspec
import pytest
import yaml

from thaw.config.errors import InputError
from thaw.config.strict import Config, Positive, from_plain, override, parse_yaml, to_plain
from thaw.config.suite import Suite
from thaw.experiment.suites import load_suite


def test_numbers_are_read_as_people_write_them() -> None:
    assert parse_yaml("6e-4") == 6e-4
    assert parse_yaml("1E5") == 1e5
    assert parse_yaml("200_000") == 200_000
    assert parse_yaml("1e5x") == "1e5x"
    assert yaml.safe_load("6e-4") == "6e-4"  # why thaw has its own loader


def test_keys_may_be_quoted_numbers_and_merged() -> None:
    text = "base: &base {'3': 1}\nmore: {<<: *base, b: 2}"
    assert parse_yaml(text) == {"base": {"3": 1}, "more": {"3": 1, "b": 2}}


def test_override_leaves_nothing_half_done() -> None:
    plain = {"agent": {"discount": 0.9}}
    with pytest.raises(InputError):
        override(plain, "agent.discount.deeper=1")
    assert plain == {"agent": {"discount": 0.9}}


class Sample(Config, frozen=True, kw_only=True):
    size: Positive
    words: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("plain", "theirs", "ours"),
    [
        (
            {"size": 1, "sizes": 2},
            "Object contains unknown field `sizes`",
            "here: unknown key 'sizes'; did you mean 'size'? Allowed: size, words",
        ),
        ({}, "Object missing required field `size`", "here: the key 'size' is missing"),
        (
            {"size": "x"},
            "Expected `int`, got `str` - at `$.size`",
            "here: size: expected a whole number, got a word",
        ),
        (
            {"size": 0},
            "Expected `int` >= 1 - at `$.size`",
            "here: size: expected a whole number >= 1 (it is 0)",
        ),
        (
            {"size": 1, "words": ["a", 2]},
            "Expected `str`, got `int` - at `$.words[1]`",
            "here: words[1]: expected a word, got a whole number",
        ),
        (
            {"size": 1, "words": ["a"], 2: 3},
            "Expected `str` - at `key` in `$`",
            "here: a key is no word; all keys must be words",
        ),
    ],
)
def test_the_wording_of_msgspec_that_is_translated(plain: object, theirs: str, ours: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(plain, Sample)
    assert str(caught.value) == theirs, "msgspec has changed its wording: adapt thaw.config.strict"
    with pytest.raises(InputError) as explained:
        from_plain(plain, Sample, "here")
    assert str(explained.value) == ours


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{[a, b]: 1}", "line 1: a key must be a word"),
        ("{{a: 1}: 1}", "line 1: a key must be a word"),
        (
            "agent: {learning_rate: 6,0e-4}",
            r"line 1: the key '0e-4' is a number \(decimals have a point, not a comma\), but keys",
        ),
        ("a: 1\nb: {3: 4}", "line 2: the key '3' is a number"),
        ("{yes: 1}", "the key 'yes' is true or false, but keys are words"),
        ("{2024-01-01: 1}", "the key '2024-01-01' is a date"),
        ("{~: 1}", "the key '~' is null"),
        ("[" * 20_000, "nested too deeply"),
        ("seeds: " + "9" * 5000, "not valid YAML"),
        ("day: 2020-99-99", "not valid YAML"),
    ],
)
def test_hostile_yaml_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_yaml(text)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("seeds=2000000000", "seeds: expected a whole number <= 10000 (it is 2000000000)"),
        ("seeds=[99999999999999999999999]", "seeds[0]: expected a whole number"),
        ("agent.learning_rate=.inf", "agent.learning_rate: expected a number <= 1e+30 (it is inf)"),
        ("agent.max_gradient_norm=.inf", "agent.max_gradient_norm: expected a number <= 1e+30"),
        ("agent.lstm_size=0", "agent.lstm_size: expected a whole number >= 1 (it is 0)"),
        ("environment.num_envs=100000000", "must be a whole number from 1 to 100,000"),
    ],
)
def test_a_number_out_of_range_is_named_with_its_value(item: str, message: str) -> None:
    plain = to_plain(load_suite("catch-quick"))
    override(plain, item)
    with pytest.raises(InputError) as caught:
        from_plain(plain, Suite, "suite.yaml")
    assert message in str(caught.value)
