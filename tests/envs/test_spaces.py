from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.envs.families import flavor_spaces, make_env
from thaw.envs.spaces import Spaces, count_actions

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
