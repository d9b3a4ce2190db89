from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.envs.families import flavor_spaces, make_env
from thaw.envs.spaces import Spaces, check_same_actions, count_actions, score_continues

HERE = Flavor("catch?downsample=16")


def test_the_spaces_of_a_flavor() -> None:
    spaces = flavor_spaces(HERE, {"num_actions": 56, "downsample": 8})
    assert spaces == Spaces((30, 20, 3), "uint8", 56, None, 4)
    assert spaces.observations == "observations [30, 20, 3] of uint8"


@pytest.mark.parametrize(
    "actions",
    [
        gymnasium.spaces.Box(0, 1, (2,)),
        gymnasium.spaces.MultiBinary(3),  # has an n, but no single action
        gymnasium.spaces.MultiDiscrete([2, 2]),
    ],
)
def test_actions_that_are_not_discrete_are_refused(actions: gymnasium.Space[Any]) -> None:
    with pytest.raises(InputError, match=r"^here: actions are .*; thaw needs discrete actions, so"):
        count_actions(actions, "here")


def test_observations_that_are_not_arrays_are_refused() -> None:
    env = make_env(HERE)
    env.single_observation_space = gymnasium.spaces.Dict({"a": gymnasium.spaces.Discrete(2)})
    with pytest.raises(
        InputError,
        match=r"^flavor 'catch\?downsample=16': observations are Dict.*; thaw needs arrays",
    ):
        Spaces.of(env, HERE)


def test_the_number_of_actions_is_a_plain_int() -> None:
    assert type(count_actions(gymnasium.spaces.Discrete(np.int64(3)), "here")) is int


SOURCE, TARGET = Flavor("gym/source"), Flavor("gym/target")


def named(*names: str, num_actions: int | None = None) -> Spaces:
    return Spaces(
        observation_shape=(4,),
        observation_type="float32",
        num_actions=len(names) if num_actions is None else num_actions,
        action_meanings=names or None,
        frames_per_step=1,
    )


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        (
            named("NOOP", "FIRE", "LEFT"),
            named("NOOP", "LEFT", "UP", "DOWN"),
            r"only 'gym/source' has FIRE; only 'gym/target' has UP, DOWN\. .*remaps no actions: "
            r"choose",
        ),
        (
            named("LEFT", "RIGHT", "FIRE"),
            named("LEFT", "FIRE", "RIGHT"),
            r"action 1 is RIGHT in 'gym/source' and FIRE in 'gym/target'; action 2 is FIRE",
        ),
        (named("NOOP", "FIRE"), named("NOOP"), r"has 2 actions .* has 1.*only 'gym/source' has"),
        (named(num_actions=3), named(num_actions=4), r"has 3 actions, but 'gym/target' has 4;"),
        (named("NOOP"), named(num_actions=4), r"has 1 actions, but 'gym/target' has 4;"),
    ],
)
def test_the_actions_that_differ_are_named(there: Spaces, here: Spaces, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_same_actions(SOURCE, there, TARGET, here)


@pytest.mark.parametrize(
    ("there", "here"),
    [
        (named("NOOP", "FIRE"), named("NOOP", "FIRE")),
        (named(num_actions=3), named(num_actions=3)),
        (named("NOOP", "FIRE"), named(num_actions=2)),
    ],
)
def test_the_same_actions_pass(there: Spaces, here: Spaces) -> None:
    check_same_actions(SOURCE, there, TARGET, here)


def test_what_continues_a_score_is_said_by_the_episode_that_ends() -> None:
    yes, no = np.ones(1, bool), np.zeros(1, bool)
    assert score_continues({"score_continues": yes}) is yes
    assert score_continues({"final_info": {"score_continues": yes}, "score_continues": no}) is yes
    assert score_continues({"final_info": {}, "score_continues": yes}) is False
    # Gymnasium before 1.0 has an array of dicts there.
    assert score_continues({"final_info": np.array([{}], object)}) is False
    assert score_continues({"continues": yes}) is False
