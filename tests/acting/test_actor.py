"""Auto-reset, truncation, the choice of actions, and restoring an actor."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from counting_env import NUM_ACTIONS, LuckEnv, make_counting_env, make_luck_env
from counting_unrolls import (
    GAMMA,
    MODES,
    collect_unrolls,
    counting_config,
    counting_policy,
    seen_in,
)
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from thaw.acting.actor import Actor
from thaw.config.errors import InputError
from thaw.envs.spaces import Restorable
from thaw.impala.learner import Learner
from thaw.policy.policy import UniformPolicy
from thaw.policy.trajectory import PolicyOutput


def learned_from(mode: AutoresetMode, num_steps: int) -> list[dict[str, NDArray[Any]]]:
    """The first transitions that each environment's learner sees, of a greedy actor."""
    config = counting_config()
    actor = Actor(make_counting_env(mode=mode), counting_policy(config), seed=1, greedy=True)
    trajectories, _ = collect_unrolls(actor, config, num_steps)
    environments = []
    for b in (0, 1):
        rows: dict[str, list[NDArray[Any]]] = {}
        for trajectory in trajectories:
            valid = trajectory.valid[:, b]
            for name, tensor in trajectory.tensors().items():
                if name not in ("state", "valid", "last_actions", "last_rewards"):
                    column = tensor[: config.unroll_length, b][valid]
                    rows.setdefault(name, []).append(column.numpy())
            for name in ("last_actions", "last_rewards"):  # meaningless at the start of an episode
                tensor = getattr(trajectory, name) * ~trajectory.first
                rows.setdefault(name, []).append(tensor[:-1, b][valid].numpy())
        environments.append({n: np.concatenate(r)[:num_steps] for n, r in rows.items()})
    return environments


def test_all_reset_modes_learn_from_the_same_transitions() -> None:
    by_mode = {mode: learned_from(mode, 30) for mode in MODES}
    reference = by_mode[AutoresetMode.DISABLED]
    for mode in MODES:
        for expected, actual in zip(reference, by_mode[mode], strict=True):
            assert set(actual) == set(expected)
            for name, array in actual.items():
                assert len(array) == 30
                np.testing.assert_allclose(array, expected[name], rtol=1e-5, err_msg=name)


def test_a_reset_step_is_never_in_the_loss() -> None:
    """Two episodes of 3 steps: 8 steps if a reset takes one, 6 if it takes none."""
    losses = {}
    for mode, rows in zip(MODES, (8, 6, 6), strict=True):
        config = counting_config(unroll_length=rows)
        policy = counting_policy(config)
        env = make_counting_env(mode=mode, lengths=((3,),))
        actor = Actor(env, policy, seed=0, greedy=True)
        trajectories, episodes = collect_unrolls(actor, config, 1)
        assert len(episodes) == 4
        assert actor.num_steps == 12
        losses[mode] = Learner(policy, config, 100).losses(trajectories[0])
    for mode in MODES[:2]:
        for name, value in losses[mode]._asdict().items():
            expected = getattr(losses[AutoresetMode.DISABLED], name)
            assert value.item() == pytest.approx(expected.item(), rel=1e-5), name


@pytest.mark.parametrize("mode", MODES)
def test_value_after_a_truncated_step_by_hand(mode: AutoresetMode) -> None:
    config = counting_config(unroll_length=12)
    policy = counting_policy(config)
    # Episode 0 (3 steps) is truncated, episode 1 (2 steps) terminates, and so on.
    env = make_counting_env(1, mode, lengths=((3, 2),), truncated=(True, False))
    actor = Actor(env, policy, seed=1, config=counting_config(truncation="bootstrap"))
    trajectory = collect_unrolls(actor, config, 1)[0][0]
    assert trajectory.observations is not None
    seen = seen_in(trajectory)
    checked = 0
    state = trajectory.state
    for t in range(12):
        with torch.no_grad():
            state = policy.unroll(
                policy.embed(trajectory.observations[t : t + 1]), trajectory.first[t : t + 1],
                trajectory.last_actions[t : t + 1], trajectory.last_rewards[t : t + 1], state,
            ).state  # fmt: skip
        cut = bool(trajectory.valid[t, 0]) and seen.episode[t, 0] % 2 == 0 and seen.steps[t, 0] == 2
        expected = 0.0
        if cut:
            # What the environment showed before its reset: step 3 of this episode.
            final = torch.tensor([[[0.0, seen.episode[t, 0], 3.0, seen.transitions[t, 0] + 1]]])
            with torch.no_grad():
                value = policy.unroll(
                    policy.embed(final), torch.zeros(1, 1, dtype=torch.bool),
                    trajectory.actions[t : t + 1], trajectory.rewards[t : t + 1], state,
                ).values.item()  # fmt: skip
            assert abs(value) > 0.01
            expected = GAMMA * value
            assert trajectory.discounts[t, 0] == 0
            checked += 1
        assert trajectory.bootstraps[t, 0].item() == pytest.approx(expected, rel=1e-4, abs=1e-7)
    assert checked >= 2


@pytest.mark.parametrize("mode", MODES)
def test_a_truncated_step_has_no_value_after_it_by_default(mode: AutoresetMode) -> None:
    config = counting_config()
    env = make_counting_env(mode=mode, truncated=(True,))
    actor = Actor(env, counting_policy(config), seed=1)
    trajectories, episodes = collect_unrolls(actor, config, 5)
    assert episodes
    for trajectory in trajectories:
        assert not trajectory.bootstraps.any()


@pytest.mark.parametrize("truncated", [False, True])
def test_bootstrapping_reaches_the_loss_of_truncated_episodes_only(truncated: bool) -> None:
    metrics = []
    for truncation in ("terminate", "bootstrap"):
        config = counting_config(truncation=truncation)
        policy = counting_policy(config)
        env = make_counting_env(truncated=(truncated,))
        actor = Actor(env, policy, seed=1, config=config)
        trajectory = collect_unrolls(actor, config, 1)[0][0]
        metrics.append(Learner(policy, config, 100).losses(trajectory).baseline.item())
    assert (metrics[0] != metrics[1]) == truncated


class FixedPolicy:
    """Always returns the same logits."""

    def __init__(self, *logits: float) -> None:
        self.logits = torch.tensor(logits)

    def initial_state(self, batch_size: int) -> torch.Tensor:
        return torch.zeros(2, batch_size, 0)

    def embed(self, observations: torch.Tensor) -> torch.Tensor:
        return observations.new_zeros((*observations.shape[:2], 0))

    def unroll(
        self,
        embeddings: torch.Tensor,
        first: torch.Tensor,
        last_actions: torch.Tensor,
        last_rewards: torch.Tensor,
        state: torch.Tensor,
    ) -> PolicyOutput:
        logits = self.logits.expand(*first.shape, NUM_ACTIONS)
        return PolicyOutput(logits, torch.zeros(first.shape), state)


def chosen(
    policy: FixedPolicy | UniformPolicy, *, seed: int = 0, greedy: bool = False
) -> NDArray[Any]:
    actor = Actor(make_counting_env(num_envs=100), policy, seed=seed, greedy=greedy)
    return np.stack([actor.step().actions.numpy() for _ in range(60)])


@pytest.mark.parametrize(
    ("policy", "probabilities"),
    [
        (FixedPolicy(np.log(0.2), np.log(0.7), np.log(0.1)), [0.2, 0.7, 0.1]),
        (UniformPolicy(NUM_ACTIONS), [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_actions_are_sampled_with_their_probabilities(
    policy: FixedPolicy | UniformPolicy, probabilities: list[float]
) -> None:
    actions = chosen(policy)
    for action, probability in enumerate(probabilities):
        deviation = np.sqrt(probability * (1 - probability) / actions.size)
        assert abs((actions == action).mean() - probability) < 5 * deviation


def test_a_greedy_actor_takes_the_most_probable_action() -> None:
    assert (chosen(FixedPolicy(0.1, 0.2, 0.15), greedy=True) == 1).all()


def test_the_seed_decides_the_actions() -> None:
    policy = UniformPolicy(NUM_ACTIONS)
    np.testing.assert_array_equal(chosen(policy, seed=5), chosen(policy, seed=5))
    assert (chosen(policy, seed=5) != chosen(policy, seed=6)).any()


def test_actions_that_are_not_discrete_are_refused() -> None:
    class Continuous(LuckEnv):
        def __init__(self) -> None:
            super().__init__()
            self.action_space = gymnasium.spaces.Box(-1, 1, (2,))  # type: ignore[assignment]

    with pytest.raises(InputError, match="actions must be discrete"):
        Actor(SyncVectorEnv([Continuous]), UniformPolicy(2), seed=0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_unrolls", [1, 2, 3])
def test_a_restored_actor_continues_exactly(mode: AutoresetMode, num_unrolls: int) -> None:
    config = counting_config()
    policy = counting_policy(config)
    actor = Actor(make_counting_env(mode=mode), policy, seed=1)
    assert isinstance(actor.env, Restorable)
    collect_unrolls(actor, config, num_unrolls)
    restored = Actor(make_counting_env(mode=mode), policy, seed=99)
    restored.set_state({name: tensor.clone() for name, tensor in actor.get_state().items()})
    expected, expected_episodes = collect_unrolls(actor, config, 4)
    found, episodes = collect_unrolls(restored, config, 4)
    assert episodes == expected_episodes
    for ours, theirs in zip(found, expected, strict=True):
        for name, tensor in ours.tensors().items():
            assert torch.equal(tensor, theirs.tensors()[name]), name


def test_an_environment_that_cannot_be_saved_starts_new_episodes_and_keeps_the_count() -> None:
    actor = Actor(make_luck_env(3), UniformPolicy(NUM_ACTIONS), seed=0)
    for _ in range(7):
        actor.step()
    restored = Actor(make_luck_env(3), UniformPolicy(NUM_ACTIONS), seed=1)
    restored.set_state(actor.get_state())
    assert restored.num_steps == actor.num_steps == 21
    assert restored.entry().first.all()
