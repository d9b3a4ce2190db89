"""Embeddings from the library timm, with weights from a local file (``thaw[timm]``)."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn
from torch.nn import functional as F

from thaw.config.agent import TIMM, AgentConfig
from thaw.config.errors import InputError, install_hint, nearest, one_line
from thaw.policy.layers import as_numbers, initialize


class TimmEmbedding(nn.Module):
    """A network of timm without its classifier, one linear layer and ReLU.

    Pixels are scaled to [0, 1] and normalized with the mean and deviation of the pictures with
    which timm's weights were trained.

    Args:
        backbone: Maps normalized images [N, 3, height, width] to features [N, F].
        num_features: F.
        embedding_size: D; where it equals F, there is no linear layer.
        mean: Of each color, for pixels in [0, 1].
        std: The same.
        pretrained: Whether the backbone's weights are from a file.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_features: int,
        embedding_size: int,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        pretrained: bool,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.linear: nn.Linear | None = None
        if num_features != embedding_size:
            self.linear = nn.Linear(num_features, embedding_size)
            initialize(self.linear)
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.tensor(mean).reshape(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(3, 1, 1))
        self.drawn = ("linear",) if pretrained and self.linear is not None else ()
        """Parts whose weights are drawn although those of the rest come from a file."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images [N, height, width, 3] uint8 to [N, D].

        Raises:
            InputError: The numbers are no bytes, so that their scale is not known.
        """
        if images.dtype != torch.uint8:
            raise InputError(
                f"embeddings of timm take pixels from 0 to 255 as uint8, not {images.dtype}, whose "
                "scale is not known; use an environment that returns uint8 pictures"
            )
        x = as_numbers(images.permute(0, 3, 1, 2), self.mean.dtype)
        features: torch.Tensor = self.backbone((x - self.mean) / self.std)
        return features if self.linear is None else F.relu(self.linear(features))


def timm_embedding(config: AgentConfig, observation_shape: tuple[int, ...]) -> TimmEmbedding:
    """Build ``timm:NAME``, with the weights of ``config.embedding_weights`` if there are any.

    On the device ``meta`` the file is not read.

    Args:
        config: The agent.
        observation_shape: [height, width, 3].

    Raises:
        InputError: timm is missing or has no such network, the pictures do not fit it, or the file
            is missing, broken, another network's, or not the one with the checksum.
    """
    name = config.embedding.removeprefix(TIMM)
    try:
        import timm
    except ImportError:
        raise InputError(
            f"the embedding '{config.embedding}' needs timm: {install_hint('timm')}"
        ) from None
    known = timm.list_models() if re.fullmatch(r"[\w.]+", name) else []
    if name.partition(".")[0] not in known:  # timm would look for any other name elsewhere
        raise InputError(
            f"timm has no network '{name}'{nearest(name, known)} See timm.list_models()"
        )
    if len(observation_shape) != 3 or observation_shape[2] != 3:
        raise InputError(
            f"the embedding '{config.embedding}' takes color pictures [height, width, 3], not "
            f"observations of shape {list(observation_shape)}; its weights know neither gray "
            "pictures nor stacks of frames, so choose options that give one picture in color"
        )
    size = observation_shape[:2]
    try:
        model: Any = timm.create_model(name, num_classes=0)
        if model.pretrained_cfg.get("fixed_input_size"):
            _check_patches(config, model, size)
            model = timm.create_model(name, num_classes=0, img_size=size)
    except InputError:
        raise
    except Exception as error:  # timm raises many kinds
        raise InputError(f"timm cannot build '{name}': {one_line(error)}") from error
    if config.embedding_weights is not None and torch.get_default_device().type != "meta":
        _load(config, model)
    cfg = model.pretrained_cfg
    return TimmEmbedding(
        model,
        getattr(model, "head_hidden_size", None) or model.num_features,
        config.embedding_size,
        mean=cfg["mean"],
        std=cfg["std"],
        pretrained=config.embedding_weights is not None,
    )


def with_checksum(agent: AgentConfig) -> AgentConfig:
    """Put the checksum of the file of pretrained weights into an agent that has none.

    Raises:
        InputError: The file cannot be read.
    """
    if agent.embedding_weights is None or agent.embedding_sha256 is not None:
        return agent
    return msgspec.structs.replace(agent, embedding_sha256=_checksum(agent))


def _checksum(agent: AgentConfig) -> str:
    path = str(agent.embedding_weights)
    try:
        found = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(
            f"agent.embedding_weights: '{path}' cannot be read: {error.strerror}; give the file "
            "that the weights lie in"
        ) from None
    if agent.embedding_sha256 not in (None, found):
        raise InputError(
            f"agent.embedding_weights: '{path}' has the checksum {found}, but "
            f"agent.embedding_sha256 is {agent.embedding_sha256}; give the file that was used"
        )
    return found


def _check_patches(config: AgentConfig, model: Any, size: tuple[int, ...]) -> None:
    """Check that pictures can be divided into patches.

    Raises:
        InputError: They cannot.
    """
    embed = getattr(model, "patch_embed", None)
    patch = getattr(embed, "patch_size", None)
    if patch is None or all(side % p == 0 for side, p in zip(size, patch, strict=True)):
        return
    fits = [max(p, round(side / p) * p) for side, p in zip(size, patch, strict=True)]
    raise InputError(
        f"the embedding '{config.embedding}' divides pictures into patches of "
        f"{patch[0]}x{patch[1]}, and {size[0]}x{size[1]} is no multiple of that; choose options "
        f"that give pictures of {fits[0]}x{fits[1]}, or another network"
    )


def _load(config: AgentConfig, model: Any) -> None:
    """Load the weights of a file into a network of timm.

    Raises:
        InputError: The file is missing, broken, another network's, or has another checksum.
    """
    from timm.models import load_pretrained

    path = str(config.embedding_weights)
    _checksum(config)
    if not path.endswith(".safetensors"):
        raise InputError(
            f"agent.embedding_weights: '{path}' is no .safetensors file; thaw reads no pickles, so "
            "save the weights with safetensors.torch.save_file"
        )
    missing: list[str] = []
    load = model.load_state_dict

    def load_and_ask(*arguments: Any, **options: Any) -> Any:
        found = load(*arguments, **options)
        missing.extend(found.missing_keys)
        return found

    # timm only logs which weights a file does not have.
    model.load_state_dict = load_and_ask
    try:
        load_pretrained(
            model,
            pretrained_cfg={**model.pretrained_cfg, "file": path, "custom_load": False},
            num_classes=0,
        )
    except Exception as error:  # timm, safetensors and torch raise many kinds
        raise InputError(
            f"agent.embedding_weights: '{path}' does not fit '{config.embedding}': "
            f"{one_line(error)}"
        ) from error
    finally:
        del model.load_state_dict
    if missing:
        raise InputError(
            f"agent.embedding_weights: '{path}' does not fit '{config.embedding}': it has no "
            f"{', '.join(missing[:3])}; give a file of that network's weights"
        )
