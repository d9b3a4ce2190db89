from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import odd_envs
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from thaw.config.errors import InputError
from thaw.envs.families import list_flavors, make_env
from thaw.envs.spaces import VectorEnv, action_meanings
from thaw.experiment.execute import run
from thaw.experiment.suites import load_suite
from thaw.testing import check_environment


def raw(env: VectorEnv) -> Any:
    """The first environment, without its wrappers."""
    assert isinstance(env, SyncVectorEnv)
    return env.envs[0].unwrapped


def total_after(address: str, steps: int) -> float:
    """The pole's angles after some pushes, whose sum tells one physics from another."""
    env = make_env(address, 2, seed=3)
    for _ in range(steps):
        observations, *_ = env.step(np.ones(2, np.int64))
    env.close()
    return float(observations[:, 2].sum())


# -------------------------------------------------------------------------------- observations


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("First", (20, 30, 3), "uint8"),
        ("Last", (20, 30, 3), "uint8"),
        ("Gray", (20, 30, 1), "uint8"),
        ("Float", (20, 30, 3), "float32"),
        ("Vector", (5,), "float32"),
        ("Counts", (5,), "float32"),
        ("Number", (4,), "float32"),
    ],
)
def test_every_supported_space_is_shown_and_passes_the_check(
    name: str, shape: tuple[int, ...], dtype: str
) -> None:
    address = f"gym/odd_envs:Odd{name}-v0"
    env = make_env(address, 2, seed=0)
    assert env.single_observation_space.shape == shape
    assert str(env.single_observation_space.dtype) == dtype
    env.close()
    check_environment(address)


def shown_and_raw(address: str) -> tuple[np.ndarray[Any, Any], Any]:
    env = make_env(address, 1)
    observations, _ = env.reset(seed=5)
    space = raw(env).observation_space
    space.seed(5)
    env.close()
    return observations[0], space.sample()


def test_channels_first_become_channels_last() -> None:
    shown, image = shown_and_raw("gym/odd_envs:OddFirst-v0")
    np.testing.assert_array_equal(shown, image.transpose(1, 2, 0))


def test_channels_last_stay() -> None:
    shown, image = shown_and_raw("gym/odd_envs:OddLast-v0")
    np.testing.assert_array_equal(shown, image)


def test_the_order_of_channels_may_be_told_where_it_cannot_be_guessed() -> None:
    shown, image = shown_and_raw("gym/odd_envs:OddStack-v0?channel_order=first")
    np.testing.assert_array_equal(shown, image.transpose(1, 2, 0))
    assert shown_and_raw("gym/odd_envs:OddStack-v0")[0].shape == (12, 20, 20)


def test_a_number_is_shown_one_hot_from_its_start() -> None:
    shown, number = shown_and_raw("gym/odd_envs:OddNumber-v0")
    np.testing.assert_array_equal(shown, np.eye(4)[number - 2])


def test_floats_keep_their_values() -> None:
    shown, vector = shown_and_raw("gym/odd_envs:OddVector-v0")
    np.testing.assert_array_equal(shown, vector.astype(np.float32))


def test_of_a_dict_the_chosen_entry_is_shown() -> None:
    shown, entries = shown_and_raw("gym/odd_envs:OddDict-v0?observation_key=image")
    np.testing.assert_array_equal(shown, entries["image"].transpose(1, 2, 0))
    check_environment("gym/odd_envs:OddDict-v0?observation_key=image")


def test_the_last_observation_of_an_episode_is_shown_in_the_same_way() -> None:
    env = make_env("gym/odd_envs:OddFirst-v0", 2, seed=0)
    for _ in range(odd_envs.LENGTH):
        *_, terminated, _, info = env.step(np.zeros(2, np.int64))
    assert terminated.all()
    assert [final.shape for final in info["final_obs"]] == [(20, 30, 3)] * 2
    assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    env.close()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("OddDict-v0", r"Dict.*observation_key=KEY; keys: image, mission"),
        ("OddDict-v0?observation_key=imag", r"did you mean 'image'"),
        ("OddDict-v0?observation_key=mission", r"Text.*supported are Box"),
        ("OddVector-v0?observation_key=image", r"no Dict; leave out observation_key"),
        ("OddPair-v0", r"Tuple.*supported are Box"),
        ("OddMovie-v0", r"\(4, 20, 30, 3\).*supported are Box"),
        ("OddTorque-v0", r"actions are Box.*discrete"),
    ],
)
def test_what_is_not_supported_is_said(address: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_env(f"gym/odd_envs:{address}")


def test_actions_that_start_elsewhere_are_counted_from_0() -> None:
    env = make_env("gym/odd_envs:OddFromFive-v0", 2, seed=0)
    assert str(env.single_action_space) == "Discrete(2)"
    _, rewards, *_ = env.step(np.array([0, 1]))
    assert rewards.tolist() == [5.0, 6.0]
    env.close()


# ------------------------------------------------------------------------------------- options


def test_an_option_of_the_constructor() -> None:
    env = make_env("gym/odd_envs:OddVector-v0?size=8")
    assert (raw(env).size, raw(env).half_size) == (8, 4.0)
    env.close()


def test_a_constant_that_the_constructor_sets_and_what_it_derives_from_it() -> None:
    env = make_env("gym/CartPole-v1?gravity=20&length=1")
    assert (raw(env).gravity, raw(env).length) == (20.0, 1.0)
    assert raw(env).polemass_length == pytest.approx(0.1)
    assert isinstance(raw(env).gravity, float)
    env.close()


def test_a_constant_that_the_class_declares() -> None:
    env = make_env("gym/odd_envs:OddVector-v0?wind=3")
    assert raw(env).wind == 3.0
    env.close()
    assert odd_envs.OddEnv.wind == 1.5


def test_another_gravity_is_another_physics() -> None:
    usual, heavy = total_after("gym/CartPole-v1", 5), total_after("gym/CartPole-v1?gravity=40", 5)
    assert usual != heavy
    assert usual == total_after("gym/CartPole-v1?gravity=9.8", 5)


def test_a_time_limit_of_ones_own() -> None:
    env = make_env("gym/MountainCar-v0?max_episode_steps=7", 1, seed=0)
    cut = [bool(env.step(np.zeros(1, np.int64))[3][0]) for _ in range(7)]
    assert cut == [False] * 6 + [True]
    env.close()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("gym/CartPole-v1?gravty=2", r"no option 'gravty'; did you mean 'gravity'"),
        ("gym/CartPole-v1?gravity=strong", r"gravity is 'strong'; it must be float"),
        ("gym/CartPole-v1?render_mode=human", r"no option 'render_mode'"),
        ("gym/CartPole-v1?vectorization=many", r"vectorization.*sync, async"),
        ("gym/CartPole-v1@heavy", r"no variant 'heavy'.*\?option=value"),
        ("gym/CartPol-v1", r"CartPol.*CartPole"),
        ("gym/NoSuch-v1", r"NoSuch.*write 'gym/my_package:MyEnv-v0'"),
        (
            "gym/no_such_package:Env-v0",
            r"no module 'no_such_package': .*`pip install -e \.` in .*PYT",
        ),
        (
            "gym/no_such.below:Env-v0",
            r"no module 'no_such\.below': .* folder of no_such, or .*PYTHON",
        ),
        ("gym/gymnasium.no_such:Env-v0", r"no module 'gymnasium.no_such': No .*no_such'$"),
        ("gym/gymnasium:NoSuch-v1", r"NoSuch` doesn't exist\.?$"),
        ("gym/FrozenLake-v1?map_name=9x9", r"cannot be made: KeyError: '9x9'"),
    ],
)
def test_wrong_addresses_say_what_is_wrong(address: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_env(address)


def test_async_environments_play_the_same() -> None:
    one = make_env("gym/CartPole-v1", 2, seed=4)
    other = make_env("gym/CartPole-v1?vectorization=async", 2, seed=4)
    for _ in range(30):
        a, b = one.step(np.ones(2, np.int64)), other.step(np.ones(2, np.int64))
        for left, right in zip(a[:4], b[:4], strict=True):
            np.testing.assert_array_equal(left, right)
    one.close()
    other.close()


def test_names_of_actions_are_passed_on() -> None:
    pytest.importorskip("ale_py")
    env = make_env("gym/ale_py:ALE/Breakout-v5")
    assert action_meanings(env) == ("NOOP", "FIRE", "RIGHT", "LEFT")
    assert env.single_observation_space.shape == (210, 160, 3)
    env.close()


# ---------------------------------------------------------------------------- checks and suites


@pytest.mark.parametrize(
    "address",
    ["gym/CartPole-v1", "gym/CartPole-v1?gravity=20", "gym/FrozenLake-v1", "gym/Acrobot-v1"],
)
def test_the_check_finds_nothing(address: str) -> None:
    check_environment(address)


def test_the_family_is_listed_as_a_pattern() -> None:
    assert list_flavors("gym") == ["gym/<id>"]


SUITE = """\
name: gravity
transfers:
  - {source: gym/CartPole-v1, target: "gym/CartPole-v1?gravity=20"}
conditions: [random, update_all, freeze_embedding]
seeds: 1
pretrain_steps: 200
transfer_steps: 200
environment: {num_envs: 4}
agent: {embedding: mlp, embedding_size: 16, lstm_size: 16, fc_size: 16, unroll_length: 10}
evaluation: {episodes: 4}
"""


def test_a_suite_on_another_gravity(tmp_path: Path) -> None:
    (tmp_path / "gravity.yaml").write_text(SUITE)
    summary = run(load_suite(tmp_path / "gravity.yaml"), tmp_path / "out", num_workers=1)
    assert not summary.failed
    scores = (tmp_path / "out" / "scores.csv").read_text().splitlines()
    assert len(scores) == 2 + 4
    assert sum("gravity=20" in row for row in scores) >= 3


def test_a_suite_without_an_mlp_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "gravity.yaml").write_text(SUITE.replace("mlp", "impala_shallow"))
    with pytest.raises(InputError, match=r"agent\.embedding=mlp"):
        run(load_suite(tmp_path / "gravity.yaml"), tmp_path / "out", num_workers=1)
