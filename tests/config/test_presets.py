from __future__ import annotations

from pathlib import Path

import pytest

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.presets import OF_FAMILY, PRESETS
from thaw.config.strict import from_plain, to_plain
from thaw.experiment.single import train_spec
from thaw.experiment.suites import load_suite

SUITE = """\
name: mine
transfers: [{{source: {source}, target: {source}}}]
pretrain_steps: 10
transfer_steps: 10
{agent}
"""


def agent_of(preset: str, **changes: object) -> AgentConfig:
    return from_plain({**PRESETS[preset], **changes}, AgentConfig, "test")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_agent(name: str) -> None:
    assert (agent_of(name) == AgentConfig()) == (name == "paper")


def test_a_suite_names_a_preset_and_changes_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE.format(source="catch", agent="agent: {preset: quick, lstm_size: 32}"))
    assert load_suite(path).agent == agent_of("quick", lstm_size=32)
    # A preset on the command line replaces all of the agent; what follows changes it.
    overrides = ["agent.fc_size=9", "agent.preset=vector", "agent.lstm_size=8"]
    assert load_suite(path, overrides).agent == agent_of("vector", lstm_size=8)
    assert load_suite("catch-quick", ["agent.preset=paper"]).agent == AgentConfig()
    assert "preset" not in to_plain(load_suite(path))["agent"]


@pytest.mark.parametrize(
    ("source", "preset"),
    [
        ("catch", "paper"), ("atari/breakout", "paper"), ("gym/CartPole-v1", "vector"),
        ("minigrid/MiniGrid-Empty-5x5-v0", "grid"), ("procgen/bigfish", "paper"),
    ],
)  # fmt: skip
def test_a_family_has_a_preset_for_who_names_none(source: str, preset: str, tmp_path: Path) -> None:
    assert OF_FAMILY.get(source.partition("/")[0], "paper") == preset
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE.format(source=source, agent=""))
    assert load_suite(path).agent == agent_of(preset)
    path.write_text(SUITE.format(source=source, agent="agent: {discount: 0.5}"))
    assert load_suite(path).agent == agent_of(preset, discount=0.5)
    assert train_spec(source, steps=10).agent == agent_of(preset)
    named = train_spec(source, steps=10, overrides=["agent.preset=quick"]).agent
    assert named == agent_of("quick")


def test_built_in_suites_are_as_they_are_written() -> None:
    assert load_suite("minigrid-quick").agent.entropy_cost == AgentConfig().entropy_cost
    assert load_suite("catch-paper").agent == AgentConfig()


def test_the_docs_are_right_about_whose_agent_a_preset_is() -> None:
    assert load_suite("atari-quick").agent == agent_of("arcade")


def test_an_unknown_preset_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE.format(source="catch", agent="agent: {preset: quik}"))
    with pytest.raises(InputError, match="no 'quik'; did you mean 'quick'"):
        load_suite(path)
    for wrong in ("5", "[1]", "{a: 1}", "null"):
        with pytest.raises(InputError, match="Allowed: paper, quick, arcade, grid, vector"):
            train_spec("catch", steps=10, overrides=[f"agent.preset={wrong}"])
