"""Models of Stable-Baselines3 follow a rule, against what it does at each update by itself."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn
from touches import Touches

import thaw
from thaw.adapters import sb3
from thaw.adapters.module_parts import ModuleParts

RATES = "embedding=source:trained:lr=0.1,head=source:trained"


class NormFeatures(BaseFeaturesExtractor):
    """Features with running statistics."""

    def __init__(self, space: gymnasium.spaces.Box) -> None:
        super().__init__(space, 8)
        self.linear = nn.Sequential(nn.Linear(space.shape[0], 8), nn.BatchNorm1d(8), nn.ReLU())

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.linear(observations)
        return features


def ppo(seed: int, **named: Any) -> PPO:
    policy = {"features_extractor_class": NormFeatures} | named.pop("policy_kwargs", {})
    settings: dict[str, Any] = {
        "n_steps": 16, "batch_size": 16, "n_epochs": 2, "device": "cpu", "policy_kwargs": policy,
    }  # fmt: skip
    return PPO("MlpPolicy", "CartPole-v1", seed=seed, **settings | named)


def dqn(seed: int, **named: Any) -> DQN:
    return DQN(
        "MlpPolicy", "CartPole-v1", seed=seed, learning_starts=8, buffer_size=100, device="cpu",
        target_update_interval=16, **named,
    )  # fmt: skip


def tensors(model: BaseAlgorithm) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}


def changed(model: BaseAlgorithm, before: dict[str, torch.Tensor]) -> set[str]:
    return {n for n, t in model.policy.state_dict().items() if not torch.equal(t, before[n])}


def of(before: Iterable[str], *prefixes: str) -> set[str]:
    return {name for name in before if name.startswith(prefixes)}


EXTRACTORS = ("features_extractor", "pi_features_extractor", "vf_features_extractor")


def test_a_frozen_extractor_stays_bitwise_with_its_statistics() -> None:
    model = ppo(2)
    rule = sb3.apply_rule(model, "freeze_embedding", source=ppo(1))
    before = tensors(model)
    assert not of(changed(ppo(1), before), *EXTRACTORS)
    model.learn(64, callback=rule)
    assert changed(model, before) == set(before) - of(before, *EXTRACTORS)
    assert "embedding" in str(rule)


def test_without_the_rule_the_statistics_move() -> None:
    """The trap is there: else the test above would prove nothing."""
    model = ppo(2)
    model.policy.features_extractor.requires_grad_(False)
    before = tensors(model)
    model.learn(32)
    assert "features_extractor.linear.1.running_mean" in changed(model, before)


@pytest.mark.parametrize("make", [ppo, dqn], ids=["PPO", "DQN"])
def test_every_part_has_its_rate_under_the_schedule(make: Callable[..., BaseAlgorithm]) -> None:
    """SGD moves by rate times gradient, so rates can be read from weights after every step."""
    source = make(1)
    model = make(
        2, learning_rate=lambda left: left,
        policy_kwargs={"optimizer_class": torch.optim.SGD},
    )  # fmt: skip
    rule = sb3.apply_rule(model, RATES, source=source)
    embedding = {id(p) for p in rule.applied.parameter_groups[0]["params"]}
    optimizer = model.policy.optimizer
    seen: list[float] = []

    def look(*_: Any) -> None:
        seen.append(optimizer.param_groups[0]["lr"])
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                assert parameter.grad is not None
                own = 0.1 if id(parameter) in embedding else 1.0
                assert group["lr"] == pytest.approx(own * seen[-1] / 0.1)

    optimizer.register_step_pre_hook(look)  # after thaw's
    model.learn(64, callback=rule)
    assert len({round(rate, 6) for rate in seen}) > 2, "the schedule falls"


def test_a_part_begins_with_the_rollout_after_its_step() -> None:
    model = ppo(2)
    rule = sb3.apply_rule(
        model, "embedding=source:trained@50%,head=source:trained", source=ppo(1), steps=64
    )
    before = tensors(model)
    model.learn(32, callback=rule)
    assert not of(changed(model, before), *EXTRACTORS)
    model.learn(32, callback=rule, reset_num_timesteps=False)
    assert of(changed(model, before), "features_extractor") == of(before, "features_extractor")


def test_steps_go_on_where_the_model_counts_from_zero_again() -> None:
    model = ppo(2)
    late = "embedding=source:trained@32,head=source:trained"
    rule = sb3.apply_rule(model, late, source=ppo(1))
    before = tensors(model)
    model.learn(32, callback=rule)
    model.learn(16, callback=rule)
    assert of(changed(model, before), "features_extractor")


def test_a_schedule_that_nothing_follows_is_an_error() -> None:
    model = ppo(2)
    sb3.apply_rule(model, "embedding=source:trained@32,head=source:trained", source=ppo(1))
    with pytest.raises(thaw.InputError, match="has a schedule, which nothing follows"):
        model.learn(16)


@pytest.mark.parametrize("rule", ["freeze_embedding", RATES])
def test_a_saved_model_opens_without_thaw_and_is_a_source(rule: str, tmp_path: Path) -> None:
    model = ppo(2)
    model.learn(32, callback=sb3.apply_rule(model, rule, source=ppo(1)))
    model.save(tmp_path / "model.zip")
    loaded = PPO.load(tmp_path / "model.zip", env=gymnasium.make("CartPole-v1"), device="cpu")
    assert not changed(loaded, tensors(model))
    ours, theirs = model.policy.optimizer.state_dict(), loaded.policy.optimizer.state_dict()
    assert ours["param_groups"][0].keys() == theirs["param_groups"][0].keys()
    by_parameter = {id(p): slots["exp_avg"] for p, slots in model.policy.optimizer.state.items()}
    for (name, mine), other in zip(
        model.policy.named_parameters(), loaded.policy.parameters(), strict=True
    ):
        assert (id(mine) in by_parameter) == (other in loaded.policy.optimizer.state), name
        if id(mine) in by_parameter:
            moment = loaded.policy.optimizer.state[other]["exp_avg"]
            assert torch.equal(by_parameter[id(mine)], moment), name
    loaded.learn(16)
    other_model = ppo(3)
    sb3.apply_rule(other_model, "update_all", source=tmp_path / "model.zip")
    assert not changed(other_model, tensors(model))


PARTS: dict[str, tuple[Callable[[], BaseAlgorithm], dict[str, str]]] = {
    "MlpPolicy": (
        lambda: PPO("MlpPolicy", "CartPole-v1", device="cpu"),
        {
            "embedding": "mlp_extractor", "head.policy": "action_net", "head.value": "value_net",
        },
    ),
    "continuous actions": (
        lambda: A2C("MlpPolicy", "Pendulum-v1", device="cpu"),
        {
            "embedding": "mlp_extractor", "head.policy": "action_net log_std",
            "head.value": "value_net",
        },
    ),
    "an extractor": (
        lambda: ppo(1),
        {
            "embedding": "features_extractor",
            "head.policy": "mlp_extractor.policy_net action_net",
            "head.value": "mlp_extractor.value_net value_net",
        },
    ),
    "two extractors": (
        lambda: ppo(1, policy_kwargs={"share_features_extractor": False}),
        {
            "embedding": "features_extractor vf_features_extractor",
            "head.policy": "mlp_extractor.policy_net action_net",
            "head.value": "mlp_extractor.value_net value_net",
        },
    ),
    "LSTMs": (
        lambda: RecurrentPPO("MlpLstmPolicy", "CartPole-v1", device="cpu"),
        {
            "embedding": "lstm_actor lstm_critic",
            "head.policy": "mlp_extractor.policy_net action_net",
            "head.value": "mlp_extractor.value_net value_net",
        },
    ),
    "LSTMs after an extractor": (
        lambda: RecurrentPPO(
            "MlpLstmPolicy", "CartPole-v1", device="cpu",
            policy_kwargs={"features_extractor_class": NormFeatures},
        ),
        {
            "embedding": "features_extractor", "head.lstm": "lstm_actor",
            "head.policy": "mlp_extractor.policy_net action_net",
            "head.value": "lstm_critic mlp_extractor.value_net value_net",
        },
    ),
    "DQN": (lambda: dqn(1), {"embedding": "q_net.0 q_net.2", "head.value": "q_net.4"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", PARTS)
def test_parts_are_where_the_docs_say(kind: str) -> None:
    make, where = PARTS[kind]
    for part, places in where.items():
        model = make()
        network = model.policy.q_net if isinstance(model, DQN) else model.policy
        rule = f"embedding=random:frozen,head=random:frozen,{part}=random:trained"
        if part == "embedding":
            rule = "embedding=random:trained,head=random:frozen"
        sb3.apply_rule(model, rule)
        trained = {n for n, p in network.named_parameters() if p.requires_grad}
        expected = {
            name for name, _ in network.named_parameters()
            if f"{name}.".startswith(tuple(f"{place}." for place in places.split()))
        }  # fmt: skip
        assert trained == expected, part


def test_the_target_network_of_a_dqn_begins_as_the_source() -> None:
    source, model = dqn(1), dqn(2)
    rule = sb3.apply_rule(model, "freeze_embedding", source=source)
    for name, tensor in source.policy.q_net.state_dict().items():
        assert torch.equal(model.policy.q_net_target.state_dict()[name], tensor)
    before = tensors(model)
    model.learn(64, callback=rule)
    moved = changed(model, before)
    assert moved == of(before, "q_net.q_net.4", "q_net_target.q_net.4")


def test_a_convolutional_policy_learns_above_its_frozen_blocks() -> None:
    def env() -> gymnasium.Env[Any, Any]:
        return gymnasium.make("thaw.envs.catch:thaw/Catch-v0", downsample=5, num_actions=54)

    models = [
        PPO("CnnPolicy", env(), n_steps=8, batch_size=8, n_epochs=1, seed=seed, device="cpu")
        for seed in (1, 2)
    ]
    rule = sb3.apply_rule(models[1], "last_block_and_head", source=models[0])
    before = tensors(models[1])
    models[1].learn(8, callback=rule)
    assert not of(changed(models[1], before), *(f"{name}.cnn" for name in EXTRACTORS))
    assert "features_extractor.linear.0.weight" in changed(models[1], before)


def test_wrong_input_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "no.zip").write_bytes(b"no zip")
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: sb3.apply_rule(ppo(1), "update_all", source=tmp_path / "no.zip"), "not a model"),
        (
            lambda: sb3.apply_rule(ppo(1), "update_all", source=tmp_path / "none.zip"),
            "none.zip' does not exist; give the zip of model.save",
        ),
        (
            lambda: sb3.apply_rule(ppo(1), "update_all", source=tmp_path / "none"),
            "none' does not exist; give the zip of model.save",
        ),
        (lambda: sb3.apply_rule(ppo(1), "update_all", source=dqn(1)), "has no 'embedding"),
        (
            lambda: sb3.apply_rule(SAC("MlpPolicy", "Pendulum-v1", device="cpu"), "scratch"),
            "SAC trains several networks",
        ),
    ]
    for call, message in wrong:
        with pytest.raises(thaw.InputError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_predicting_searches_no_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """``predict`` switches the mode at every step, so that must be quick."""
    model = ppo(2)
    sb3.apply_rule(model, "freeze_embedding", source=ppo(1))

    def searched(self: ModuleParts) -> Iterator[nn.Module]:
        raise AssertionError("searched")

    monkeypatch.setattr(ModuleParts, "frozen_modules", searched)
    model.predict(np.zeros(4, dtype=np.float32))


def test_a_zip_with_code_runs_nothing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        torch.save(Touches(tmp_path / "touched"), tmp_path / "policy.pth")
        file.write(tmp_path / "policy.pth", "policy.pth")
        file.writestr("data", "{}")
    with pytest.raises(thaw.InputError, match="not a model") as caught:
        sb3.apply_rule(ppo(1), "update_all", source=tmp_path / "evil.zip")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "touched").exists()
