"""Policies of Stable-Baselines3, from its zip files. Nothing is unpickled.

Read are only ``policy.pth``, as tensors (``weights_only``), and of ``data`` what is plain JSON: the
pickled values in it are words to thaw. Names and networks are those of Stable-Baselines3 and
sb3-contrib 2.9: ``common/policies.py``, ``common/torch_layers.py``, ``recurrent/policies.py``.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple
from zipfile import BadZipFile

import torch

from thaw.config.agent import Branches
from thaw.config.errors import InputError, one_line

MAX_BYTES = 2**31
"""Of one file in the zip; a larger one is refused before it is unpacked."""

ALGORITHMS = "PPO, A2C and RecurrentPPO"

_POLICIES = ("stable_baselines3.common.policies", "sb3_contrib.common.recurrent.policies")
_EXTRACTORS = ("FlattenExtractor", "NatureCNN")
_ACTIVATIONS = {
    "Tanh": "tanh", "ReLU": "relu", "ELU": "elu", "LeakyReLU": "leaky_relu", "GELU": "gelu",
    "SiLU": "silu",
}  # fmt: skip
_NATURE = {
    "cnn.0": "sections.0", "cnn.2": "sections.2", "cnn.4": "sections.4", "linear.0": "linear",
}  # fmt: skip

Tensors = dict[str, torch.Tensor]


class Sb3Policy(NamedTuple):
    """A policy of Stable-Baselines3 in thaw's terms."""

    observation_shape: tuple[int, ...]
    """As thaw has it: images are [height, width, channels]."""
    num_actions: int
    network: dict[str, Any]
    """The settings of ``AgentConfig`` that give this network."""
    discount: float | None
    tensors: Tensors
    """By the names of thaw's policy."""
    version: str
    """Of Stable-Baselines3."""


def read_sb3(path: str | Path) -> Sb3Policy:
    """Read a policy that Stable-Baselines3 has saved (``model.save``).

    Raises:
        InputError: The file is missing or broken, or holds a policy that thaw cannot build.
    """
    data, tensors, version = _read(path)
    kwargs = _plain_dict(data.get("policy_kwargs"))
    _check_class(path, data, kwargs)
    observation_shape = _observation_shape(path, data, kwargs, tensors)
    network = _Network(path, tensors, kwargs, observation_shape)
    renamed, settings = network.translate()
    if network.left:
        raise _refusal(
            path, f"its network has parts that thaw does not know: {_some(network.left)}"
        )
    gamma = data.get("gamma")
    return Sb3Policy(
        observation_shape,
        num_actions=len(renamed["head.policy.bias"]),
        network=settings,
        discount=float(gamma) if isinstance(gamma, int | float) and 0 <= gamma <= 1 else None,
        tensors=renamed,
        version=version,
    )


def _read(path: str | Path) -> tuple[dict[str, Any], Tensors, str]:
    """Return a zip's plain data, its policy's tensors, and the version that wrote it."""
    members: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in ("data", "policy.pth", "_stable_baselines3_version"):
                if archive.getinfo(name).file_size > MAX_BYTES:
                    raise _refusal(path, f"its {name} is larger than {MAX_BYTES:,} bytes")
                members[name] = archive.read(name)
        data = json.loads(members["data"])
        loaded = _load(members["policy.pth"])
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"'{path}' does not exist; give the zip file of model.save(...)") from None
    except KeyError as error:
        raise _refusal(path, f"it has no {error.args[0]!r}") from None
    except pickle.UnpicklingError:
        raise _refusal(path, "its policy.pth holds more than tensors") from None
    except (OSError, ValueError, RuntimeError, EOFError, BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())[:200]
        raise _refusal(path, f"it cannot be read: {reason}") from None
    if not isinstance(data, dict) or not isinstance(loaded, Mapping):
        raise _refusal(path, "its contents have another form")
    tensors = {str(name): value for name, value in loaded.items()}
    if not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise _refusal(path, "its policy.pth holds more than tensors")
    version = members["_stable_baselines3_version"].decode(errors="replace").strip()
    return data, tensors, version


def _load(data: bytes) -> object:
    """Load a file of ``torch.save`` that holds nothing but tensors and plain containers.

    Raises:
        ValueError: It is damaged. PyTorch's own errors for that are of many kinds.
        pickle.UnpicklingError: It holds more.
    """
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # what weights_only refuses; the caller says so
        raise
    except Exception as error:  # IndexError, AttributeError, AssertionError and others
        raise ValueError(f"its policy.pth is damaged ({one_line(error)})") from error


def _check_class(path: str | Path, data: Mapping[str, Any], kwargs: Mapping[str, str]) -> None:
    """Check that a policy is of a known class, as far as plain words tell."""
    module = _plain_dict(data.get("policy_class")).get("__module__", _POLICIES[0])
    if module not in _POLICIES:
        raise _refusal(path, f"its policy class is from {module}")
    extractor = kwargs.get("features_extractor_class")
    if extractor is not None and _class_name(extractor) not in _EXTRACTORS:
        raise _refusal(path, f"its features extractor is {_class_name(extractor)}")
    kind = _class_name(_plain_dict(data.get("action_space")).get(":type:", "Discrete"))
    if kind != "Discrete":
        raise _refusal(path, f"its actions are a {kind} space, and thaw's are discrete")
    if _plain_dict(data.get("action_space")).get("start", "0") != "0":
        raise _refusal(path, "its actions do not begin at 0")


def _observation_shape(
    path: str | Path, data: Mapping[str, Any], kwargs: Mapping[str, str], tensors: Tensors
) -> tuple[int, ...]:
    """Return the shape of an observation as thaw has it.

    Stable-Baselines3 moves the channels of images to the front (``VecTransposeImage``), and scales
    bytes in images of three axes, but no others.
    """
    space = _plain_dict(data.get("observation_space"))
    kind = _class_name(space.get(":type:", ""))
    if kind != "Box":
        raise _refusal(path, f"its observations are a {kind or 'nameless'} space, not a Box")
    shape = tuple(int(size) for size in re.findall(r"\d+", space.get("_shape", "")))
    if not shape:
        raise _refusal(path, "the shape of its observations is not in the file")
    is_bytes = space.get("dtype") == "uint8"
    has_convolutions = any(".cnn." in name for name in tensors)
    if has_convolutions:
        if len(shape) != 3:
            raise _refusal(path, f"its observations {list(shape)} are no images")
        if is_bytes and kwargs.get("normalize_images") == "False":
            raise _refusal(path, "it takes bytes without scaling them (normalize_images=False)")
        bounds = [set(re.findall(r"\d+", space.get(end, ""))) for end in ("low", "high")]
        if is_bytes and any(bounds) and bounds != [{"0"}, {"255"}]:
            raise _refusal(path, "its bytes are not 0 to 255, so it does not scale them as images")
        return (*shape[1:], shape[0])
    if is_bytes:
        raise _refusal(
            path, "it takes bytes without convolutions, which thaw scales and flattens otherwise"
        )
    return shape


class _Network:
    """Translates the tensors of a network; what is left is not known."""

    def __init__(
        self,
        path: str | Path,
        tensors: Tensors,
        kwargs: Mapping[str, str],
        observation_shape: tuple[int, ...],
    ) -> None:
        self.path = path
        self.tensors = tensors
        self.kwargs = kwargs
        self.observation_shape = observation_shape
        self.left = dict(tensors)
        self.renamed: Tensors = {}

    def translate(self) -> tuple[Tensors, dict[str, Any]]:
        """Return the tensors by thaw's names, and the agent's settings of the network."""
        if "action_net.weight" not in self.tensors:
            raise _refusal(self.path, f"it has no action_net, as the policies of {ALGORITHMS} do")
        policy = self._widths("mlp_extractor.policy_net")
        value = self._widths("mlp_extractor.value_net")
        lstm, lstm_size = self._lstms()
        embedding, embedding_size = self._embedding(policy, value, lstm)
        for branch, widths in (("policy", policy), ("value", value)):
            for place in range(len(widths)):
                here = f"head.{branch}_layers.{2 * place}"
                if embedding == "mlp_branches":
                    here = f"embedding.layers.{place}.{branch}"
                self._move(f"mlp_extractor.{branch}_net.{2 * place}", here)
        self._move("action_net", "head.policy")
        self._move("value_net", "head.value")
        branches = Branches(policy=policy, value=value, activation=self._activation(), lstm=lstm)
        settings: dict[str, Any] = {
            "embedding": embedding,
            "embedding_size": embedding_size,
            "last_action_input": False,
            "last_reward_input": False,
        }
        if embedding == "nature" and not (policy or value or lstm_size):
            return self.renamed, settings | {"head": "linear"}
        settings |= {"head": "branches", "branches": branches}
        return self.renamed, settings | ({"lstm_size": lstm_size} if lstm_size else {})

    def _embedding(
        self, policy: tuple[int, ...], value: tuple[int, ...], lstm: str
    ) -> tuple[str, int]:
        """Move the tensors of a features extractor; return the embedding's name and width."""
        if not any(".cnn." in name for name in self.tensors):
            size = math.prod(self.observation_shape)
            if lstm == "none" and (policy or value):
                return "mlp_branches", (size, *policy)[-1] + (size, *value)[-1]
            return "flatten", size
        # The extractor's tensors are there under three names, and in old files under one.
        names = ("pi_features_extractor", "vf_features_extractor")
        if not any(name.startswith(names[0]) for name in self.tensors):
            names = ("features_extractor", "features_extractor")
        width = len(self._tensor(f"{names[0]}.linear.0.bias"))
        if self.kwargs.get("share_features_extractor") == "False":
            for branch, name in zip(("policy", "value"), names, strict=True):
                self._move_nature(name, f"embedding.branches.{branch}")
            self._drop("features_extractor", names[0])
            return "nature_branches", 2 * width
        self._move_nature(names[0], "embedding")
        for name in ("features_extractor", "vf_features_extractor"):
            self._drop(name, names[0])
        return "nature", width

    def _move_nature(self, there: str, here: str) -> None:
        for layer, name in _NATURE.items():
            self._move(f"{there}.{layer}", f"{here}.{name}")

    def _lstms(self) -> tuple[Literal["none", "shared", "separate", "policy"], int]:
        """Move the tensors of LSTMs; return which there are, and their width."""
        if "lstm_actor.weight_hh_l0" not in self.tensors:
            return "none", 0
        width = self._tensor("lstm_actor.weight_hh_l0").shape[1]
        self._move_lstm("lstm_actor", "head.lstm")
        if "lstm_critic.weight_hh_l0" in self.tensors:
            self._move_lstm("lstm_critic", "head.value_lstm")
            return "separate", width
        if "critic.weight" in self.tensors:
            self._move("critic", "head.value_linear")
            return "policy", width
        return "shared", width

    def _move_lstm(self, there: str, here: str) -> None:
        """Move an LSTM of one layer; thaw's has one bias in place of two that are added."""
        for name, own in (("weight_ih_l0", "weight_input"), ("weight_hh_l0", "weight_hidden")):
            self.renamed[f"{here}.{own}"] = self._take(f"{there}.{name}")
        biases = self._take(f"{there}.bias_ih_l0"), self._take(f"{there}.bias_hh_l0")
        self.renamed[f"{here}.bias"] = biases[0] + biases[1]

    def _activation(self) -> Any:
        name = _class_name(self.kwargs.get("activation_fn", "Tanh"))
        if name not in _ACTIVATIONS:
            known = ", ".join(_ACTIVATIONS)
            raise _refusal(self.path, f"its activation is {name}, and thaw has {known}")
        return _ACTIVATIONS[name]

    def _widths(self, network: str) -> tuple[int, ...]:
        """Return the widths of a list of layers, which alternate with activations."""
        widths: list[int] = []
        while (bias := self.tensors.get(f"{network}.{2 * len(widths)}.bias")) is not None:
            widths.append(len(bias))
        return tuple(widths)

    def _move(self, there: str, here: str) -> None:
        for name in ("weight", "bias"):
            self.renamed[f"{here}.{name}"] = self._take(f"{there}.{name}")

    def _take(self, name: str) -> torch.Tensor:
        tensor = self._tensor(name)
        self.left.pop(name, None)
        return tensor

    def _tensor(self, name: str) -> torch.Tensor:
        if name not in self.tensors:
            raise _refusal(self.path, f"its network has no '{name}'")
        return self.tensors[name]

    def _drop(self, alias: str, name: str) -> None:
        """Leave out the second name of tensors."""
        for own in [own for own in self.left if own.startswith(f"{alias}.")]:
            if not torch.equal(self.left.pop(own), self._tensor(name + own.removeprefix(alias))):
                raise _refusal(
                    self.path, "policy and value have features extractors of their own, but its "
                    "policy_kwargs do not say so",
                )  # fmt: skip


def _plain_dict(value: object) -> dict[str, str]:
    """Return the words of a dictionary or of an object's attributes; pickled ones stay unread."""
    if not isinstance(value, dict):
        return {}
    return {str(k): str(v) for k, v in value.items() if k != ":serialized:"}


def _class_name(text: str) -> str:
    """Return the last word of ``<class 'torch.nn.modules.activation.ReLU'>``."""
    return text.removeprefix("<class '").removesuffix("'>").rpartition(".")[2]


def _some(names: Mapping[str, object]) -> str:
    return ", ".join(list(names)[:3])


def _refusal(path: str | Path, reason: str) -> InputError:
    return InputError(
        f"'{path}' is no policy that thaw can import: {reason}; thaw reads MlpPolicy, CnnPolicy "
        f"and their LSTM forms of {ALGORITHMS} for discrete actions (docs/import.md; other "
        "networks: `thaw import torch`)"
    )
