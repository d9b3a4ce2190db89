from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from random_unrolls import random_trajectory

from thaw.acting.actor import Actor
from thaw.acting.unroll import collect, empty_trajectory
from thaw.config.agent import AgentConfig
from thaw.config.update_rule import UpdateRule
from thaw.envs.families import make_env
from thaw.impala.learner import Learner
from thaw.policy.policy import Policy
from thaw.policy.trajectory import Trajectory
from thaw.policy.update_rules import apply_update_rule, trained_parameters
from thaw.training.clocks import acting_copy

IMAGE = (36, 36, 3)
SMALL: dict[str, Any] = {
    "embedding": "impala_shallow", "embedding_size": 16, "lstm_size": 8, "fc_size": 8,
    "unroll_length": 5,
}  # fmt: skip
MLP = AgentConfig(embedding="mlp", embedding_size=8, lstm_size=8, fc_size=8, unroll_length=5)
Arrays = dict[str, NDArray[np.float64]]


def small_policy(config: AgentConfig, rule: str = "scratch") -> Policy:
    torch.manual_seed(0)
    policy = Policy(IMAGE, 4, config)
    tensors = {n: t.clone() for n, t in policy.parts()}
    apply_update_rule(policy, UpdateRule(rule), tensors, steps=60)
    return policy


def gradients_of(policy: Policy, config: AgentConfig, trajectory: Trajectory) -> Arrays:
    """The loss's gradients of everything that trains, by plain autograd on a copy."""
    policy = copy.deepcopy(policy)
    losses = Learner(policy, config, 1).losses(trajectory)
    parameters = trained_parameters(policy)
    grads = torch.autograd.grad(losses.total, list(parameters.values()))
    return {name: g.double().numpy() for name, g in zip(parameters, grads, strict=True)}


def weights(policy: Policy) -> Arrays:
    return {name: tensor.detach().double().numpy().copy() for name, tensor in policy.parts()}


def norm_of(gradients: Arrays) -> float:
    return float(np.sqrt(sum((g**2).sum() for g in gradients.values())))


OPTIONS = {
    "rates": "embedding=source:trained:lr=0.1,head=source:trained:lr=3",
    "pull": "embedding=source:trained:pull=50,head=source:trained",
    "begins": "embedding=source:trained@16,head=source:trained",
    "ends": "embedding=source:frozen@15,head=source:trained",
    "in turn": "embedding=source:frozen@50%,head=source:trained@50%",
}
RATES = {"rates": {"embedding": 0.1, "head": 3.0}}
PULLS = {"pull": {"embedding": 50.0}}
CHANGES = {"begins": 2, "ends": 1, "in turn": 2}
"""Before which of the updates at 0, 15, 30 and 45 steps something begins or ends to train."""


def trained_by_hand(rule: str, steps: int) -> tuple[str, ...]:
    match rule:
        case "freeze_embedding":
            return ("head",)
        case "freeze_head":
            return ("embedding",)
        case "begins":
            return ("embedding", "head") if steps >= 16 else ("head",)
        case "ends":
            return ("head",) if steps >= 15 else ("embedding", "head")
        case "in turn":
            return ("head",) if steps >= 30 else ("embedding",)
    return ("embedding", "head")


class ByHand:
    """One optimizer for one array, written out in NumPy."""

    def __init__(self, name: str, momentum: float) -> None:
        self.name, self.momentum, self.num_steps = name, momentum, 0
        self.first: Any = 0.0
        self.square: Any = 1.0 if name == "rmsprop" else 0.0
        self.velocity: Any = 0.0

    def step(self, g: NDArray[np.float64], rate: float) -> Any:
        """What is subtracted from the weights."""
        self.num_steps += 1
        decay = 0.999 if self.name == "adam" else 0.9
        self.first = 0.9 * self.first + 0.1 * g
        self.square = decay * self.square + (1 - decay) * g**2
        unbiased = np.sqrt(self.square / (1 - decay**self.num_steps))
        match self.name:
            case "rmsprop":  # epsilon inside the root, the rate inside the momentum
                move = rate * g / np.sqrt(self.square + 0.03)
                self.velocity = self.momentum * self.velocity + move
                return self.velocity
            case "rmsprop_torch":
                move = g / (np.sqrt(self.square) + 0.03)
                self.velocity = self.momentum * self.velocity + move
                return rate * self.velocity
            case "rmsprop_unbiased":
                return rate * g / (unbiased + 0.03)
            case _:
                return rate * self.first / (1 - 0.9**self.num_steps) / (unbiased + 0.07)


@pytest.mark.parametrize(
    ("optimizer", "momentum"),
    [
        ("rmsprop", 0.0), ("rmsprop", 0.9), ("rmsprop_torch", 0.0), ("rmsprop_torch", 0.9),
        ("rmsprop_unbiased", 0.0), ("adam", 0.0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rule", ["scratch", "freeze_embedding", "freeze_head", *OPTIONS])
def test_four_steps_equal_the_optimizer_by_hand(optimizer: Any, momentum: float, rule: str) -> None:
    config = AgentConfig(
        **SMALL, learning_rate=0.02, rmsprop_decay=0.9, rmsprop_epsilon=0.03, optimizer=optimizer,
        rmsprop_momentum=momentum, max_gradient_norm=0.5, adam_epsilon=0.07,
    )  # fmt: skip
    policy = small_policy(config, OPTIONS.get(rule, rule))
    learner = Learner(policy, config, total_steps=60)
    expected = weights(policy)
    by_hand: dict[str, ByHand] = {}
    start, rate_of, pull_of = weights(policy), RATES.get(rule, {}), PULLS.get(rule, {})
    for update, steps in enumerate((0, 15, 30, 45)):
        trajectory = random_trajectory(seed=update)
        assert learner.advance(steps) == (update == CHANGES.get(rule))
        gradients = gradients_of(policy, config, trajectory)
        assert {name.split(".")[0] for name in gradients} == set(trained_by_hand(rule, steps))
        for name in gradients:
            pull = pull_of.get(name.split(".")[0], 0.0)
            gradients[name] = gradients[name] + pull * (expected[name] - start[name])
        optimized = [p for group in learner.optimizer.param_groups for p in group["params"]]
        assert {id(p) for p in optimized} == {id(policy.get_parameter(n)) for n in gradients}
        # Who begins has fresh state, who goes on keeps it, who ends is forgotten.
        by_hand = {name: mine for name, mine in by_hand.items() if name in gradients}
        norm = norm_of(gradients)
        assert norm > 0.5, "the clip must be active"
        for name, gradient in gradients.items():
            mine = by_hand.setdefault(name, ByHand(optimizer, momentum))
            clipped = gradient * 0.5 / (norm + 1e-6)
            rate = 0.02 * rate_of.get(name.split(".")[0], 1.0)
            expected[name] = expected[name] - mine.step(clipped, rate * (1 - steps / 60))
        metrics = learner.update(trajectory, steps)
        assert metrics["gradient_norm"].item() == pytest.approx(norm, rel=1e-4)
    assert learner.num_updates == 4
    for name, value in weights(policy).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=4e-6, err_msg=name)


def test_the_first_step_is_small_and_pytorch_s_is_ten_times_too_long() -> None:
    """Why a transfer of PyTorch's form begins with a kick (docs/reproducing.md, point 17)."""
    moves = {}
    for optimizer in ("rmsprop", "rmsprop_torch", "rmsprop_unbiased", "adam"):
        config = AgentConfig(
            **SMALL, optimizer=optimizer, rmsprop_epsilon=1e-10, adam_epsilon=1e-10,
            learning_rate=1e-3,
        )  # fmt: skip
        policy = small_policy(config)
        before = weights(policy)
        Learner(policy, config, 100).update(random_trajectory(), 0)
        after = weights(policy)
        moves[optimizer] = max(float(np.abs(after[n] - before[n]).max()) for n in before) / 1e-3
    assert moves["rmsprop"] < 10
    assert moves["rmsprop_torch"] == pytest.approx(10, rel=0.01)
    assert moves["rmsprop_unbiased"] == pytest.approx(1, rel=0.01)
    assert moves["adam"] == pytest.approx(1, rel=0.01)


def test_small_gradients_are_not_scaled() -> None:
    trajectory = random_trajectory()
    policies = []
    for max_norm in (1e3, 1e6):
        config = AgentConfig(**SMALL, max_gradient_norm=max_norm)
        policies.append(small_policy(config))
        assert Learner(policies[-1], config, 10).update(trajectory, 0)["gradient_norm"] < max_norm
    for name, value in weights(policies[0]).items():
        np.testing.assert_array_equal(value, weights(policies[1])[name])


@pytest.mark.parametrize("rule", ["freeze_embedding", "freeze_head"])
def test_a_huge_gradient_of_a_frozen_part_does_not_move_the_clip(rule: str) -> None:
    config = AgentConfig(**SMALL, max_gradient_norm=1.0)
    trajectory = random_trajectory()
    norms, results = [], []
    for leftover in (None, 1e6):
        policy = small_policy(config, rule)
        if leftover is not None:
            for name, parameter in policy.named_parameters():
                if name in policy.frozen:
                    parameter.grad = torch.full_like(parameter, leftover)
        norms.append(Learner(policy, config, 10).update(trajectory, 0)["gradient_norm"].item())
        results.append(weights(policy))
    assert norms[0] == norms[1]
    for name, value in results[0].items():
        np.testing.assert_array_equal(value, results[1][name], err_msg=name)


def test_the_norm_is_that_of_what_trains() -> None:
    trajectory = random_trajectory()
    config = AgentConfig(**SMALL)
    everything = gradients_of(small_policy(config), config, trajectory)
    head = {name: g for name, g in everything.items() if name.startswith("head.")}
    assert norm_of(head) < 0.99 * norm_of(everything)
    learner = Learner(small_policy(config, "freeze_embedding"), config, 10)
    norm = learner.update(trajectory, 0)["gradient_norm"].item()
    assert norm == pytest.approx(norm_of(head), rel=1e-4)


def test_learning_rate_falls_linearly_to_zero_or_stays() -> None:
    config = AgentConfig(**SMALL, learning_rate=0.5)
    learner = Learner(small_policy(config), config, total_steps=200)
    assert [learner.learning_rate(steps) for steps in (0, 50, 150, 200, 300)] == [
        0.5, 0.375, 0.125, 0.0, 0.0,
    ]  # fmt: skip
    config = AgentConfig(**SMALL, learning_rate=0.5, learning_rate_schedule="constant")
    learner = Learner(small_policy(config), config, total_steps=200)
    assert [learner.learning_rate(steps) for steps in (0, 150, 300)] == [0.5, 0.5, 0.5]


def test_at_the_end_of_a_linear_schedule_nothing_moves() -> None:
    config = AgentConfig(**SMALL)
    policy = small_policy(config)
    before = weights(policy)
    Learner(policy, config, total_steps=100).update(random_trajectory(), 100)
    for name, value in weights(policy).items():
        np.testing.assert_array_equal(value, before[name])


def test_metrics_are_scalars_without_gradient() -> None:
    config = AgentConfig(**SMALL)
    metrics = Learner(small_policy(config), config, 10).update(random_trajectory(), 0)
    assert set(metrics) == {
        "total_loss", "policy_loss", "baseline_loss", "entropy_loss", "mean_rho", "gradient_norm",
    }  # fmt: skip
    for value in metrics.values():
        assert value.shape == ()
        assert not value.requires_grad
        assert torch.isfinite(value)


def test_the_learner_starts_from_the_stored_state() -> None:
    config = AgentConfig(**SMALL)
    learner = Learner(small_policy(config), config, 10)
    trajectory = random_trajectory()
    other = dataclasses.replace(trajectory, state=trajectory.state + 1)
    assert learner.losses(trajectory).total != learner.losses(other).total
    # Where all episodes start at entry 0, the state before them has no effect.
    first = trajectory.first.clone()
    first[0] = True
    fresh, other = (dataclasses.replace(t, first=first) for t in (trajectory, other))
    assert torch.equal(learner.losses(fresh).total, learner.losses(other).total)


SLOTS = {"rmsprop": 1, "rmsprop_torch": 2, "rmsprop_unbiased": 3, "adam": 3}
"""Tensors that an optimizer keeps for each parameter, without momentum."""


@pytest.mark.parametrize(
    ("optimizer", "momentum"),
    [*((name, 0.0) for name in SLOTS), ("rmsprop", 0.9), ("rmsprop_torch", 0.9)],
)
def test_a_restored_learner_goes_on_bit_for_bit(optimizer: Any, momentum: float) -> None:
    config = AgentConfig(
        **SMALL | {"embedding": "impala_deep"}, optimizer=optimizer, rmsprop_momentum=momentum
    )
    policy = small_policy(config)
    learner = Learner(policy, config, 100)
    for seed in range(2):
        learner.update(random_trajectory(seed=seed), 15 * seed)
    restored_policy = small_policy(config)
    with torch.no_grad():
        for (_, target), (_, value) in zip(restored_policy.parts(), policy.parts(), strict=True):
            target.copy_(value)
    restored = Learner(restored_policy, config, 100)
    # As from a file: the memory layout of convolutions' weights is not kept there.
    state = {name: t.clone().contiguous() for name, t in learner.state_tensors().items()}
    restored.load_state_tensors(state, learner.num_updates)
    for seed in range(2, 5):
        for each in (learner, restored):
            each.update(random_trajectory(seed=seed), 15 * seed)
    assert restored.num_updates == learner.num_updates == 5
    for (name, value), (_, expected) in zip(restored_policy.parts(), policy.parts(), strict=True):
        assert torch.equal(value, expected), name
    assert len(state) == len(learner.parameters) * (SLOTS[optimizer] + (momentum > 0))


def test_a_frozen_embedding_computed_by_the_actor_equals_the_long_way() -> None:
    """The learner gets 256 numbers instead of images, and nothing else is different."""
    config = AgentConfig(
        **SMALL | {"unroll_length": 20, "embedding_size": 32}, learning_rate=0.01,
        learning_rate_schedule="constant",
    )  # fmt: skip
    rule = UpdateRule("freeze_embedding")
    losses: dict[bool, list[dict[str, torch.Tensor]]] = {}
    policies: dict[bool, Policy] = {}
    for store_embeddings in (False, True):
        env = make_env("catch", 4, downsample=16, frames_per_step=16)
        assert env.single_observation_space.shape is not None
        torch.manual_seed(0)
        policy = Policy(env.single_observation_space.shape, 54, config)
        apply_update_rule(policy, rule, {n: t.clone() for n, t in policy.parts()})
        assert policy.embedding_frozen
        learner = Learner(policy, config, 10_000)
        # The same behavior for both: what is compared is only how the learner learns from it.
        actor = Actor(env, acting_copy(policy), seed=3)
        unroll = empty_trajectory(actor, config, store_embeddings=store_embeddings)
        assert (unroll.embeddings is not None) == store_embeddings
        assert (unroll.observations is None) == store_embeddings
        losses[store_embeddings] = []
        for update in range(5):
            collect(actor, unroll, config.discount)
            losses[store_embeddings].append(learner.update(unroll, 80 * update))
        policies[store_embeddings] = policy
    for long_way, short_way in zip(losses[False], losses[True], strict=True):
        for name, value in long_way.items():
            assert short_way[name].item() == pytest.approx(value.item(), rel=1e-4, abs=1e-5), name
    assert losses[True][0]["total_loss"] != losses[True][1]["total_loss"]
    long_way_weights, short_way_weights = weights(policies[False]), weights(policies[True])
    for name, weight in long_way_weights.items():
        np.testing.assert_allclose(short_way_weights[name], weight, rtol=1e-4, atol=1e-5)


def test_every_trained_parameter_is_in_one_group_with_its_part_s_rate() -> None:
    config = AgentConfig(**SMALL, learning_rate=0.5)
    rule = "embedding=source:trained:lr=0.1,head=source:trained,head.value=source:trained:lr=2"
    policy = small_policy(config, rule)
    learner = Learner(policy, config, total_steps=100)
    learner.update(random_trajectory(), 50)
    rates = {
        id(parameter): group["lr"]
        for group in learner.optimizer.param_groups
        for parameter in group["params"]
    }
    sizes = [len(group["params"]) for group in learner.optimizer.param_groups]
    assert sum(sizes) == len(rates) == len(list(policy.parameters()))
    for name, parameter in policy.named_parameters():
        times = 0.1 if name.startswith("embedding.") else 2 if "value" in name else 1
        assert rates[id(parameter)] == 0.25 * times, name


@pytest.mark.parametrize("rule", ["scratch", "freeze_embedding", *OPTIONS.values()])
def test_from_memory_of_its_own_as_on_a_gpu_it_learns_the_same(rule: str) -> None:
    config = AgentConfig(**SMALL, learning_rate=0.02)
    plain = Learner(small_policy(config, rule), config, total_steps=100)
    copying = Learner(small_policy(config, rule), config, total_steps=100)
    copying.is_replayed = True
    first = random_trajectory(seed=0)
    for update in range(5):
        trajectory = random_trajectory(seed=update) if update else first
        expected = plain.update(trajectory, 15 * update)
        found = copying.update(trajectory, 15 * update)
        assert {n: float(v) for n, v in found.items()} == {n: float(v) for n, v in expected.items()}
        for tensor in trajectory.tensors().values():
            tensor.zero_()  # a learner that still reads it would differ
    assert not any(tensor.any() for tensor in first.tensors().values()), "or writes to it"
    learned = weights(copying.policy)
    for name, expected_weights in weights(plain.policy).items():
        np.testing.assert_array_equal(learned[name], expected_weights)


def test_on_a_gpu_an_update_is_captured_again_where_a_part_begins_or_ends() -> None:
    config = AgentConfig(**SMALL, learning_rate=0.02)
    learner = Learner(small_policy(config, OPTIONS["begins"]), config, total_steps=100)
    learner.is_replayed = True
    captured = []
    for update in range(4):
        learner.update(random_trajectory(seed=update), 15 * update)
        captured.append(learner.replayed)
    assert captured[0] is captured[1]
    assert captured[1] is not captured[2]
    assert captured[2] is captured[3]


def test_float_observations_reach_the_learner_unchanged() -> None:
    env = make_env("gym/CartPole-v1", 3)
    policy = Policy((4,), 2, MLP)
    actor = Actor(env, policy, seed=1)
    unroll = empty_trajectory(actor, MLP, store_embeddings=False)
    first = actor.entry().observations[0].clone()
    collect(actor, unroll, 0.99)
    observations = unroll.observations
    assert observations is not None
    assert observations.dtype == torch.float32
    torch.testing.assert_close(observations[0], first, rtol=0, atol=0)
    assert np.unique(observations.numpy()).size > 3 * 4 * 5
    env.close()


@pytest.mark.parametrize("frozen", [False, True])
def test_the_learner_trains_an_mlp_unless_it_is_frozen(frozen: bool) -> None:
    env = make_env("gym/CartPole-v1", 3)
    policy = Policy((4,), 2, MLP)
    before = {name: tensor.detach().clone() for name, tensor in policy.parts()}
    rule = f"embedding=source:{'frozen' if frozen else 'trained'},head=source:trained"
    apply_update_rule(policy, UpdateRule(rule), before)
    learner = Learner(policy, MLP, 1000)
    actor = Actor(env, policy, seed=1)
    unroll = empty_trajectory(actor, MLP, store_embeddings=policy.embedding_frozen)
    collect(actor, unroll, 0.99)
    learner.update(unroll, 0)
    after = dict(policy.parts())["embedding.linear0.weight"]
    assert torch.equal(before["embedding.linear0.weight"], after) == frozen
    env.close()
