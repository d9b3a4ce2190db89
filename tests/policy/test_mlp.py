from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from thaw.acting.actor import Actor
from thaw.acting.unroll import collect, empty_trajectory
from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.update_rule import UpdateRule
from thaw.envs.families import make_env
from thaw.impala.learner import Learner
from thaw.policy.embeddings import MLPEmbedding, build_embedding, impala_deep
from thaw.policy.policy import Policy
from thaw.policy.update_rules import apply_update_rule

SMALL = AgentConfig(embedding="mlp", embedding_size=8, lstm_size=8, fc_size=8, unroll_length=5)


def test_two_hidden_layers_of_64_and_an_output_with_relus() -> None:
    embedding = MLPEmbedding((3,), 16)
    parameters = dict(embedding.named_parameters())
    inputs = torch.linspace(-1, 1, 15).reshape(5, 3)
    expected = inputs
    for layer in ("linear0", "linear1", "linear2"):
        expected = F.linear(expected, parameters[f"{layer}.weight"], parameters[f"{layer}.bias"])
        expected = expected.clamp(min=0)
    torch.testing.assert_close(embedding(inputs), expected)
    assert [tuple(p.shape) for n, p in parameters.items() if n.endswith("weight")] == [
        (64, 3), (64, 64), (16, 64)
    ]  # fmt: skip


def test_any_shape_is_flattened() -> None:
    embedding = build_embedding("mlp", (7, 7, 20), 8)
    assert embedding(torch.zeros(3, 7, 7, 20, dtype=torch.uint8)).shape == (3, 8)


@pytest.mark.parametrize("name", ["mlp", "impala_deep"])
def test_bytes_are_scaled_and_floats_taken_as_they_are(name: str) -> None:
    torch.manual_seed(0)
    embedding = build_embedding(name, (9, 8, 2), 8)
    pixels = torch.randint(256, (4, 9, 8, 2), dtype=torch.uint8)
    torch.testing.assert_close(embedding(pixels), embedding(pixels.float() / 255))
    assert not torch.allclose(embedding(pixels), embedding(pixels.float()))


@pytest.mark.parametrize("shape", [(7, 7, 20), (64, 64, 1), (33, 51, 12), (5, 1, 2)])
def test_a_convolutional_embedding_takes_any_size_and_number_of_channels(
    shape: tuple[int, ...],
) -> None:
    embedding = impala_deep(shape, 8)
    assert embedding(torch.zeros(2, *shape)).shape == (2, 8)


@pytest.mark.parametrize("name", ["impala_deep", "impala_shallow"])
def test_a_convolutional_embedding_names_the_one_for_vectors(name: str) -> None:
    with pytest.raises(InputError, match=r"shape \[4\].*--set agent.embedding=mlp"):
        build_embedding(name, (4,), 8)


def test_float_observations_reach_the_learner_unchanged() -> None:
    env = make_env("gym/CartPole-v1", 3)
    policy = Policy((4,), 2, SMALL)
    actor = Actor(env, policy, seed=1)
    unroll = empty_trajectory(actor, SMALL, store_embeddings=False)
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
    policy = Policy((4,), 2, SMALL)
    before = {name: tensor.detach().clone() for name, tensor in policy.parts()}
    rule = f"embedding=source:{'frozen' if frozen else 'trained'},head=source:trained"
    apply_update_rule(policy, UpdateRule(rule), before)
    learner = Learner(policy, SMALL, 1000)
    actor = Actor(env, policy, seed=1)
    unroll = empty_trajectory(actor, SMALL, store_embeddings=policy.embedding_frozen)
    collect(actor, unroll, 0.99)
    learner.update(unroll, 0)
    after = dict(policy.parts())["embedding.linear0.weight"]
    assert torch.equal(before["embedding.linear0.weight"], after) == frozen
    env.close()
