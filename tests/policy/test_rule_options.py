"""Fresh shares, blocks and normalization layers: what a rule means for the tensors of a policy."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.named_rules import NAMED_RULES
from thaw.config.update_rule import UpdateRule
from thaw.policy.policy import Policy
from thaw.policy.update_rules import apply_update_rule, trained_parameters

SMALL: dict[str, Any] = {"embedding_size": 16, "lstm_size": 8, "fc_size": 8}
IMAGE = (30, 20, 3)
NORMS = "user_embedding:batch_norm"
Tensors = dict[str, torch.Tensor]


def small_policy(seed: int, embedding: str = "impala_shallow") -> Policy:
    torch.manual_seed(seed)
    return Policy(IMAGE, 4, AgentConfig(**SMALL, embedding=embedding))


def tensors_of(policy: Policy) -> Tensors:
    return {name: tensor.detach().clone() for name, tensor in policy.parts()}


def test_shrink_and_perturb_mixes_fresh_weights_into_the_source_s() -> None:
    rule = "embedding=source~0.3:trained,head=source:trained,head.value=source~0.75:frozen"
    source, policy = tensors_of(small_policy(1)), small_policy(2)
    fresh = tensors_of(policy)
    apply_update_rule(policy, UpdateRule(rule), source)
    for name, tensor in policy.parts():
        share = 0.3 if name.startswith("embedding.") else 0.75 if "value" in name else 0.0
        expected = (1 - share) * source[name] + share * fresh[name]
        torch.testing.assert_close(tensor, expected, rtol=1e-6, atol=1e-7)
        if name.endswith("weight"):
            assert torch.equal(tensor, source[name]) == (share == 0), name


def test_running_statistics_are_the_source_s_whatever_the_share() -> None:
    source, policy = tensors_of(small_policy(1, NORMS)), small_policy(2, NORMS)
    source["embedding.norm.running_mean"].fill_(7.0)
    source["embedding.norm.num_batches_tracked"].fill_(11)
    apply_update_rule(policy, UpdateRule("shrink_and_perturb"), source)
    now = tensors_of(policy)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(now[f"embedding.norm.{name}"], source[f"embedding.norm.{name}"]), name


def test_the_pull_is_to_the_source_and_not_to_where_the_weights_start() -> None:
    rule = UpdateRule("embedding=source~0.5:trained:pull=1,head=source:trained")
    source, policy = tensors_of(small_policy(1)), small_policy(2)
    apply_update_rule(policy, rule, source)
    assert set(policy.anchors) == {n for n in source if n.startswith("embedding.")}
    for name, anchor in policy.anchors.items():
        assert torch.equal(anchor, source[name]), name
        assert anchor is not source[name]


@pytest.mark.parametrize(
    ("embedding", "blocks"),
    [
        ("impala_deep", ["sections.0", "sections.1", "sections.2", "linear"]),
        ("impala_shallow", ["sections.0", "sections.2", "linear"]),
        ("mlp", ["linear0", "linear1", "linear2"]),
        (NORMS, ["linear", "norm"]),
        ("user_embedding:with_dropout", ["1"]),
    ],
)
def test_the_blocks_of_an_embedding_from_the_observation_on(
    embedding: str, blocks: list[str]
) -> None:
    network = small_policy(0, embedding).network()
    assert network.blocks == tuple(f"embedding.{block}" for block in blocks)


def test_normalization_layers_train_alone_and_are_refused_where_there_are_none() -> None:
    policy = small_policy(1, NORMS)
    apply_update_rule(policy, UpdateRule("norms_only"), tensors_of(policy))
    assert set(trained_parameters(policy)) == {"embedding.norm.weight", "embedding.norm.bias"}
    policy.train()
    assert policy.embedding.norm.training  # type: ignore[union-attr]
    plain = small_policy(1)
    before = tensors_of(plain)
    with pytest.raises(InputError, match="this network has no normalization layers") as caught:
        apply_update_rule(plain, UpdateRule("norms_only"), tensors_of(small_policy(2)))
    assert "\n" not in str(caught.value)
    for name, tensor in plain.parts():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("embedding", ["impala_deep", "impala_shallow", "mlp"])
@pytest.mark.parametrize("name", [name for name in NAMED_RULES if name != "norms_only"])
def test_every_named_rule_fits_every_built_in_network(name: str, embedding: str) -> None:
    policy = small_policy(1, embedding)
    apply_update_rule(policy, UpdateRule(name), tensors_of(policy), steps=1000)
    assert set(policy.part_rules) == set(tensors_of(policy))


def test_gradual_unfreezing_goes_from_the_last_block_to_the_first() -> None:
    policy = small_policy(1, "impala_deep")
    apply_update_rule(policy, UpdateRule("gradual_unfreezing"), tensors_of(policy), steps=1000)
    begins: dict[str, object] = {}
    for name, rule in policy.part_rules.items():
        begins.setdefault(".".join(name.split(".")[: 3 if "sections" in name else 2]), rule.at)
    in_order = ["linear", "sections.2", "sections.1", "sections.0"]
    assert [begins[f"embedding.{part}"] for part in in_order] == [150, 300, 450, 600]
    assert {begins[part] for part in begins if part.startswith("head.")} == {0}


def test_layer_decay_halves_the_rate_from_block_to_block() -> None:
    policy = small_policy(1, "impala_deep")
    apply_update_rule(policy, UpdateRule("layer_decay"), tensors_of(policy))
    rates = [
        policy.part_rules[f"{part}.bias"].lr
        for part in ("embedding.sections.0.conv", "embedding.sections.1.conv",
                     "embedding.sections.2.conv", "embedding.linear", "head.fc")
    ]  # fmt: skip
    assert rates == [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]


@pytest.mark.parametrize(
    ("text", "steps", "said"),
    [
        ("embedding=source:trained@9,head=source:frozen", 20, "trains nothing from step 0 on"),
        ("embedding=source:frozen@9,head=source:frozen@50%", 20, "trains nothing from step 10 on"),
        ("embedding=source:trained@9%,head=source:trained", None, "say how many steps the run has"),
        ("embedding=source:trained@20,head=source:trained", 20, "but the run has 20 steps"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(text: str, steps: int | None, said: str) -> None:
    policy = small_policy(1)
    with pytest.raises(InputError) as caught:
        apply_update_rule(policy, UpdateRule(text), tensors_of(policy), steps=steps)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_parameter_that_its_module_keeps_fixed_stays_so() -> None:
    policy = small_policy(1)
    fixed = policy.get_parameter("embedding.linear.bias").requires_grad_(False)
    apply_update_rule(policy, UpdateRule("update_all"), tensors_of(policy))
    assert not fixed.requires_grad
