from __future__ import annotations

import copy
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

import thaw.policy.policy
from thaw.config.agent import AgentConfig
from thaw.policy.embeddings import ConvEmbedding
from thaw.policy.policy import Acting, Policy, UniformPolicy

IMAGE = (36, 36, 3)
ATARI, CATCH = (84, 84, 4), (120, 80, 3)


def small_policy(
    embedding: str = "impala_shallow", precision: Literal["float32", "bfloat16"] = "float32"
) -> Policy:
    torch.manual_seed(0)
    return Policy(
        IMAGE,
        4,
        AgentConfig(
            embedding=embedding, embedding_size=16, lstm_size=8, fc_size=8, precision=precision
        ),
    )


def images(*shape: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(256, (*shape, *IMAGE), generator=draw, dtype=torch.uint8)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    "embedding", ["impala_deep", "impala_shallow", "user_embedding:batch_norm"]
)
def test_the_two_parts_are_the_whole_policy_and_each_tensor_is_in_one(embedding: str) -> None:
    policy = small_policy(embedding)
    names = [name for name, _ in policy.parts()]
    assert len(names) == len(set(names))
    assert {name.split(".")[0] for name in names} == {"embedding", "head"}
    # By identity against torch's own lists, which do not know about parts.
    by_torch = [*policy.parameters(), *policy.buffers()]
    assert sorted(id(t) for _, t in policy.parts()) == sorted(id(t) for t in by_torch)
    parts = {"embedding": policy.embedding, "head": policy.head}
    for name, tensor in policy.parts():
        part = parts[name.split(".")[0]]
        assert any(tensor is own for own in [*part.parameters(), *part.buffers()])
    if embedding == "user_embedding:batch_norm":
        assert {"embedding.norm.running_mean", "embedding.norm.num_batches_tracked"} <= set(names)


def test_embedding_of_many_equals_embedding_of_each() -> None:
    policy = small_policy("impala_deep").eval()
    pictures = images(3, 2)
    with torch.no_grad():
        together = policy.embed(pictures)
        assert together.shape == (3, 2, 16)
        for t in range(3):
            for b in range(2):
                alone = policy.embed(pictures[t : t + 1, b : b + 1])
                np.testing.assert_allclose(alone[0, 0], together[t, b], rtol=1e-4, atol=1e-6)


def test_output_and_initial_state_have_their_shapes() -> None:
    policy = small_policy()
    state = policy.initial_state(2)
    assert state.shape == (2, 2, 8)
    assert not state.any()
    output = policy.unroll(
        policy.embed(images(3, 2)), torch.zeros(3, 2, dtype=torch.bool),
        torch.zeros(3, 2, dtype=torch.int64), torch.zeros(3, 2), state,
    )  # fmt: skip
    assert output.logits.shape == (3, 2, 4)
    assert output.values.shape == (3, 2)
    assert output.state.shape == (2, 2, 8)


def test_bfloat16_is_the_embedding_s_alone_and_comes_close() -> None:
    exact, rough = small_policy(), small_policy(precision="bfloat16")
    pictures = images(2, 3)
    with torch.no_grad():
        expected, embedded = exact.embed(pictures), rough.embed(pictures)
    assert embedded.dtype == torch.float32
    assert not torch.equal(embedded, expected), "bfloat16 must really be used"
    np.testing.assert_allclose(embedded, expected, rtol=0.05, atol=0.01)
    assert all(parameter.dtype == torch.float32 for parameter in rough.parameters())
    embeddings, first = torch.zeros(1, 2, 16), torch.zeros(1, 2, dtype=torch.bool)
    last_actions, last_rewards = torch.zeros(1, 2, dtype=torch.int64), torch.ones(1, 2)
    outputs = [
        policy.unroll(embeddings, first, last_actions, last_rewards, policy.initial_state(2))
        for policy in (exact, rough)
    ]
    assert torch.equal(outputs[0].logits, outputs[1].logits)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_images_in_portions_are_the_images_at_once(
    precision: Literal["float32", "bfloat16"], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, pictures = small_policy("impala_deep", precision), images(5, 3)
    weights = torch.randn(5, 3, 16)
    found = []
    for at_once in (4, 100):
        monkeypatch.setattr(thaw.policy.policy, "IMAGES_AT_ONCE", at_once)
        policy.zero_grad()
        embedded = policy.embed(pictures)
        torch.autograd.backward((embedded * weights).sum())
        gradients = [p.grad for p in policy.embedding.parameters() if p.grad is not None]
        found.append((embedded.detach(), torch.cat([g.flatten() for g in gradients])))
    # The gradients of the portions are added up in float32; at once, each is rounded to bfloat16.
    tolerance = 1e-5 if precision == "float32" else 2e-2
    for portions, whole in zip(*found, strict=True):
        assert portions.abs().max() > 0
        assert (portions - whole).norm() <= tolerance * whole.norm()


def test_running_statistics_see_the_whole_batch() -> None:
    policy = small_policy("user_embedding:batch_norm")
    policy.embed(images(20, 3))
    assert int(policy.get_buffer("embedding.norm.num_batches_tracked")) == 1


def test_a_frozen_module_stays_in_evaluation_mode() -> None:
    policy = small_policy("user_embedding:batch_norm")
    policy.frozen = frozenset(n for n, _ in policy.parts() if n.startswith("embedding."))
    policy.train()
    assert policy.training
    assert policy.head.lstm.training
    assert not policy.get_submodule("embedding.norm").training
    policy.frozen = frozenset()
    policy.train()
    assert policy.get_submodule("embedding.norm").training
    policy.eval()
    assert not policy.get_submodule("embedding.norm").training


def test_embedding_frozen_means_all_of_it() -> None:
    policy = small_policy("user_embedding:batch_norm")
    embedding = {name for name, _ in policy.parts() if name.startswith("embedding.")}
    assert not policy.embedding_frozen
    policy.frozen = frozenset(embedding)
    assert policy.embedding_frozen
    for name in embedding:
        policy.frozen = frozenset(embedding - {name})
        assert not policy.embedding_frozen, name


def test_a_copy_is_a_policy_of_its_own() -> None:
    policy = small_policy()
    twin = copy.deepcopy(policy)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(1)
    for (name, ours), (_, theirs) in zip(policy.parts(), twin.parts(), strict=True):
        assert not torch.equal(ours, theirs), name


def test_the_uniform_policy_prefers_nothing_whatever_it_sees() -> None:
    policy: Acting = UniformPolicy(5)
    state = policy.initial_state(2)
    output = policy.unroll(
        policy.embed(images(3, 2)), torch.zeros(3, 2, dtype=torch.bool),
        torch.ones(3, 2, dtype=torch.int64), torch.ones(3, 2), state,
    )  # fmt: skip
    assert output.logits.shape == (3, 2, 5)
    np.testing.assert_allclose(output.logits.softmax(-1), 0.2)
    assert not output.values.any()


@pytest.mark.parametrize(
    ("shape", "num_actions", "total"),
    [
        (ATARI, 18, 1_704_675),
        (CATCH, 54, 1_988_215),
        (CATCH, 56, 1_990_777),
        (CATCH, 108, 2_057_389),
        (CATCH, 162, 2_126_563),
    ],
)
def test_parameters_of_the_whole_policy(
    shape: tuple[int, ...], num_actions: int, total: int
) -> None:
    assert count(Policy(shape, num_actions, AgentConfig(embedding="impala_deep"))) == total


@pytest.mark.parametrize(("fc_size", "total"), [(128, 1_669_347), (512, 1_775_331)])
def test_parameters_with_another_added_layer(fc_size: int, total: int) -> None:
    assert count(Policy(ATARI, 18, AgentConfig(fc_size=fc_size))) == total


def test_parameters_without_last_action_and_reward() -> None:
    config = AgentConfig(last_action_input=False, last_reward_input=False)
    assert count(Policy(ATARI, 18, config)) == 1_685_219
    assert count(Policy(ATARI, 18, AgentConfig(last_reward_input=False))) == 1_704_675 - 4 * 256


def test_parameters_part_by_part() -> None:
    policy = Policy(ATARI, 18)
    assert isinstance(policy.embedding, ConvEmbedding)
    convolutions = [m for m in policy.embedding.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 15
    assert count(policy.embedding.sections) == 97_744
    assert count(policy.embedding.linear) == 991_488
    assert count(policy.embedding) == 1_089_232
    assert count(policy.head.lstm) == 544_768
    assert count(policy.head.fc) == 65_792
    assert count(policy.head.policy) == 4_626
    assert count(policy.head.value) == 257
    assert count(policy.head) == 615_443
