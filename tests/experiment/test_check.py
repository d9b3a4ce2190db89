from __future__ import annotations

from typing import Any

import msgspec
import pytest
from command_line import TINY

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.strict import from_plain, parse_yaml
from thaw.config.suite import Suite, Transfer
from thaw.envs.families import canonical_flavor
from thaw.experiment.check import canonical_suite, check_suite
from thaw.experiment.plan import plan


def suite(source: str = "catch", target: str = "catch@large_ball", **environment: object) -> Suite:
    plain = parse_yaml(TINY)
    plain["transfers"] = [{"source": source, "target": target}]
    plain["environment"] |= environment
    return from_plain(plain, Suite, "test")


def test_every_flavor_is_looked_at() -> None:
    spaces = check_suite(suite())
    assert set(spaces) == {"catch", "catch@large_ball"}
    for space in spaces.values():
        assert space.observation_shape == (30, 20, 3)
        assert space.observation_type == "uint8"
        assert space.num_actions == 54
        assert space.frames_per_step == 8


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("catch?num_actions=56", r"'catch' has 54 actions, but 'catch\?num_actions=56' has 56"),
        ("catch?downsample=8", r"has observations \[30, 20, 3\] .* has observations \[60, 40, 3\]"),
        ("catch@larg_ball", "did you mean 'large_ball'"),
        ("cathc", "did you mean 'catch'"),
        ("catch?ball_radios=3", "did you mean 'ball_radius'"),
        ("catch?ball_radius=huge", "ball_radius: expected a number"),
    ],
)
def test_what_could_not_work_is_refused(target: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_suite(suite(target=target))


def test_a_misspelt_environment_option_is_refused() -> None:
    with pytest.raises(InputError, match=r"unknown key 'downsampel'; did you mean 'downsam"):
        check_suite(suite(downsampel=4))


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ({"embedding": "impala_shalow"}, "unknown embedding 'impala_shalow'; did you mean 'impala"),
        ({"head": "lstmm"}, "unknown head 'lstmm'; did you mean 'lstm'.* or module:function"),
    ],
)
def test_a_misspelt_network_is_refused(agent: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_suite(msgspec.structs.replace(suite(), agent=AgentConfig(**agent)))


def test_a_network_of_the_user_s_is_not_imported() -> None:
    agent = AgentConfig(embedding="no_such_module:make", head="no_such_module:make")
    assert check_suite(msgspec.structs.replace(suite(), agent=agent))


def test_what_differs_must_not_be_spaces_only() -> None:
    check_suite(suite(target="catch?ball_radius=20&background_color=BLUE"))


def atari(source: str, target: str) -> Suite:
    return Suite(
        name="games",
        transfers=(Transfer(source=Flavor(source), target=Flavor(target)),),
        pretrain_steps=1,
        transfer_steps=1,
        environment={"full_action_space": False},
    )


def test_two_games_with_other_buttons() -> None:
    pytest.importorskip("envpool")
    pytest.importorskip("ale_py")
    with pytest.raises(InputError, match=r"only 'atari/freeway' has UP, DOWN"):
        check_suite(atari("atari/breakout", "atari/freeway"))
    check_suite(atari("atari/breakout", "atari/breakout@m12d0"))


def test_one_game_with_two_addresses_is_pretrained_once() -> None:
    pytest.importorskip("ale_py")
    chosen = Suite(
        name="two-addresses",
        transfers=(
            Transfer(source=Flavor("atari/breakout"), target=Flavor("atari/breakout@m12d0")),
            Transfer(source=Flavor("atari/breakout@m0d0"), target=Flavor("atari/breakout@m8d1")),
        ),
        conditions=("update_all",),
        seeds=1,
        pretrain_steps=100,
        transfer_steps=100,
    )
    keys = [run.key for run in plan(canonical_suite(chosen)).runs]
    assert keys == [
        "atari/breakout/pretrain/seed0",
        "atari/breakout@m12d0/update_all/seed0",
        "atari/breakout@m8d1/update_all/seed0",
    ]
    assert canonical_flavor(Flavor("atari/breakout@m0d0?sticky=1")) == "atari/breakout?sticky=1"
    assert canonical_flavor(Flavor("catch@large_ball")) == "catch@large_ball"
