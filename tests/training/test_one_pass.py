"""Lockstep learns from the embeddings of acting, and learns what a second pass would teach."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from counting_env import EMBEDDING, make_counting_env
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode, VectorWrapper
from recorder import make_config, make_policy

from thaw.acting.actor import Actor
from thaw.acting.collector import Collector
from thaw.config import AgentConfig, Flavor
from thaw.config.update_rule import UpdateRule
from thaw.envs.families import make_env
from thaw.envs.spaces import VectorEnv
from thaw.impala.learner import Learner
from thaw.policy.policy import Policy
from thaw.policy.update_rules import apply_update_rule
from thaw.training.clocks import Lockstep, Overlapped

Tensors = dict[str, torch.Tensor]


def counting_collector(policy: Policy) -> Collector:
    return Collector([Actor(make_counting_env(mode=AutoresetMode.SAME_STEP), policy, seed=1)])


@pytest.mark.parametrize("rule", ["scratch", "freeze_embedding", "freeze_head"])
def test_embeddings_are_stored_exactly_where_the_actor_s_are_learned_from(rule: str) -> None:
    config = make_config()
    clocks: list[Any] = []
    for kind in (Lockstep, Overlapped):
        policy = make_policy(config)
        source = {name: tensor.detach().clone() for name, tensor in policy.parts()}
        apply_update_rule(policy, UpdateRule(rule), source)
        clocks.append(kind(counting_collector, Learner(policy, config, 100)))
        clocks[-1].close()
    lockstep, overlapped = clocks
    assert isinstance(lockstep, Lockstep)
    assert isinstance(overlapped, Overlapped)
    assert lockstep.keeps_graph == (rule != "freeze_embedding")
    assert lockstep.unroll.embeddings is not None
    assert lockstep.unroll.observations is None
    for unroll in (overlapped.ready, overlapped.spare):
        assert (unroll.embeddings is not None) == (rule == "freeze_embedding")
        assert (unroll.observations is None) == (rule == "freeze_embedding")


PARTLY_FROZEN = "embedding=source:trained,embedding.sections.0=source:frozen,head=source:trained"


class SameMemory(VectorWrapper):
    """Writes every observation into the same memory, as EnvPool and others may."""

    def __init__(self, env: VectorEnv) -> None:
        super().__init__(env)
        self.memory: Any = None

    def kept(self, observations: Any) -> Any:
        if self.memory is None:
            self.memory = observations.copy()
        self.memory[:] = observations
        return self.memory

    def reset(self, **kwargs: Any) -> Any:
        observations, info = self.env.reset(**kwargs)
        return self.kept(observations), info

    def step(self, actions: Any) -> Any:
        observations, *others = self.env.step(actions)
        return self.kept(observations), *others


def learned(
    agent: AgentConfig,
    rule: UpdateRule,
    monkeypatch: pytest.MonkeyPatch,
    *,
    two_passes: bool,
) -> tuple[list[Tensors], Tensors, Tensors]:
    """Metrics of five updates of four environments, the weights after them and before."""
    if two_passes:
        monkeypatch.setattr("thaw.training.clocks.can_learn_from_acting", lambda learner: False)
    group_size = 4 // agent.env_groups
    envs: list[VectorEnv] = []
    for group in range(agent.env_groups):
        if agent.embedding in (EMBEDDING, "mlp"):  # the mlp reads their very memory
            envs.append(SameMemory(make_counting_env(group_size, AutoresetMode.NEXT_STEP)))
        else:
            envs.append(
                make_env(Flavor("catch"), group_size, downsample=16, frames_per_step=8 + group)
            )
    shape = envs[0].single_observation_space.shape
    assert shape is not None
    assert isinstance(envs[0].single_action_space, Discrete)
    torch.manual_seed(0)
    policy = Policy(shape, int(envs[0].single_action_space.n), agent)
    apply_update_rule(policy, rule, {n: t.detach().clone() for n, t in policy.parts()})
    start = {n: t.detach().clone() for n, t in policy.parts()}
    learner = Learner(policy, agent, 10_000)
    actors = [Actor(env, policy, seed=g) for g, env in enumerate(envs)]

    def collector(acting: Policy) -> Collector:
        for actor in actors:
            actor.policy = acting
        return Collector(actors)

    clock = Lockstep(collector, learner)
    assert clock.keeps_graph != two_passes
    updates = [clock.update(last=False) for _ in range(5)]
    clock.close()
    monkeypatch.undo()
    return (
        [{n: t.clone() for n, t in update.metrics.items()} for update in updates],
        {n: t.detach().clone() for n, t in policy.parts()},
        start,
    )


@pytest.mark.parametrize("env_groups", [1, 2])
@pytest.mark.parametrize(
    ("embedding", "rule"),
    [
        (EMBEDDING, "scratch"),
        ("mlp", "scratch"),
        ("impala_shallow", "update_all"),
        ("impala_deep", "freeze_head"),
        ("impala_deep", PARTLY_FROZEN),
    ],
)
def test_one_pass_learns_what_two_passes_learn(
    embedding: str, rule: str, env_groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_config(embedding=embedding, env_groups=env_groups, learning_rate=0.003)
    two, two_weights, start = learned(agent, UpdateRule(rule), monkeypatch, two_passes=True)
    one, one_weights, _ = learned(agent, UpdateRule(rule), monkeypatch, two_passes=False)
    for update, (ours, theirs) in enumerate(zip(one, two, strict=True)):
        for name, value in ours.items():
            close = torch.allclose(value, theirs[name], rtol=1e-3, atol=1e-4)
            assert close, (update, name, value, theirs[name])
    for name, tensor in one_weights.items():
        torch.testing.assert_close(tensor, two_weights[name], rtol=1e-3, atol=1e-5)
    # With two groups in two threads, too, the same bits every time.
    again, again_weights, _ = learned(agent, UpdateRule(rule), monkeypatch, two_passes=False)
    assert [m["gradient_norm"] for m in again] == [m["gradient_norm"] for m in one]
    for name, tensor in again_weights.items():
        assert torch.equal(tensor, one_weights[name]), name
    assert any(not torch.equal(tensor, start[name]) for name, tensor in one_weights.items()
               if name.startswith("embedding."))  # fmt: skip


def test_the_bootstrap_gets_no_gradient_and_keeps_no_graph() -> None:
    config = make_config()
    learner = Learner(make_policy(config), config, 100)
    clock = Lockstep(counting_collector, learner)
    clock.collector.collect(clock.unroll, config.discount)
    graph = clock.collector.take_graph()
    assert graph is not None
    assert [len(portions) for portions in graph.portions] == [config.unroll_length]
    assert all(portion.requires_grad for portion in graph.portions[0])

    assert clock.unroll.embeddings is not None
    embeddings = clock.unroll.embeddings.detach().requires_grad_()
    torch.autograd.backward(learner.losses(clock.unroll, embeddings).total)
    assert embeddings.grad is not None
    assert (embeddings.grad[:-1] != 0).any(-1).all()
    assert (embeddings.grad[-1] == 0).all()
    clock.close()


@pytest.mark.parametrize(
    "part", [{"embedding": "user_embedding:with_dropout"}, {"head": "user_head:with_dropout"}]
)
def test_a_part_that_acts_and_learns_differently_takes_two_passes(part: dict[str, str]) -> None:
    config = make_config(**part)
    learner = Learner(make_policy(config), config, 100)
    clock = Lockstep(counting_collector, learner)
    assert not clock.keeps_graph
    assert clock.unroll.observations is not None
    assert clock.acting_policy is not learner.policy
    clock.update(last=False)
    assert learner.policy.training
    assert not clock.acting_policy.training
    clock.close()
