from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from random_unrolls import random_trajectory

from thaw.config.agent import AgentConfig
from thaw.impala.losses import (
    Losses,
    action_log_probs,
    baseline_loss,
    entropy_loss,
    impala_losses,
    policy_loss,
)
from thaw.impala.vtrace import vtrace
from thaw.policy.trajectory import PolicyOutput, Trajectory

STEPS, BATCH, ACTIONS = 5, 3, 4
CONFIG = AgentConfig(reward_clip=None)


def random_logits(seed: int = 1) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(STEPS, BATCH, ACTIONS, generator=draw, dtype=torch.float64)


def random_steps(seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(STEPS, BATCH, generator=draw, dtype=torch.float64)


def random_actions() -> torch.Tensor:
    return torch.randint(ACTIONS, (STEPS, BATCH), generator=torch.Generator().manual_seed(2))


def made_up(seed: int = 0) -> Trajectory:
    return random_trajectory(STEPS, BATCH, ACTIONS, seed=seed, dtype=torch.float64)


def learner_output(seed: int = 5) -> PolicyOutput:
    """What a learner might say, with gradients to follow."""
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(STEPS + 1, BATCH, ACTIONS, generator=draw, dtype=torch.float64)
    values = torch.randn(STEPS + 1, BATCH, generator=draw, dtype=torch.float64)
    return PolicyOutput(logits.requires_grad_(), values.requires_grad_(), torch.zeros(2, BATCH, 8))


def gradients(losses: Losses, output: PolicyOutput) -> tuple[torch.Tensor, torch.Tensor]:
    logits, values = torch.autograd.grad(losses.total, [output.logits, output.values])
    return logits, values


# ------------------------------------------------------------------------- the three, one by one


def test_log_probability_of_an_action_by_hand() -> None:
    logits = torch.tensor([[[0.0, np.log(3.0)]], [[np.log(4.0), 0.0]]], dtype=torch.float64)
    log_probs = action_log_probs(logits, torch.tensor([[1], [1]]))
    np.testing.assert_allclose(log_probs, np.log([[0.75], [0.2]]))


def test_policy_loss_and_its_gradient_by_hand() -> None:
    logits = random_logits().requires_grad_()
    actions, advantages = random_actions(), random_steps(3).requires_grad_()
    loss = policy_loss(logits, actions, advantages)
    assert loss.shape == (STEPS, BATCH)
    probs = logits.detach().exp() / logits.detach().exp().sum(-1, keepdim=True)
    chosen = torch.eye(ACTIONS, dtype=torch.float64)[actions]
    expected = -((probs * chosen).sum(-1).log() * advantages)
    np.testing.assert_allclose(loss.detach(), expected.detach(), rtol=1e-12)
    # d(-log p(a) A) / dlogit_i = -A ([i = a] - p_i)
    torch.autograd.backward(loss.sum())
    assert logits.grad is not None
    by_hand = -advantages.detach().unsqueeze(-1) * (chosen - probs)
    np.testing.assert_allclose(logits.grad, by_hand, rtol=1e-10, atol=1e-13)
    assert advantages.grad is None


def test_baseline_loss_and_its_gradient_by_hand() -> None:
    values, targets = random_steps(1).requires_grad_(), random_steps(2).requires_grad_()
    loss = baseline_loss(values, targets)
    np.testing.assert_allclose(
        loss.detach(), (values - targets).detach().numpy() ** 2 / 2, rtol=1e-12
    )
    torch.autograd.backward(loss.sum())
    assert values.grad is not None
    np.testing.assert_allclose(values.grad, (values - targets).detach(), rtol=1e-12)
    assert targets.grad is None


def test_entropy_loss_and_its_gradient_by_hand() -> None:
    logits = random_logits().requires_grad_()
    loss = entropy_loss(logits)
    probs = logits.detach().softmax(-1)
    entropy = -(probs * probs.log()).sum(-1)
    np.testing.assert_allclose(loss.detach(), -entropy, rtol=1e-12)
    # d(sum_j p_j log p_j) / dlogit_i = p_i (log p_i + H)
    torch.autograd.backward(loss.sum())
    assert logits.grad is not None
    by_hand = probs * (probs.log() + entropy.unsqueeze(-1))
    np.testing.assert_allclose(logits.grad, by_hand, rtol=1e-10, atol=1e-13)


def test_minimizing_the_entropy_loss_makes_actions_more_equal() -> None:
    assert entropy_loss(torch.zeros(1, 1, 4)).item() == pytest.approx(-np.log(4))
    assert entropy_loss(torch.tensor([[[9.0, 0, 0, 0]]])) > entropy_loss(torch.zeros(1, 1, 4))


# ------------------------------------------------------------------------------- put together


def test_total_and_its_gradient_by_hand() -> None:
    config = AgentConfig(
        reward_clip=1.0, baseline_cost=0.3, entropy_cost=0.02, rho_bar=1.5, c_bar=0.8,
        pg_rho_bar=1.2, lambda_=0.9,
    )  # fmt: skip
    trajectory, output = made_up(), learner_output()
    losses = impala_losses(output, trajectory, config)

    # Everything again, from the definitions: entries 0 .. T-1 learn, entry T is the bootstrap.
    logits, values = output.logits.detach()[:-1], output.values.detach()[:-1]
    probs = logits.softmax(-1)
    behavior = trajectory.behavior_logits.softmax(-1)
    chosen = torch.eye(ACTIONS, dtype=torch.float64)[trajectory.actions]
    ratios = (probs * chosen).sum(-1) / (behavior * chosen).sum(-1)
    assert (trajectory.rewards.abs() > 1).any()
    targets = vtrace(
        ratios.log(), trajectory.discounts, trajectory.rewards.clip(-1, 1), values,
        output.values.detach()[-1], rho_bar=1.5, c_bar=0.8, pg_rho_bar=1.2, lambda_=0.9,
    )  # fmt: skip
    policy = -((probs * chosen).sum(-1).log() * targets.pg_advantages).sum()
    baseline = ((targets.vs - values) ** 2).sum() / 2
    entropy = (probs * probs.log()).sum()
    assert losses.policy.item() == pytest.approx(policy.item(), rel=1e-10)
    assert losses.baseline.item() == pytest.approx(baseline.item(), rel=1e-10)
    assert losses.entropy.item() == pytest.approx(entropy.item(), rel=1e-10)
    total = policy + 0.3 * baseline + 0.02 * entropy
    assert losses.total.item() == pytest.approx(total.item(), rel=1e-10)
    assert losses.mean_rho.item() == pytest.approx(ratios.mean().item(), rel=1e-10)

    logits_grad, values_grad = gradients(losses, output)
    by_hand = -targets.pg_advantages.unsqueeze(-1) * (chosen - probs)
    by_hand += 0.02 * probs * (probs.log() - (probs * probs.log()).sum(-1, keepdim=True))
    np.testing.assert_allclose(logits_grad[:-1], by_hand, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(values_grad[:-1], 0.3 * (values - targets.vs), rtol=1e-9)
    # The last entry is only the bootstrap, and no gradient reaches a target.
    assert not logits_grad[-1].any()
    assert not values_grad[-1].any()


def test_losses_are_sums_and_not_means() -> None:
    trajectory, output = made_up(), learner_output()
    twice = Trajectory(
        **{
            name: torch.cat((tensor, tensor), dim=1)
            for name, tensor in trajectory.tensors().items()
        },
        embeddings=None,
    )
    output_twice = PolicyOutput(
        torch.cat((output.logits, output.logits), dim=1),
        torch.cat((output.values, output.values), dim=1),
        output.state,
    )
    once, both = (
        impala_losses(output, trajectory, CONFIG), impala_losses(output_twice, twice, CONFIG)
    )  # fmt: skip
    for name in ("total", "policy", "baseline", "entropy"):
        assert getattr(both, name).item() == pytest.approx(2 * getattr(once, name).item())
    assert both.mean_rho.item() == pytest.approx(once.mean_rho.item())


def with_a_reset(trajectory: Trajectory, t: int, b: int) -> Trajectory:
    """In entry (t, b), the environment only resets itself."""
    valid, discounts = trajectory.valid.clone(), trajectory.discounts.clone()
    valid[t, b] = False
    discounts[t - 1 : t + 1, b] = 0
    return dataclasses.replace(trajectory, valid=valid, discounts=discounts)


@pytest.mark.parametrize("t", [1, STEPS - 1])
def test_whatever_the_entry_of_a_reset_holds_contributes_nothing(t: int) -> None:
    trajectory, output = with_a_reset(made_up(), t, 1), learner_output()
    before = impala_losses(output, trajectory, CONFIG)
    logits_before, values_before = gradients(before, output)
    for name in ("rewards", "behavior_logits", "actions", "bootstraps"):
        tensor = getattr(trajectory, name).clone()
        tensor[t, 1] = 3
        trajectory = dataclasses.replace(trajectory, **{name: tensor})
    trajectory.behavior_logits[t, 1, 0] = 9
    logits, values = output.logits.detach().clone(), output.values.detach().clone()
    logits[t, 1, 2], values[t, 1] = 7.0, 70.0
    changed = PolicyOutput(logits.requires_grad_(), values.requires_grad_(), output.state)
    after = impala_losses(changed, trajectory, CONFIG)
    for name in Losses._fields:
        assert getattr(after, name).item() == pytest.approx(getattr(before, name).item()), name
    logits_after, values_after = gradients(after, changed)
    assert not logits_after[t, 1].any()
    assert not values_after[t, 1].any()
    np.testing.assert_allclose(logits_after, logits_before, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(values_after, values_before, rtol=1e-9, atol=1e-12)


def test_the_same_entry_counts_if_it_is_a_step_and_no_reset() -> None:
    trajectory, output = with_a_reset(made_up(), 2, 1), learner_output()
    masked = impala_losses(output, trajectory, CONFIG)
    everything = dataclasses.replace(trajectory, valid=torch.ones_like(trajectory.valid))
    unmasked = impala_losses(output, everything, CONFIG)
    for name in Losses._fields:
        assert getattr(masked, name).item() != pytest.approx(getattr(unmasked, name).item()), name


def one_step(
    reward: float, *, discount: float, bootstrap: float, value: float, next_value: float
) -> tuple[Trajectory, PolicyOutput]:
    trajectory = random_trajectory(1, 1, 2, dtype=torch.float64)
    trajectory = dataclasses.replace(
        trajectory,
        actions=torch.tensor([[1]]),
        rewards=torch.tensor([[reward]], dtype=torch.float64),
        discounts=torch.tensor([[discount]], dtype=torch.float64),
        bootstraps=torch.tensor([[bootstrap]], dtype=torch.float64),
        behavior_logits=torch.zeros(1, 1, 2, dtype=torch.float64),
    )
    values = torch.tensor([[value], [next_value]], dtype=torch.float64)
    return trajectory, PolicyOutput(
        torch.zeros(2, 1, 2, dtype=torch.float64), values, trajectory.state
    )


@pytest.mark.parametrize(
    ("reward", "clip", "discount", "bootstrap", "target"),
    [
        pytest.param(0.5, 1.0, 0.9, 0.0, 0.5 + 0.9 * 4, id="within an episode"),
        pytest.param(5.0, 1.0, 0.9, 0.0, 1.0 + 0.9 * 4, id="reward clipped from above"),
        pytest.param(-5.0, 1.0, 0.9, 0.0, -1.0 + 0.9 * 4, id="and from below"),
        pytest.param(5.0, 2.5, 0.9, 0.0, 2.5 + 0.9 * 4, id="another clip"),
        pytest.param(5.0, None, 0.9, 0.0, 5.0 + 0.9 * 4, id="no clip"),
        pytest.param(0.5, 1.0, 0.0, 0.0, 0.5, id="terminated"),
        pytest.param(0.5, 1.0, 0.0, 3.0, 3.5, id="truncated, with a value after it"),
        pytest.param(5.0, 1.0, 0.0, 3.0, 4.0, id="that value is not clipped"),
    ],
)
def test_target_of_one_step_by_hand(
    reward: float, clip: float | None, discount: float, bootstrap: float, target: float
) -> None:
    trajectory, output = one_step(
        reward, discount=discount, bootstrap=bootstrap, value=2.0, next_value=4.0
    )
    losses = impala_losses(output, trajectory, AgentConfig(reward_clip=clip))
    assert losses.mean_rho.item() == 1
    assert losses.baseline.item() == pytest.approx((target - 2) ** 2 / 2)
    # Both actions are equally likely, so log pi(a) = -log 2.
    assert losses.policy.item() == pytest.approx(np.log(2) * (target - 2))


def test_rewards_are_scaled_and_then_clipped() -> None:
    targets = []
    for scale, clip in ((0.1, None), (0.1, 0.3), (1.0, 0.3)):
        trajectory, output = one_step(5.0, discount=0.0, bootstrap=0.0, value=0.0, next_value=4.0)
        config = AgentConfig(reward_scale=scale, reward_clip=clip)
        targets.append((2 * impala_losses(output, trajectory, config).baseline.item()) ** 0.5)
    assert targets == pytest.approx([0.5, 0.3, 0.3])


def test_clipping_leaves_the_trajectory_alone() -> None:
    trajectory = made_up()
    rewards = trajectory.rewards.clone()
    impala_losses(learner_output(), trajectory, AgentConfig(reward_clip=0.1))
    assert torch.equal(trajectory.rewards, rewards)
