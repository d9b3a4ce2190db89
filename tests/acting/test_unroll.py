"""Every entry of an unroll holds what belongs together."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from counting_env import make_counting_env
from counting_unrolls import (
    GAMMA,
    MODES,
    collect_unrolls,
    counting_config,
    counting_policy,
    lengths_of,
    seen_in,
)
from gymnasium.vector import AutoresetMode

from thaw.acting.actor import Actor
from thaw.acting.collector import Collector
from thaw.acting.unroll import collect, empty_trajectory
from thaw.config.agent import AgentConfig
from thaw.envs.families import make_env
from thaw.impala.learner import Learner
from thaw.policy.policy import Policy
from thaw.training.clocks import Lockstep


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("unroll_length", [1, 4, 7])
def test_every_step_of_an_unroll_holds_what_belongs_together(
    mode: AutoresetMode, unroll_length: int
) -> None:
    config = counting_config(unroll_length=unroll_length)
    actor = Actor(make_counting_env(mode=mode), counting_policy(config), seed=1)
    trajectories, _ = collect_unrolls(actor, config, 12)
    for trajectory in trajectories:
        seen = seen_in(trajectory)
        valid = trajectory.valid.numpy()
        np.testing.assert_array_equal(seen.environment, np.tile([0, 1], (unroll_length + 1, 1)))
        # A reward names the observation it leads to and the action that earned it.
        led_to = (trajectory.rewards - trajectory.actions / 16).numpy()
        np.testing.assert_array_equal(led_to[valid], seen.transitions[1:][valid])
        np.testing.assert_array_equal(led_to[valid], seen.transitions[:-1][valid] + 1)
        # The next entry remembers exactly this step.
        assert torch.equal(trajectory.last_actions[1:], trajectory.actions)
        assert torch.equal(trajectory.last_rewards[1:], trajectory.rewards)
        # Episodes start where the environment says 0 steps, and nowhere else.
        np.testing.assert_array_equal(trajectory.first.numpy(), seen.steps == 0)
        # Only a step that ends its episode is not discounted further.
        ends = seen.steps + 1 == lengths_of(seen)
        expected = np.where(valid & ~ends[:-1], np.float32(GAMMA), 0)
        np.testing.assert_array_equal(trajectory.discounts.numpy(), expected)
        # A reset step is what follows an episode's last observation, in one mode of the three.
        over = seen.steps == lengths_of(seen)
        np.testing.assert_array_equal(valid, ~over[:-1])
        assert not trajectory.rewards.numpy()[~valid].any()
    all_valid = all(bool(trajectory.valid.all()) for trajectory in trajectories)
    assert all_valid == (mode != AutoresetMode.NEXT_STEP)
    assert any(bool((trajectory.discounts == 0).any()) for trajectory in trajectories)


@pytest.mark.parametrize("mode", MODES)
def test_unrolls_overlap_by_exactly_one_entry(mode: AutoresetMode) -> None:
    config = counting_config()
    actor = Actor(make_counting_env(mode=mode), counting_policy(config), seed=1)
    trajectories, _ = collect_unrolls(actor, config, 8)
    for before, after in itertools.pairwise(trajectories):
        for name in ("observations", "first", "last_actions", "last_rewards"):
            assert torch.equal(getattr(before, name)[-1], getattr(after, name)[0]), name
    # All steps of the environments are there, once.
    for b in (0, 1):
        rows = [(t.rewards - t.actions / 16)[:, b][t.valid[:, b]].numpy() for t in trajectories]
        steps = np.concatenate(rows)
        np.testing.assert_array_equal(steps, np.arange(1, len(steps) + 1))


@pytest.mark.parametrize("mode", MODES)
def test_the_stored_state_is_what_the_actor_had_before_entry_0(mode: AutoresetMode) -> None:
    config = counting_config()
    policy = counting_policy(config)
    actor = Actor(make_counting_env(mode=mode), policy, seed=1)
    trajectories, _ = collect_unrolls(actor, config, 8)
    state = policy.initial_state(2)
    for trajectory in trajectories:
        np.testing.assert_allclose(trajectory.state, state, rtol=1e-5, atol=1e-6)
        assert trajectory.observations is not None
        with torch.no_grad():
            state = policy.unroll(
                policy.embed(trajectory.observations[:-1]), trajectory.first[:-1],
                trajectory.last_actions[:-1], trajectory.last_rewards[:-1], state,
            ).state  # fmt: skip
        assert (state.abs() > 0.01).any(), "a state of zeros would prove nothing"


@pytest.mark.parametrize("mode", MODES)
def test_the_learner_s_logits_are_the_actor_s(mode: AutoresetMode) -> None:
    """Across ends of episodes and unrolls, and so every importance weight is 1."""
    config = counting_config()
    policy = counting_policy(config)
    actor = Actor(make_counting_env(mode=mode), policy, seed=1)
    learner = Learner(policy, config, 1000)
    for trajectory in collect_unrolls(actor, config, 8)[0]:
        assert trajectory.observations is not None
        with torch.no_grad():
            output = policy.unroll(
                policy.embed(trajectory.observations), trajectory.first, trajectory.last_actions,
                trajectory.last_rewards, trajectory.state,
            )  # fmt: skip
        np.testing.assert_allclose(
            output.logits[:-1], trajectory.behavior_logits, rtol=1e-5, atol=1e-5
        )
        assert learner.losses(trajectory).mean_rho.item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_in_lockstep_every_importance_weight_is_1_while_the_weights_change(
    mode: AutoresetMode,
) -> None:
    config = counting_config(learning_rate=0.01)
    learner = Learner(counting_policy(config), config, 1000)
    clock = Lockstep(lambda p: Collector([Actor(make_counting_env(mode=mode), p, seed=1)]), learner)
    for _ in range(8):
        before = learner.policy.head.policy.weight.clone()
        metrics = clock.update(last=False).metrics
        assert metrics["mean_rho"].item() == pytest.approx(1, abs=1e-5)
        assert (learner.policy.head.policy.weight - before).abs().max() > 1e-3


def test_images_stay_bytes_and_embeddings_take_their_place() -> None:
    config = AgentConfig(
        embedding="impala_shallow", embedding_size=16, lstm_size=8, fc_size=8, unroll_length=3
    )
    env = make_env("catch", 2, downsample=16)
    torch.manual_seed(0)
    policy = Policy((30, 20, 3), 54, config).eval()
    actor = Actor(env, policy, seed=0)
    images = empty_trajectory(actor, config, store_embeddings=False)
    assert images.observations is not None
    assert images.observations.dtype == torch.uint8
    assert images.observations.shape == (4, 2, 30, 20, 3)
    assert images.embeddings is None

    unroll = empty_trajectory(actor, config, store_embeddings=True)
    seen = [actor.entry().observations]
    collect(actor, unroll, 0.99)
    assert unroll.observations is None
    assert unroll.embeddings is not None
    assert unroll.embeddings.shape == (4, 2, 16)
    seen.append(actor.entry().observations)
    with torch.no_grad():
        for t, observation in zip((0, 3), seen, strict=True):
            np.testing.assert_allclose(
                unroll.embeddings[t], policy.embed(observation)[0], rtol=1e-5
            )
