from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from thaw.acting.actor import Actor
from thaw.acting.collector import Collector
from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.named_rules import NAMED_RULES, PAPER_RULES
from thaw.config.update_rule import UpdateRule
from thaw.envs.families import make_env
from thaw.impala.learner import Learner
from thaw.policy.policy import Policy
from thaw.policy.update_rules import apply_update_rule, trained_parameters
from thaw.training.clocks import Lockstep, Overlapped

SMALL: dict[str, Any] = {
    "embedding": "impala_shallow", "embedding_size": 16, "lstm_size": 8, "fc_size": 8,
    "unroll_length": 10, "learning_rate": 1e-3, "learning_rate_schedule": "constant",
}  # fmt: skip
Tensors = dict[str, torch.Tensor]

OWN_RULES = {
    "one layer": "embedding=source:frozen,embedding.linear=source:trained,head=source:frozen",
    "one module of the head": "embedding=source:frozen,head=source:trained,head.lstm=source:frozen",
    "one tensor": "embedding=source:trained,head=source:trained,head.value.bias=source:frozen",
    "the longest match wins": (
        "embedding=source:trained,embedding.sections=source:frozen,"
        "embedding.sections.2=random:trained,head=random:frozen,head.policy=source:trained"
    ),
    "one convolution": (
        "embedding=source:frozen,embedding.sections.0=source:trained,head=source:trained"
    ),
}
ALL_RULES = {**{name: NAMED_RULES[name].text for name in PAPER_RULES}, **OWN_RULES}


def trains_by_hand(rule: str, tensor_name: str) -> bool:
    """What each rule means, spelt out without the code under test."""
    part = tensor_name.split(".")[0]
    match rule:
        case "scratch" | "update_all":
            return True
        case "freeze_embedding":
            return part == "head"
        case "freeze_head":
            return part == "embedding"
        case "freeze_all":
            return False
        case "one layer":
            return tensor_name in ("embedding.linear.weight", "embedding.linear.bias")
        case "one module of the head":
            return part == "head" and tensor_name.split(".")[1] != "lstm"
        case "one tensor":
            return tensor_name != "head.value.bias"
        case "the longest match wins":
            return tensor_name.startswith(("embedding.linear.", "embedding.sections.2.")) or (
                tensor_name in ("head.policy.weight", "head.policy.bias")
            )
        case "one convolution":
            return part == "head" or tensor_name.startswith("embedding.sections.0.")
    raise AssertionError(rule)


def random_by_hand(rule: str, tensor_name: str) -> bool:
    """Where weights come from, likewise."""
    if rule == "the longest match wins":
        return tensor_name.startswith("embedding.sections.2.") or (
            tensor_name.startswith("head.") and not tensor_name.startswith("head.policy.")
        )
    return rule == "scratch"


def small_policy(seed: int, embedding: str = "impala_shallow") -> Policy:
    torch.manual_seed(seed)
    return Policy((30, 20, 3), 54, AgentConfig(**SMALL | {"embedding": embedding}))


def tensors_of(policy: Policy) -> Tensors:
    return {name: tensor.detach().clone() for name, tensor in policy.parts()}


def learn(policy: Policy, num_updates: int = 3, clock: str = "lockstep") -> Learner:
    """Act in Catch and learn, with the machinery of a real run."""
    env = make_env("catch", 3, downsample=16, frames_per_step=32)
    learner = Learner(policy, policy.config, 10_000)
    clocks: dict[str, type[Lockstep] | type[Overlapped]] = {
        "lockstep": Lockstep, "overlapped": Overlapped,
    }  # fmt: skip
    running = clocks[clock](lambda acting: Collector([Actor(env, acting, seed=0)]), learner)
    for _ in range(num_updates):
        running.update(last=False)
    running.close()
    return learner


@pytest.mark.parametrize("name", ALL_RULES)
def test_frozen_tensors_stay_bitwise_and_the_others_move(name: str) -> None:
    source, policy = tensors_of(small_policy(1)), small_policy(2)
    frozen = apply_update_rule(policy, UpdateRule(ALL_RULES[name]), source)
    before = tensors_of(policy)
    expected = {tensor_name for tensor_name in before if trains_by_hand(name, tensor_name)}
    assert set(trained_parameters(policy)) == expected
    assert policy.frozen == set(before) - expected
    if not expected:
        return  # nothing trains, and no learner is ever built for it
    learner = learn(policy)
    for tensor_name, tensor in tensors_of(policy).items():
        changed = not torch.equal(tensor, before[tensor_name])
        assert changed == (tensor_name in expected), tensor_name
    frozen.check()

    optimized = {id(p) for group in learner.optimizer.param_groups for p in group["params"]}
    by_name = dict(policy.named_parameters())
    assert optimized == {id(by_name[tensor_name]) for tensor_name in expected}
    for tensor_name, parameter in by_name.items():
        assert parameter.requires_grad == (tensor_name in expected)
        assert (parameter.grad is not None) == (tensor_name in expected), tensor_name


@pytest.mark.parametrize("name", ["freeze_embedding", "freeze_head"])
def test_the_actor_of_the_overlapped_clock_changes_nothing_either(name: str) -> None:
    policy = small_policy(1)
    apply_update_rule(policy, UpdateRule(name), tensors_of(policy))
    before = tensors_of(policy)
    learn(policy, clock="overlapped")
    for tensor_name, tensor in tensors_of(policy).items():
        changed = not torch.equal(tensor, before[tensor_name])
        assert changed == trains_by_hand(name, tensor_name), tensor_name


@pytest.mark.parametrize("name", ALL_RULES)
def test_weights_come_from_where_the_rule_says(name: str) -> None:
    source, policy = tensors_of(small_policy(1)), small_policy(2)
    fresh = tensors_of(policy)
    untouched = copy.deepcopy(source)
    apply_update_rule(policy, UpdateRule(ALL_RULES[name]), source)
    for tensor_name, tensor in policy.parts():
        expected = fresh if random_by_hand(name, tensor_name) else source
        assert torch.equal(tensor, expected[tensor_name]), tensor_name
    for tensor_name, tensor in source.items():
        assert torch.equal(tensor, untouched[tensor_name])


def test_a_prefix_ends_where_a_word_does() -> None:
    rule = UpdateRule("embedding=source:frozen,head=source:trained,head.lstm=source:frozen")
    assert not rule.of("head.lstm.bias").trains
    assert rule.of("head.lstm_norm.bias").trains


def test_training_does_not_reach_back_into_the_source() -> None:
    source, policy = tensors_of(small_policy(1)), small_policy(2)
    apply_update_rule(policy, UpdateRule("update_all"), source)
    learn(policy)
    for name, tensor in tensors_of(small_policy(1)).items():
        assert torch.equal(source[name], tensor)


def test_the_gradient_flows_through_a_frozen_head_into_the_embedding() -> None:
    """Freezing the head must change nothing about the embedding's gradient."""
    gradients = []
    for rule in ("update_all", "freeze_head"):
        policy = small_policy(1)
        apply_update_rule(policy, UpdateRule(rule), tensors_of(policy))
        learn(policy, num_updates=1)
        gradients.append({n: p.grad for n, p in policy.embedding.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None
        assert gradient.any(), name
        frozen_head_gradient = gradients[1][name]
        assert frozen_head_gradient is not None
        torch.testing.assert_close(frozen_head_gradient, gradient, rtol=1e-4, atol=1e-6)


# --------------------------------------------------------------------------- running statistics


@pytest.mark.parametrize("clock", ["lockstep", "overlapped"])
@pytest.mark.parametrize("rule", ["freeze_embedding", "freeze_head", "scratch"])
def test_running_statistics_move_only_where_the_embedding_trains(rule: str, clock: str) -> None:
    policy = small_policy(1, "user_embedding:batch_norm")
    apply_update_rule(policy, UpdateRule(rule), tensors_of(policy))
    before = tensors_of(policy)
    learn(policy, num_updates=3, clock=clock)
    after = tensors_of(policy)
    frozen = rule == "freeze_embedding"
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        name = f"embedding.norm.{name}"
        assert torch.equal(before[name], after[name]) == frozen, name
    # Once an update: by the learner, and never by an actor.
    expected = 0 if frozen else 3
    assert after["embedding.norm.num_batches_tracked"] == expected


def test_one_frozen_normalization_inside_a_training_embedding_stands_still() -> None:
    rule = UpdateRule("embedding=random:trained,embedding.norm=random:frozen,head=random:trained")
    policy = small_policy(1, "user_embedding:batch_norm")
    frozen = apply_update_rule(policy, rule)
    before = tensors_of(policy)
    learn(policy)
    after = tensors_of(policy)
    assert not torch.equal(before["embedding.linear.weight"], after["embedding.linear.weight"])
    for name in before:
        if name.startswith("embedding.norm."):
            assert torch.equal(before[name], after[name]), name
    frozen.check()


def test_the_actor_gets_the_statistics_as_well_as_the_weights() -> None:
    policy = small_policy(1, "user_embedding:batch_norm")
    env = make_env("catch", 3, downsample=16, frames_per_step=32)
    learner = Learner(policy, policy.config, 10_000)
    clock = Lockstep(lambda acting: Collector([Actor(env, acting, seed=0)]), learner)
    clock.update(last=False)
    trained = tensors_of(policy)
    clock.update(last=False)  # acts with what the first update left
    for name, tensor in clock.acting_policy.parts():
        assert torch.equal(tensor, trained[name]), name


# --------------------------------------------------------------------------------- the check


@pytest.mark.parametrize("name", ["embedding.linear.bias", "embedding.norm.running_mean"])
def test_a_changed_frozen_tensor_is_an_error_that_names_it(name: str) -> None:
    policy, rule = small_policy(1, "user_embedding:batch_norm"), UpdateRule("freeze_embedding")
    frozen = apply_update_rule(policy, rule, tensors_of(policy))
    frozen.check()
    with torch.no_grad():
        tensor = dict(policy.parts())[name]
        tensor[0] = torch.nextafter(tensor[0], torch.tensor(9.0))  # the smallest change there is
    with pytest.raises(RuntimeError, match=f"frozen tensor '{name}' changed"):
        frozen.check()


def test_a_changed_trained_tensor_is_none() -> None:
    policy, rule = small_policy(1), UpdateRule("freeze_embedding")
    frozen = apply_update_rule(policy, rule, tensors_of(policy))
    with torch.no_grad():
        policy.head.fc.bias.add_(1)
    frozen.check()


# --------------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            "embedding=random:trained,embedding.liner=random:frozen,head=random:trained",
            "names 'embedding.liner', which this policy does not have; did you mean "
            "'embedding.linear'",
        ),
        (
            "embedding=random:trained,head=random:trained,head.lst=random:frozen",
            "names 'head.lst'",
        ),
        ("update_all", "needs a pretrained policy"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused(rule: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        apply_update_rule(small_policy(1), UpdateRule(rule))


def test_a_source_that_does_not_fit_is_refused_by_the_tensor_s_name() -> None:
    source = tensors_of(small_policy(1))
    source["head.policy.bias"] = torch.zeros(55)
    with pytest.raises(InputError, match=r"'head.policy.bias' has shape \[55\] in the source"):
        apply_update_rule(small_policy(2), UpdateRule("update_all"), source)
    del source["head.policy.bias"]
    with pytest.raises(InputError, match=r"the source policy has no 'head\.policy\.bias'"):
        apply_update_rule(small_policy(2), UpdateRule("update_all"), source)


def test_an_embedding_without_parameters_is_allowed_as_long_as_something_trains() -> None:
    config = AgentConfig(embedding="flatten", embedding_size=4, head="feedforward")
    policy = Policy((4,), 2, config)
    tensors = {name: tensor.detach().clone() for name, tensor in policy.parts()}
    apply_update_rule(policy, UpdateRule("freeze_embedding"), tensors)
    assert set(trained_parameters(policy)) == set(tensors)
    apply_update_rule(policy, UpdateRule("freeze_all"), tensors)
    with pytest.raises(InputError, match="trains nothing in this network, whose embedding has no"):
        apply_update_rule(policy, UpdateRule("freeze_head"), tensors)
