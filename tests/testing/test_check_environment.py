"""Each finding of ``check_environment``, from an environment with exactly this problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import batch_space
from sound_env import DISABLED, LENGTH, NEXT, NUM_ENVS, SAME, Array, Infos, SoundEnv

from thaw.testing import BrokenEnvironment, check_environment


def findings(env: gymnasium.vector.VectorEnv[Any, Any, Any], **options: Any) -> tuple[str, ...]:
    """Return what the check finds."""
    with pytest.raises(BrokenEnvironment) as caught:
        check_environment(env, **options)
    return caught.value.findings


@pytest.mark.parametrize("mode", [SAME, NEXT, DISABLED])
def test_a_sound_environment_passes(mode: AutoresetMode) -> None:
    check_environment(SoundEnv(mode))


@pytest.mark.parametrize("mode", [SAME, NEXT, DISABLED])
def test_gymnasiums_own_vectors_pass(mode: AutoresetMode) -> None:
    makers = [lambda: gymnasium.make("CartPole-v1")] * 3
    check_environment(SyncVectorEnv(makers, autoreset_mode=mode))


def test_an_environment_may_say_which_episodes_continue_a_score() -> None:
    says = replace(4, lambda infos: infos | {"score_continues": np.ones(NUM_ENVS, np.bool_)})
    check_environment(broken_steps(says, NEXT))


@pytest.mark.parametrize("mode", [SAME, NEXT])
def test_an_environment_without_chance_passes_if_it_says_so(mode: AutoresetMode) -> None:
    class Certain(SoundEnv):
        def reset(self, **anything: Any) -> tuple[Array, Infos]:
            return super().reset(seed=5)

    check_environment(Certain(mode), deterministic=True, max_episode_steps=10)


# -------------------------------------------------------------------------------------- spaces


def broken_spaces(**attributes: Any) -> SoundEnv:
    env = SoundEnv()
    for name, value in attributes.items():
        setattr(env, name, value)
    return env


WIDE = spaces.Box(-1, 1, (2,), np.float64)
DICT = spaces.Dict({"image": WIDE})
REAL = spaces.Box(-1, 1, (2,), np.float32)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        (
            {"single_observation_space": DICT, "observation_space": batch_space(DICT, 3)},
            "expected a Box of one to three dimensions",
        ),
        (
            {"single_observation_space": WIDE, "observation_space": batch_space(WIDE, 3)},
            "dtype float64; expected uint8",
        ),
        (
            {"single_action_space": REAL, "action_space": batch_space(REAL, 3)},
            "expected Discrete(n)",
        ),
        (
            {
                "single_action_space": spaces.Discrete(3, start=1),
                "action_space": batch_space(spaces.Discrete(3, start=1), 3),
            },
            "counted from 0",
        ),
        ({"observation_space": REAL}, "observation_space is"),
        ({"action_space": spaces.Discrete(3)}, "action_space is Discrete(3)"),
        ({"metadata": {}}, "metadata['autoreset_mode'] is None"),
        ({"metadata": {"autoreset_mode": "SameStep"}}, "metadata['autoreset_mode'] is 'SameStep'"),
    ],
)
def test_spaces_and_metadata(attributes: dict[str, Any], said: str) -> None:
    (finding,) = findings(broken_spaces(**attributes))
    assert said in finding


def test_all_findings_come_at_once() -> None:
    env = broken_spaces(metadata={}, action_space=spaces.Discrete(3))
    with pytest.raises(BrokenEnvironment, match=r"SoundEnv has 2 problem\(s\):\n  1\. .*\n  2\. "):
        check_environment(env)


# -------------------------------------------------------------------------------- returned arrays


def broken_steps(spoil: Callable[[SoundEnv, list[Any]], None], mode: AutoresetMode) -> SoundEnv:
    """An environment that spoils what a step returns."""

    class Broken(SoundEnv):
        def step(self, actions: Array) -> Any:
            returned = list(super().step(actions))
            spoil(self, returned)
            return tuple(returned)

    return Broken(mode)


class _Alias:
    """Writes arrays of a shape and dtype into the same memory again and again."""

    def __init__(self) -> None:
        self.memory: dict[str, Array] = {}

    def __call__(self, array: Array) -> Array:
        memory = self.memory.setdefault(str(array.dtype), np.empty_like(array))
        memory[...] = array
        return memory


ALIAS = _Alias()


def replace(index: int, change: Callable[[Any], Any]) -> Callable[[SoundEnv, list[Any]], None]:
    def spoil(env: SoundEnv, returned: list[Any]) -> None:
        returned[index] = change(returned[index])

    return spoil


def set_item(index: int, value: Any) -> Callable[[SoundEnv, list[Any]], None]:
    def spoil(env: SoundEnv, returned: list[Any]) -> None:
        returned[index][0] = value

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda env, returned: returned.pop(), "step returns tuple of 4"),
        (replace(0, lambda array: array.tolist()), "step returns observations of <class 'list'>"),
        (replace(0, lambda array: array[:, :1]), "shape [3, 1]; expected [3, 2]"),
        (replace(0, lambda array: array.astype(np.float64)), "of float64; expected the space's"),
        (set_item(0, 101), "values outside the space's bounds"),
        (set_item(0, np.nan), "NaN outside the space's bounds"),
        (replace(1, lambda array: array[:, None]), "rewards are float32[3, 1]"),
        (replace(1, lambda array: array.astype(str)), "rewards are <U"),
        (set_item(1, np.inf), "a reward is infinite"),
        (set_item(1, np.nan), "a reward is infinite or not a number"),
        (replace(2, lambda array: array.tolist()), "terminated is ["),
        (replace(2, lambda array: array.astype(np.int64)), "terminated has dtype int64"),
        (replace(3, lambda array: array.astype(np.float32)), "truncated has dtype float32"),
        (replace(3, lambda array: array[:1]), "truncated is array"),
        (
            replace(4, lambda infos: infos | {"score_continues": True}),
            "infos['score_continues'] is True",
        ),
        (
            replace(4, lambda infos: infos | {"score_continues": np.zeros(NUM_ENVS)}),
            "infos['score_continues'] has dtype float64",
        ),
        (replace(0, ALIAS), "observations that a step returned were overwr"),
        (replace(1, ALIAS), "rewards that a step returned were overwritten"),
        (replace(2, ALIAS), "terminated that a step returned were overwr"),
    ],
)
def test_what_a_step_returns(spoil: Callable[[SoundEnv, list[Any]], None], said: str) -> None:
    ALIAS.memory.clear()
    found = findings(broken_steps(spoil, SAME))
    assert any(said in finding for finding in found), found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda returned: returned[0], "reset returns ndarray; expected"),
        (lambda returned: (returned[0].tolist(), {}), "reset returns observations of"),
        (lambda returned: (returned[0] + 200, {}), "reset returns observations with values"),
    ],
)
def test_what_a_reset_returns(change: Callable[[Any], Any], said: str) -> None:
    class Broken(SoundEnv):
        def reset(self, **options: Any) -> Any:
            return change(super().reset(**options))

    assert said in findings(Broken())[0]


# -------------------------------------------------------------------------------------- resets


def declare(env: SoundEnv, mode: AutoresetMode) -> SoundEnv:
    """Let an environment claim a mode that it does not follow."""
    env.metadata = {"autoreset_mode": mode}
    return env


def without_final(env: SoundEnv, returned: list[Any]) -> None:
    returned[4].pop("final_obs", None)


def test_same_step_without_the_last_observation() -> None:
    (finding,) = findings(broken_steps(without_final, SAME))
    assert "infos['final_obs'] is missing" in finding


def test_same_step_with_the_last_observation_of_some() -> None:
    def spoil(env: SoundEnv, returned: list[Any]) -> None:
        if "final_obs" in returned[4]:
            returned[4]["final_obs"][1] = None

    assert "infos['final_obs'] is missing" in findings(broken_steps(spoil, SAME))[0]


def test_same_step_with_a_last_observation_of_another_kind() -> None:
    def spoil(env: SoundEnv, returned: list[Any]) -> None:
        if "final_obs" in returned[4]:
            returned[4]["final_obs"] = [np.zeros(3)] * NUM_ENVS

    (finding,) = findings(broken_steps(spoil, SAME))
    assert "infos['final_obs'] is not in single_observation_space" in finding


def test_next_step_declared_as_same_step() -> None:
    assert "declare NEXT_STEP" in findings(declare(SoundEnv(NEXT), SAME))[0]


def test_next_step_that_also_fills_the_last_observation() -> None:
    def spoil(env: SoundEnv, returned: list[Any]) -> None:
        returned[4]["final_obs"] = returned[0].copy()

    env = declare(broken_steps(spoil, NEXT), SAME)
    assert "is infos['final_obs'] again" in findings(env)[0]


def test_same_step_declared_as_next_step() -> None:
    (finding,) = findings(declare(SoundEnv(SAME), NEXT))
    assert "infos['final_obs'] is set when an episode ends" in finding


def test_same_step_declared_as_next_step_without_a_trace() -> None:
    def spoil(env: SoundEnv, returned: list[Any]) -> None:
        without_final(env, returned)
        returned[1][:] = 0.0

    (finding,) = findings(declare(broken_steps(spoil, SAME), NEXT))
    assert "the action after an episode's end changes the trajectory" in finding


def test_next_step_whose_reset_is_rewarded() -> None:
    def spoil(env: SoundEnv, returned: list[Any]) -> None:
        returned[1] += 1.0

    (finding,) = findings(broken_steps(spoil, NEXT))
    assert "the step after an episode's end has a reward" in finding


def test_a_reset_mask_that_is_ignored() -> None:
    class Broken(SoundEnv):
        def __init__(self) -> None:
            super().__init__(DISABLED)

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Array, Infos]:
            returned = super().reset(seed=seed)
            self.ages[:] = np.arange(NUM_ENVS)
            return returned

    (finding,) = findings(Broken())
    assert "changed environments outside the mask" in finding


def test_episodes_that_never_end() -> None:
    def spoil(env: SoundEnv, returned: list[Any]) -> None:
        env.ages[:] = 0

    (finding,) = findings(broken_steps(spoil, SAME), max_episode_steps=50)
    assert "no episode ended within 50 steps" in finding


def test_the_longest_episode_that_is_allowed() -> None:
    check_environment(SoundEnv(), max_episode_steps=LENGTH)
    assert "no episode ended" in findings(SoundEnv(), max_episode_steps=LENGTH - 1)[0]


# --------------------------------------------------------------------------------------- seeds


class OwnGenerator(SoundEnv):
    """Draws from a generator that no seed reaches."""

    def start(self, mask: Array) -> None:
        super().start(mask)
        self.places[mask] += np.random.default_rng().uniform(size=(int(mask.sum()), 2))


class OneSeed(SoundEnv):
    """Uses the same seed always."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Array, Infos]:
        return super().reset(seed=None if seed is None else 5, options=options)


class Clones(SoundEnv):
    """All environments of the vector are the same."""

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, Infos]:
        self.places[:] = self.places[0]
        returned = super().step(actions)
        self.places[:] = self.places[0]
        returned[0][:] = returned[0][0]
        returned[1][:] = returned[1][0]
        return returned

    def reset(self, **options: Any) -> tuple[Array, Infos]:
        observations, infos = super().reset(**options)
        observations[:] = observations[0]
        return observations, infos


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (OwnGenerator, "gave another trajectory the second time"),
        (OneSeed, "different seeds gave the same trajectory"),
        (Clones, "all environments of the vector had the same trajectory"),
    ],
)
def test_seeds(broken: type[SoundEnv], said: str) -> None:
    (finding,) = findings(broken())
    assert said in finding


# ----------------------------------------------------------------------------- our own families


@pytest.mark.parametrize("address", ["catch?downsample=16", "catch@large_ball?downsample=16"])
def test_catch_passes(address: str) -> None:
    check_environment(address)


def test_a_game_of_atari_passes() -> None:
    pytest.importorskip("envpool")
    pytest.importorskip("ale_py")
    check_environment("atari/breakout?image_size=16&max_episode_frames=200", num_envs=2)


def test_options_go_to_the_family() -> None:
    with pytest.raises(ValueError, match="downsampel"):
        check_environment("catch", downsampel=4)
