"""Embeddings of timm: what they compute, which weights they have, and the traps."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import save_file
from small_runs import RUNTIME, SPEC, changed, stop_after
from torch.nn import functional as F
from torchvision_without_operators import declare_operators

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.update_rule import UpdateRule
from thaw.files.checkpoint import load_policy
from thaw.files.run_folder import RunFolder
from thaw.policy.embeddings import build_embedding
from thaw.policy.policy import Policy
from thaw.policy.timm_embedding import TimmEmbedding
from thaw.policy.update_rules import apply_update_rule
from thaw.training.progress import Stopped
from thaw.training.run import execute_run

NAME = "test_resnet"
"""timm's smallest network with batch normalization; 96 features."""


def pictures(*shape: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(256, shape, generator=draw, dtype=torch.uint8)


@pytest.fixture(scope="module", autouse=True)
def timm() -> Any:
    """Imported here, because it takes seconds, and every test process reads this file."""
    declare_operators()
    return pytest.importorskip("timm")


@pytest.fixture(scope="module")
def weights(timm: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as timm publishes them, with a classifier; its statistics are not the initial ones."""
    torch.manual_seed(7)
    model = timm.create_model(NAME)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_mean"):
            tensor.uniform_(-0.1, 0.1)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(model.state_dict(), path)
    return path


def agent(weights: Path | None = None, **settings: Any) -> AgentConfig:
    file = str(weights) if weights else None
    known: dict[str, Any] = {"embedding": f"timm:{NAME}", "embedding_weights": file}
    return AgentConfig(**{"embedding_size": 16} | known | settings)


def test_pixels_are_normalized_and_weights_are_the_file_s(timm: Any, weights: Path) -> None:
    embedding = build_embedding(agent(weights), (64, 48, 3)).eval()
    assert isinstance(embedding, TimmEmbedding)
    reference = timm.create_model(
        NAME, pretrained=True, pretrained_cfg_overlay={"file": str(weights)}
    ).eval()
    images = pictures(2, 64, 48, 3)
    cfg = reference.pretrained_cfg
    x = images.permute(0, 3, 1, 2).float() / 255
    x = (x - torch.tensor(cfg["mean"]).reshape(3, 1, 1)) / torch.tensor(cfg["std"]).reshape(3, 1, 1)
    with torch.no_grad():
        features = reference.forward_head(reference.forward_features(x), pre_logits=True)
        assert embedding.linear is not None
        torch.testing.assert_close(embedding(images), F.relu(embedding.linear(features)))
        whole = build_embedding(agent(weights, embedding_size=96), (64, 48, 3)).eval()
        torch.testing.assert_close(whole(images), features)


def test_vision_transformers_take_pictures_of_whole_patches() -> None:
    name = "timm:test_vit"
    embedding = build_embedding(agent(embedding=name), (96, 64, 3)).eval()
    with torch.no_grad():
        assert embedding(pictures(2, 96, 64, 3)).shape == (2, 16)
    with pytest.raises(InputError, match=r"patches of 16x16, and 84x84 is no multiple.*of 80x80"):
        build_embedding(agent(embedding=name), (84, 84, 3))


@pytest.mark.parametrize(
    ("settings", "shape", "message"),
    [
        ({"embedding": "timm:resnet1888"}, (64, 64, 3), "no network 'resnet1888'; did you mean"),
        ({"embedding": "timm:hf-hub:me/x"}, (64, 64, 3), "no network 'hf-hub:me/x'"),
        ({}, (64, 64, 4), r"color pictures .* not observations of shape \[64, 64, 4\]"),
        ({}, (7,), r"not observations of shape \[7\]"),
        ({"embedding_weights": "missing.safetensors"}, (64, 64, 3), "cannot be read: No such file"),
        ({"embedding_sha256": "0" * 64}, (64, 64, 3), "has the checksum .* is 0000"),
        ({"embedding": "timm:test_vit"}, (64, 64, 3), "does not fit 'timm:test_vit'"),
    ],
)
def test_traps_are_refused_in_one_line(
    weights: Path, settings: dict[str, Any], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        build_embedding(agent(weights, **settings), shape)
    assert "\n" not in str(caught.value)


def test_no_pickle_is_read(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(b"")
    with pytest.raises(InputError, match=r"no \.safetensors file; thaw reads no pickles"):
        build_embedding(agent(file), (64, 64, 3))


def test_numbers_of_an_unknown_scale_are_refused(weights: Path) -> None:
    embedding = build_embedding(agent(weights), (64, 64, 3))
    with pytest.raises(InputError, match=r"as uint8, not torch\.float32"):
        embedding(torch.zeros(1, 64, 64, 3))


def test_a_new_linear_layer_may_not_stay_as_it_was_drawn(weights: Path) -> None:
    policy = Policy((64, 64, 3), 3, agent(weights))
    frozen = "embedding=random:frozen,head=random:trained"
    with pytest.raises(InputError, match=r"freeze 'embedding.linear' as it was drawn.*add emb"):
        apply_update_rule(policy, UpdateRule(frozen))
    apply_update_rule(policy, UpdateRule(f"{frozen},embedding.linear=random:trained"))
    # Without a file, or without such a layer, it is the control with random features.
    apply_update_rule(Policy((64, 64, 3), 3, agent()), UpdateRule(frozen))
    apply_update_rule(Policy((64, 64, 3), 3, agent(weights, embedding_size=96)), UpdateRule(frozen))


def test_a_run_keeps_frozen_statistics_knows_its_file_and_goes_on(
    tmp_path: Path, weights: Path
) -> None:
    rule = UpdateRule("embedding=random:frozen,embedding.linear=random:trained,head=random:trained")
    spec = changed(
        SPEC,
        update_rule=rule,
        steps=80,
        environment={"num_envs": 4, "downsample": 4},
        agent={"embedding": f"timm:{NAME}", "embedding_weights": str(weights)},
    )
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(Stopped):
        execute_run(spec, folder, RUNTIME, should_stop=stop_after(1))
    execute_run(spec, folder, RUNTIME)
    assert folder.spec().agent.embedding_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    moved = tmp_path / "elsewhere.safetensors"
    moved.write_bytes(weights.read_bytes())
    elsewhere = msgspec.structs.replace(spec.agent, embedding_weights=str(moved))
    execute_run(msgspec.structs.replace(spec, agent=elsewhere), folder, RUNTIME)  # the same run
    moved.unlink()

    start = build_embedding(agent(weights), (30, 20, 3))
    trained = dict(load_policy(folder.path).embedding.named_buffers())
    for name, statistics in start.named_buffers():
        assert torch.equal(trained[name], statistics), name
