"""A rule in somebody else's loop does what it does in thaw's."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cleanrl_agents import PARTS, ConvAgent
from safetensors.torch import save_file
from torch import nn

import thaw
from thaw.adapters.any_module import AppliedRule
from thaw.config.agent import AgentConfig
from thaw.config.update_rule import UpdateRule

RATES = "embedding=source:trained:lr=0.1,head=source:trained"
LATE = "embedding=source:trained@100,head=source:trained"


def agent(seed: int) -> ConvAgent:
    torch.manual_seed(seed)
    return ConvAgent()


def tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def ruled(rule: str, **named: Any) -> tuple[ConvAgent, AppliedRule]:
    module = agent(2)
    return module, thaw.apply_rule(module, rule, source=agent(1), parts=PARTS, **named)


def learn(module: ConvAgent, optimizer: torch.optim.Optimizer, updates: int = 2) -> None:
    """Train as loops do: all modules in training mode, and the norm of all parameters clipped."""
    for seed in range(updates):
        module.train()
        torch.manual_seed(seed)  # of dropout, too
        logits, values = module(torch.rand(6, 3, 8, 8))
        optimizer.zero_grad()
        (logits.square().mean() + values.mean()).backward()
        nn.utils.clip_grad_norm_(module.parameters(), 0.5)
        optimizer.step()


def changed(module: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {n for n, t in module.state_dict().items() if not torch.equal(t, before[n])}


def test_frozen_parts_stay_bitwise_with_their_statistics_and_the_others_move() -> None:
    module, rule = ruled("freeze_embedding")
    before = tensors(module)
    learn(module, torch.optim.AdamW(rule.parameter_groups, lr=0.1, weight_decay=0.5))
    assert changed(module, before) == {n for n in before if not n.startswith("network.")}
    assert not any(part.training for part in module.network.modules())
    assert module.training
    assert module.actor.training
    module.network.train()
    assert not module.network[1].training, "the module itself is switched, too"
    rule.check()
    with torch.no_grad():
        module.get_parameter("network.0.bias").add_(1)
    with pytest.raises(RuntimeError, match=r"frozen tensor 'embedding\.0\.bias' changed"):
        rule.check()


def test_a_module_gets_what_a_policy_of_thaw_gets_from_the_same_rule() -> None:
    """One way of applying rules: the same weights, the same frozen tensors, the same table."""
    text = (
        "embedding=source~0.3:trained,embedding.linear=source:frozen,"
        "head=source:trained@40:lr=0.5,head.value=random:trained"
    )
    config = AgentConfig(embedding="impala_shallow", embedding_size=8, lstm_size=4, fc_size=4)
    policies = []
    for seed in (1, 2, 2):
        torch.manual_seed(seed)
        policies.append(thaw.Policy((30, 20, 3), 3, config))
    source, policy, module = policies
    thaw.apply_update_rule(policy, UpdateRule(text), dict(source.parts()))
    other = Renamed(module)
    rule = thaw.apply_rule(
        other, text, source=Renamed(source), parts={"embedding": "eyes", "head": "hands"}
    )
    for (name, ours), (_, theirs) in zip(policy.parts(), module.parts(), strict=True):
        assert torch.equal(ours, theirs), name
        assert ours.requires_grad == theirs.requires_grad, name
    assert "embedding.linear" in str(rule)
    assert "x 0.5" in str(rule)


class Renamed(nn.Module):
    """A policy of thaw under other names."""

    def __init__(self, policy: thaw.Policy) -> None:
        super().__init__()
        self.eyes, self.hands = policy.embedding, policy.head


def test_without_rates_there_is_one_plain_group() -> None:
    module, rule = ruled("update_all")
    assert rule.parameter_groups == [{"params": list(module.parameters())}]
    _, rule = ruled("freeze_all")
    assert rule.parameter_groups == [{"params": []}]


def test_the_sizes_of_the_groups_add_up_to_what_trains() -> None:
    module, rule = ruled(
        "embedding=source:trained:lr=0.1,head=source:trained,head.value.bias=source:frozen"
    )
    assert len(rule.parameter_groups) == 2
    count = sum(p.numel() for group in rule.parameter_groups for p in group["params"])
    assert count == sum(p.numel() for p in module.parameters()) - module.critic.bias.numel()


@pytest.mark.parametrize("written", [["first"], ["all"], ["scheduler"]])
def test_every_part_follows_the_loop_s_rate_with_its_own(written: list[str]) -> None:
    """SGD moves by rate times gradient, so the rate of each step can be read from the weights."""
    module, rule = ruled(RATES)
    optimizer = torch.optim.SGD(rule.parameter_groups, lr=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 4)
    for update in range(3):
        rate = 1 - update / 4
        if written == ["first"]:
            optimizer.param_groups[0]["lr"] = rate
        if written == ["all"]:
            for group in optimizer.param_groups:
                group["lr"] = rate
        module.zero_grad()
        logits, values = module(torch.ones(4, 3, 8, 8))
        (logits.square().mean() + values.mean()).backward()
        before = {n: p.detach().clone() for n, p in module.named_parameters()}
        optimizer.step()
        for name, parameter in module.named_parameters():
            own = 0.1 if name.startswith("network.") else 1.0
            assert parameter.grad is not None
            expected = before[name] - own * rate * parameter.grad
            assert torch.allclose(parameter, expected, rtol=0, atol=1e-7), name
        if written == ["scheduler"]:
            scheduler.step()
    assert {group["lr"] for group in optimizer.param_groups} == {
        0.25 if written == ["scheduler"] else 0.5
    }


def test_another_optimizer_is_left_alone() -> None:
    one, other = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([{"params": [one], "lr": 1.0}, {"params": [other], "lr": 0.25}])
    torch.autograd.backward(one + other)
    optimizer.step()
    assert (one.item(), other.item()) == (0.0, 0.75)


def test_a_part_that_begins_late_equals_one_that_is_added_late() -> None:
    module, rule = ruled(LATE)
    optimizer = torch.optim.Adam(rule.parameter_groups, lr=0.01)
    before = tensors(module)
    assert not rule.step(0)
    learn(module, optimizer)
    assert not any(name.startswith("network.") for name in changed(module, before))
    twin = copy.deepcopy(module)
    late = torch.optim.Adam(twin.parameters(), lr=0.01)
    late.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    twin.network.requires_grad_(True)
    for part in twin.modules():
        vars(part).pop("train", None)  # the twin knows no rule any more

    assert rule.step(100)
    assert module.network[1].training
    learn(module, optimizer)
    learn(twin, late)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, twin.state_dict()[name]), name
    assert any(name.startswith("network.") for name in changed(module, before))


def test_a_part_that_ends_stays_where_it_was() -> None:
    module, rule = ruled("embedding=source:frozen@50%,head=source:trained", steps=200)
    optimizer = torch.optim.Adam(rule.parameter_groups, lr=0.01)
    learn(module, optimizer)
    assert rule.step(100)
    before = tensors(module)
    learn(module, optimizer)
    assert not any(name.startswith("network.") for name in changed(module, before))
    rule.check()


def test_a_resumed_training_goes_on_with_the_weights_of_its_checkpoint() -> None:
    module, rule = ruled(LATE)
    rule.step(100)
    learn(module, torch.optim.Adam(rule.parameter_groups, lr=0.01))
    again, resumed = ruled(LATE)
    again.load_state_dict(module.state_dict())
    resumed.resume(120)
    assert all(parameter.requires_grad for parameter in again.parameters())
    resumed.check()


def test_the_pull_is_in_the_gradient_before_the_norm_is_clipped() -> None:
    source = agent(1)
    plain, _ = ruled("shrink_and_perturb")
    text = "embedding=source~0.3:trained:pull=0.5,head=source~0.3:trained@10:pull=0.5"
    pulled, rule = ruled(text)
    rule.step(10)
    for module in (plain, pulled):
        torch.manual_seed(0)
        logits, values = module(torch.ones(4, 3, 8, 8))
        (logits.square().mean() + values.mean()).backward()
    for name, parameter in pulled.named_parameters():
        without, anchor = plain.get_parameter(name).grad, source.get_parameter(name)
        assert parameter.grad is not None
        assert without is not None
        expected = without + 0.5 * (parameter - anchor)
        assert torch.allclose(parameter.grad, expected, rtol=0, atol=1e-6), name


@pytest.mark.parametrize("kind", ["module", "state dict", "file"])
def test_the_source_is_a_module_a_state_dict_or_a_file(kind: str, tmp_path: Path) -> None:
    source = agent(1)
    sources: dict[str, Any] = {
        "module": source, "state dict": source.state_dict(), "file": tmp_path / "a.safetensors",
    }  # fmt: skip
    save_file(source.state_dict(), sources["file"])
    module = agent(2)
    thaw.apply_rule(module, "update_all", source=sources[kind], parts=PARTS)
    assert not changed(module, tensors(source))


def test_a_module_with_a_rule_can_be_copied_and_pickled() -> None:
    module, _ = ruled("freeze_embedding")
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):  # noqa: S301
        other.train()
        assert not other.network[1].training
        assert other.actor.training


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no such module": (
        lambda _: thaw.apply_rule(agent(0), "scratch", parts=PARTS | {"embedding": "networks"}),
        "names 'networks', which the module does not have; did you mean 'network'",
    ),
    "no path": (
        lambda _: thaw.apply_rule(agent(0), "scratch", parts=PARTS | {"embedding": 3}),
        "parts has 3; give a dotted path",
    ),
    "a tensor in no part": (
        lambda _: thaw.apply_rule(agent(0), "scratch", parts=PARTS | {"head": "actor"}),
        "'critic.weight' of the module is in no part",
    ),
    "a tensor in both parts": (
        lambda _: thaw.apply_rule(
            agent(0), "scratch",
            parts={"embedding": ["network", "critic"], "head": ["actor", "critic"]},
        ),
        "'critic.weight' of the module is in both parts",
    ),
    "no embedding": (
        lambda _: thaw.apply_rule(agent(0), "scratch", parts={"head": "actor"}),
        "must have 'embedding' and 'head'",
    ),
    "no parts": (lambda _: thaw.apply_rule(agent(0), "scratch"), "names 'embedding'"),
    "twice": (
        lambda _: thaw.apply_rule(ruled("update_all")[0], "scratch", parts=PARTS),
        "follows an update rule already",
    ),
    "no source": (
        lambda _: thaw.apply_rule(agent(0), "update_all", parts=PARTS), "needs a pretrained policy",
    ),
    "random weights that are the source's": (
        lambda _: thaw.apply_rule(agent(1), "reset_value", source=agent(1), parts=PARTS),
        "draws head.value.weight, but the module has the source's weights there already",
    ),
    "no tensors": (
        lambda _: thaw.apply_rule(agent(0), "update_all", source={"a": 1}, parts=PARTS),  # type: ignore[dict-item]
        "no state dict",
    ),
    "another network": (
        lambda _: thaw.apply_rule(
            agent(0), "update_all", source={"network.0.weight": torch.ones(1)}, parts=PARTS
        ),
        "has shape",
    ),
    "no safetensors": (
        lambda folder: thaw.apply_rule(
            agent(0), "update_all", source=folder / "none.pt", parts=PARTS
        ),
        "not a safetensors file",
    ),
    "a teacher": (
        lambda _: thaw.apply_rule(agent(0), "kickstart", source=agent(1), parts=PARTS),
        "exist in thaw's own runs only",
    ),
    "a block that is not there": (
        lambda _: ruled("layer_decay"), "its 2 blocks are embedding.0, embedding.1",
    ),
    "a share of unknown steps": (lambda _: ruled("critic_warm_up"), "say how many steps"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_one_line(name: str, tmp_path: Path) -> None:
    call, message = WRONG[name]
    with pytest.raises(thaw.InputError, match=message) as caught:
        call(tmp_path)
    assert "\n" not in str(caught.value)
