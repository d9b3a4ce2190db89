"""A policy of Stable-Baselines3 acts here as it does there, and nothing of its file is executed."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_models import NUM_ACTIONS, probabilities_and_values, save_model
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.experiment.imports import import_sb3
from thaw.files.checkpoint import load_policy
from thaw.files.from_sb3 import read_sb3
from thaw.policy.policy import Policy

VECTOR, PICTURE = (6,), (84, 84, 1)
MODELS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "MlpPolicy": (("PPO", "MlpPolicy", VECTOR), {}),
    "other widths": (
        ("A2C", "MlpPolicy", VECTOR),
        {"net_arch": {"pi": [7], "vf": [9, 5, 3]}, "activation_fn": nn.ReLU},
    ),
    "a value without hidden layers": (
        ("PPO", "MlpPolicy", VECTOR),
        {"net_arch": {"pi": [7, 8], "vf": []}},
    ),
    "two axes": (("PPO", "MlpPolicy", (3, 2)), {}),
    "LSTMs": (("RecurrentPPO", "MlpLstmPolicy", VECTOR), {"lstm_hidden_size": 12}),
    "a shared LSTM": (
        ("RecurrentPPO", "MlpLstmPolicy", VECTOR),
        {"lstm_hidden_size": 12, "shared_lstm": True, "enable_critic_lstm": False},
    ),
    "the policy's LSTM": (
        ("RecurrentPPO", "MlpLstmPolicy", VECTOR),
        {"lstm_hidden_size": 12, "enable_critic_lstm": False, "net_arch": [9]},
    ),
    "CnnPolicy": (("PPO", "CnnPolicy", PICTURE), {"stack": 4}),
    "layers after the CNN": (
        ("A2C", "CnnPolicy", PICTURE),
        {"net_arch": [9], "features_extractor_kwargs": {"features_dim": 32}},
    ),
    "two CNNs": (
        ("PPO", "CnnPolicy", (84, 84, 3)),
        {"share_features_extractor": False, "features_extractor_kwargs": {"features_dim": 32}},
    ),
    "LSTM after a CNN": (
        ("RecurrentPPO", "CnnLstmPolicy", PICTURE),
        {"lstm_hidden_size": 12, "features_extractor_kwargs": {"features_dim": 32}},
    ),
}


def observations(shape: tuple[int, ...], steps: int, batch: int) -> Any:
    draw = np.random.default_rng(0)
    if len(shape) == 3:
        return draw.integers(0, 256, (steps, batch, *shape), np.uint8)
    return draw.normal(size=(steps, batch, *shape)).astype(np.float32)


@torch.no_grad()
def ours(policy: Policy, seen: Any, first: Any) -> tuple[torch.Tensor, torch.Tensor]:
    steps, batch = first.shape
    output = policy.unroll(
        policy.embed(torch.as_tensor(seen)),
        torch.as_tensor(first),
        torch.randint(0, NUM_ACTIONS, (steps, batch)),  # last actions and rewards must not matter
        torch.randn(steps, batch),
        policy.initial_state(batch),
    )
    return output.logits.softmax(-1), output.values


@pytest.mark.parametrize("name", MODELS)
def test_the_same_observation_gives_the_same_probabilities(tmp_path: Path, name: str) -> None:
    arguments, settings = MODELS[name]
    model = save_model(tmp_path / "model.zip", *arguments, **settings)
    import_sb3(tmp_path / "model.zip", tmp_path / "imported")
    policy = load_policy(tmp_path / "imported")
    shape = policy.observation_shape
    assert shape == (*arguments[2][:-1], arguments[2][-1] * settings.get("stack", 1))
    steps, batch = 6, 4
    seen = observations(shape, steps, batch)
    first = np.random.default_rng(1).random((steps, batch)) < 0.3
    first[0] = True
    theirs = probabilities_and_values(model, seen, first)
    assert theirs[0].std(dim=1).max() > 0.02, "the observation must matter"
    for expected, found in zip(theirs, ours(policy, seen, first), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert policy.config.discount == 0.99


def test_it_fits_where_the_library_played(tmp_path: Path) -> None:
    save_model(tmp_path / "model.zip", "PPO", "MlpPolicy", (4,))
    with pytest.raises(InputError, match="trained with actions: 5, 'gym/CartPole-v1' has 2"):
        import_sb3(tmp_path / "model.zip", tmp_path / "imported", flavor="gym/CartPole-v1")
    assert not (tmp_path / "imported").exists()
    save_model(tmp_path / "fits.zip", "PPO", "MlpPolicy", (4,), actions=spaces.Discrete(2))
    done = import_sb3(
        tmp_path / "fits.zip", tmp_path / "imported", flavor="gym/CartPole-v1",
        overrides=["agent.learning_rate=0.25"],
    )  # fmt: skip
    assert done.policy.config.learning_rate == 0.25
    assert json.loads((tmp_path / "imported/import.json").read_text()) == done.origin
    with pytest.raises(InputError, match="is not empty; choose another --out"):
        import_sb3(tmp_path / "fits.zip", tmp_path / "imported")


class OwnExtractor(NatureCNN):
    """A subclass may compute anything."""


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (("DQN", "MlpPolicy", VECTOR), {}, "its policy class is from stable_baselines3.dqn"),
        (
            ("PPO", "MlpPolicy", VECTOR),
            {"actions": spaces.Box(-1, 1, (2,))},
            "its actions are a Box space",
        ),
        (
            ("PPO", "MlpPolicy", VECTOR),
            {"activation_fn": nn.Softplus},
            "its activation is Softplus, and thaw has Tanh, ReLU",
        ),
        (
            ("PPO", "CnnPolicy", PICTURE),
            {"features_extractor_class": OwnExtractor},
            "its features extractor is OwnExtractor",
        ),
        (
            ("RecurrentPPO", "MlpLstmPolicy", VECTOR),
            {"n_lstm_layers": 2, "lstm_hidden_size": 4},
            "thaw does not know: lstm_actor.weight_ih_l1",
        ),
        (("PPO", "MlpPolicy", (9, 9, 1)), {}, "it takes bytes without convolutions"),
        (
            ("PPO", "CnnPolicy", (1, 84, 84)),
            {"brightest": 1, "features_extractor_kwargs": {"normalized_image": True}},
            "its bytes are not 0 to 255",
        ),
    ],
)
def test_what_would_act_differently_is_refused(
    tmp_path: Path, arguments: tuple[Any, ...], settings: dict[str, Any], message: str
) -> None:
    save_model(tmp_path / "model.zip", *arguments, **settings)
    with pytest.raises(InputError, match=message) as caught:
        import_sb3(tmp_path / "model.zip", tmp_path / "imported")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "imported").exists()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "model.zip"
    save_model(path, "PPO", "MlpPolicy", VECTOR)
    return path


def rewritten(saved: Path, path: Path, **members: bytes | None) -> Path:
    """Copy a zip with some members changed, or left out for None."""
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = members.get(name.partition(".")[0], old.read(name))
            if content is not None:
                new.writestr(name, content)
    return path


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("executed"),))


def test_nothing_of_the_file_is_executed(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(saved) as archive:
        data = json.loads(archive.read("data"))
    bomb = __import__("base64").b64encode(pickle.dumps(Bomb())).decode()
    for value in data.values():
        if isinstance(value, dict) and ":serialized:" in value:
            value[":serialized:"] = bomb
    read_sb3(rewritten(saved, Path("a.zip"), data=json.dumps(data).encode()))
    torch.save({"action_net.weight": Bomb()}, "bomb.pth")
    hostile = rewritten(saved, Path("b.zip"), policy=Path("bomb.pth").read_bytes())
    with pytest.raises(InputError, match=r"its policy\.pth holds more than tensors"):
        read_sb3(hostile)
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"policy": None}, "it has no"),
        ({"data": b"{"}, "it cannot be read"),
        ({"data": b"[]"}, "another form"),
        ({"policy": b"no tensors"}, "cannot be read|more than tensors"),
        ({"data": b"{}"}, "its observations are a nameless space"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(
    saved: Path, tmp_path: Path, members: dict[str, bytes | None], message: str
) -> None:
    path = rewritten(saved, tmp_path / "broken.zip", **members)
    with pytest.raises(InputError, match=message) as caught:
        read_sb3(path)
    assert "\n" not in str(caught.value)


def test_any_damage_to_its_tensors_is_refused_in_one_line(saved: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        whole = archive.read("policy.pth")
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    files = [(packed, packed.read_bytes())] * 150 + [(saved, whole)] * 150
    refusals = []
    for seed, (of, content) in enumerate(files):
        place = np.random.default_rng(seed).integers(min(len(content), 3000))
        flipped = bytearray(content)
        flipped[place] ^= 1 << seed % 8
        path = tmp_path / "damaged.zip"
        if of == packed:
            path.write_bytes(flipped)
        else:
            rewritten(saved, path, policy=bytes(flipped))
        try:
            read_sb3(path)
        except InputError as error:
            refusals.append(str(error))
    assert len(refusals) > 100
    assert not [refusal for refusal in refusals if "\n" in refusal]


def test_a_missing_file_or_no_zip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not exist; give the zip file of model\.save"):
        read_sb3(tmp_path / "missing.zip")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(InputError, match="cannot be read: File is not a zip file"):
        read_sb3(tmp_path / "text.zip")


def test_the_file_decides_the_network(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the file decides agent\.embedding; leave it out"):
        import_sb3(saved, tmp_path / "out", overrides=["agent.embedding=mlp"])
    with pytest.raises(InputError, match=r"an import has agent\.\* and environment"):
        import_sb3(saved, tmp_path / "out", overrides=["evaluation.episodes=3"])
    network = read_sb3(saved).network
    assert set(network) <= set(AgentConfig.__struct_fields__)
    assert not AgentConfig(**network).code
