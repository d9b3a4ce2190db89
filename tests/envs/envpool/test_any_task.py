from __future__ import annotations

import pytest

from thaw.config.errors import InputError
from thaw.envs.families import make_env
from thaw.testing import check_environment

pytest.importorskip("envpool", reason="EnvPool is not installed: pip install 'thaw[envpool]'")


@pytest.mark.parametrize(
    ("address", "shape"),
    [
        ("envpool/CartPole-v1", (4,)),
        ("envpool/Catch-v0?width=7", (10, 7, 1)),
        ("envpool/Jumanji/Snake-v1?observation_key=grid", (12, 12, 5)),
    ],
)
def test_other_tasks(address: str, shape: tuple[int, ...]) -> None:
    env = make_env(address, 2, seed=0)
    assert env.single_observation_space.shape == shape
    env.close()
    check_environment(address)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("envpool/Pendulum-v1", r"actions are Box.*discrete"),
        ("envpool/Jumanji/Snake-v1", r"observation_key=KEY; keys: grid"),
        ("envpool/CartPole-v1?seed=3", r"no option 'seed'"),
        ("envpool/Pong-v5", r"unknown flavor"),
    ],
)
def test_wrong_addresses_of_other_tasks(address: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_env(address)
