from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from safetensors.torch import save_file
from torchvision_without_operators import declare_operators

from thaw.config.agent import AgentConfig, Branches
from thaw.config.errors import InputError
from thaw.files.atomic import WriteFailed
from thaw.files.checkpoint import (
    STATE_FILE,
    STATE_JSON,
    load_policy,
    load_training_state,
    save_checkpoint,
)
from thaw.files.checksums import CHECKSUMS
from thaw.files.policy_file import POLICY_FILE, find_policy
from thaw.files.run_folder import RunFolder
from thaw.policy.policy import Policy

EMBEDDINGS = ["impala_deep", "impala_shallow", "user_embedding:batch_norm"]


def make_policy(seed: int = 0, embedding: str = "impala_shallow") -> Policy:
    torch.manual_seed(seed)
    config = AgentConfig(
        embedding=embedding, embedding_size=8, lstm_size=6, fc_size=5, discount=0.9
    )
    return Policy((36, 36, 3), 4, config)


def state_of(number: int) -> dict[str, torch.Tensor]:
    """A training state that tells which checkpoint it belongs to; larger than the policy."""
    return {"number": torch.tensor(number), "much": torch.full((20_000,), float(number))}


def save_numbered(folder: RunFolder, number: int) -> Policy:
    policy = make_policy(number)
    save_checkpoint(folder, policy, state_of(number), {"learned_steps": number})
    return policy


def assert_holds(folder: RunFolder, number: int) -> None:
    """The folder's checkpoint is whole, and all of its files are of the same moment."""
    checkpoint = folder.find_checkpoint()
    assert checkpoint is not None
    tensors, counters = load_training_state(checkpoint)
    assert torch.equal(tensors["much"], state_of(number)["much"])
    assert counters == {"learned_steps": number}
    assert folder.saved_steps() == number
    for path in (checkpoint, folder.path):
        assert_equal(load_policy(path), make_policy(number))


def assert_equal(policy: Policy, other: Policy) -> None:
    pairs = zip(policy.parts(), other.parts(), strict=True)
    for (name, tensor), (other_name, other_tensor) in pairs:
        assert name == other_name
        assert tensor.dtype == other_tensor.dtype
        assert torch.equal(tensor, other_tensor), name


# ---------------------------------------------------------------------------------- round trip


@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_a_policy_comes_back_bit_for_bit(tmp_path: Path, embedding: str) -> None:
    policy = make_policy(3, embedding)
    with torch.no_grad():
        for _, tensor in policy.named_buffers():
            tensor.add_(1)
    save_checkpoint(RunFolder(tmp_path), policy)
    for path in (tmp_path, tmp_path / "checkpoint", str(tmp_path)):
        loaded = load_policy(path, embedding=embedding)
        assert_equal(loaded, policy)
        assert loaded.config == policy.config
        assert loaded.observation_shape == (36, 36, 3)
        assert loaded.num_actions == 4
        assert not any(module.training for module in loaded.modules())
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(256, (2, 3, 36, 36, 3), generator=draw, dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(loaded.embed(images), policy.eval().embed(images))


OTHERS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((36, 36, 3), {"embedding": "nature", "head": "feedforward"}),
    ((36, 36, 3), {"embedding": "nature_branches", "head": "branches"}),
    ((36, 36, 3), {"embedding": "timm:test_resnet", "head": "linear"}),
    ((5,), {"embedding": "mlp", "head": "user_head:fading"}),
    ((5,), {"embedding": "user_embedding:batch_norm", "head": "user_head:fading"}),
    (
        (5,),
        {
            "embedding": "mlp_branches",
            "embedding_size": 6,
            "head": "branches",
            "branches": Branches(policy=(3, 2), value=(4,), lstm="separate"),
        },
    ),
    ((8,), {"embedding": "flatten", "head": "branches", "branches": Branches(lstm="policy")}),
]


@pytest.mark.parametrize(("shape", "settings"), OTHERS)
def test_every_network_comes_back(
    tmp_path: Path, shape: tuple[int, ...], settings: dict[str, Any]
) -> None:
    if "timm" in settings["embedding"]:
        declare_operators()
        pytest.importorskip("timm")
    torch.manual_seed(0)
    policy = Policy(shape, 4, AgentConfig(**{"embedding_size": 8, "lstm_size": 5} | settings))
    save_checkpoint(RunFolder(tmp_path), policy)
    named = {part: name for part, name in settings.items() if "user_" in str(name)}
    assert_equal(load_policy(tmp_path, **named), policy)
    for part in named:
        with pytest.raises(InputError, match=f"names code .*agent.{part}=user.*pass .*{part}='us"):
            load_policy(tmp_path, **{name: named[name] for name in named if name != part})


def test_a_training_state_comes_back(tmp_path: Path) -> None:
    state = {
        "optimizer/head.fc.bias/step": torch.tensor(3.0),
        "actor/first": torch.tensor([True, False]),
        "actor/env/rng": torch.from_numpy(np.array([2**64 - 1, 5], np.uint64)),
        "clock/observations": torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4),
        "not/contiguous": torch.arange(12.0).reshape(3, 4).t(),
        "nothing": torch.zeros(2, 4, 0),
    }
    counters = {"num_updates": 7, "seconds": 1 / 3, "recent_returns": [0.1, -1.0]}
    save_checkpoint(RunFolder(tmp_path), make_policy(), state, counters)
    tensors, found = load_training_state(tmp_path / "checkpoint")
    assert found == counters
    assert set(tensors) == set(state)
    for name, tensor in state.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor), name


def test_equal_policies_make_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_numbered(RunFolder(tmp_path / name), 5)
    for file in (POLICY_FILE, STATE_FILE, STATE_JSON):
        a, b = ((tmp_path / name / "checkpoint" / file).read_bytes() for name in ("a", "b"))
        assert a == b


@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_files_hold_names_and_numbers_and_nothing_else(tmp_path: Path, embedding: str) -> None:
    """No pickle: a header in JSON and then exactly the tensors' bytes."""
    policy = make_policy(0, embedding)
    save_checkpoint(RunFolder(tmp_path), policy, state_of(1), {"learned_steps": 1})
    files = sorted(path.name for path in (tmp_path / "checkpoint").iterdir())
    assert files == [CHECKSUMS, POLICY_FILE, STATE_JSON, STATE_FILE]
    for name in (POLICY_FILE, STATE_FILE):
        data = (tmp_path / "checkpoint" / name).read_bytes()
        header_size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + header_size])
        sizes = [np.subtract(*e["data_offsets"][::-1]) for n, e in header.items() if n[0] != "_"]
        assert len(data) == 8 + header_size + sum(sizes)
    json.loads((tmp_path / "checkpoint" / STATE_JSON).read_text())
    # Any other program reads them by their documented names.
    arrays = safetensors.numpy.load_file(tmp_path / "checkpoint" / POLICY_FILE)
    assert set(arrays) == {name for name, _ in policy.parts()}
    assert all(name.startswith(("embedding.", "head.")) for name in arrays)


# --------------------------------------------------------------------------------- wrong input


def rewrite(file: Path, metadata: dict[str, str] | None, **changes: torch.Tensor | None) -> None:
    """Write a policy file again with some tensors or its description changed."""
    tensors = {n: torch.from_numpy(a) for n, a in safetensors.numpy.load_file(file).items()}
    for name, tensor in changes.items():
        if tensor is None:
            del tensors[name.replace("__", ".")]
        else:
            tensors[name.replace("__", ".")] = tensor
    save_file(tensors, file, metadata)


def description(file: Path) -> dict[str, Any]:
    data = file.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    content: dict[str, Any] = json.loads(header["__metadata__"]["thaw"])
    return content


def spoil(file: Path, how: str) -> None:
    content = description(file)
    metadata = {"thaw": json.dumps(content)}
    match how:
        case "empty":
            file.write_bytes(b"")
        case "junk":
            file.write_bytes(bytes(range(256)) * 8)
        case "text":
            file.write_text("not a checkpoint")
        case "truncated":
            file.write_bytes(file.read_bytes()[:-100])
        case "truncated in its header":
            file.write_bytes(file.read_bytes()[:60])
        case "a folder":
            file.unlink()
            file.mkdir()
        case "of another program":
            rewrite(file, None)
        case "description is no JSON":
            rewrite(file, {"thaw": "{"})
        case "description is incomplete":
            rewrite(file, {"thaw": json.dumps({"num_actions": 4})})
        case "description with an unknown key":
            content["agent"]["lstm_sise"] = 6
            rewrite(file, {"thaw": json.dumps(content)})
        case "description of another network":
            content["agent"]["lstm_size"] = 7
            rewrite(file, {"thaw": json.dumps(content)})
        case "a tensor of another shape":
            rewrite(file, metadata, head__policy__bias=torch.zeros(5))
        case "a tensor too few":
            rewrite(file, metadata, head__policy__bias=None)
        case "a tensor too many":
            rewrite(file, metadata, head__policy__extra=torch.zeros(5))
        case _:
            raise AssertionError(how)


@pytest.mark.parametrize(
    "how",
    [
        "empty",
        "junk",
        "text",
        "truncated",
        "truncated in its header",
        "a folder",
        "of another program",
        "description is no JSON",
        "description is incomplete",
        "description with an unknown key",
        "description of another network",
        "a tensor of another shape",
        "a tensor too few",
        "a tensor too many",
    ],
)
def test_a_wrong_policy_file_is_refused_in_one_line(tmp_path: Path, how: str) -> None:
    save_numbered(RunFolder(tmp_path), 1)
    spoil(tmp_path / "checkpoint" / POLICY_FILE, how)
    with pytest.raises(InputError) as caught:
        load_policy(tmp_path)
    assert "\n" not in str(caught.value)
    assert "checkpoint" in str(caught.value)


@pytest.mark.parametrize("file", [STATE_FILE, STATE_JSON])
@pytest.mark.parametrize("how", ["empty", "junk", "truncated", "missing"])
def test_a_wrong_training_state_is_refused_in_one_line(tmp_path: Path, file: str, how: str) -> None:
    save_numbered(RunFolder(tmp_path), 1)
    path = tmp_path / "checkpoint" / file
    if how == "missing":
        path.unlink()
    else:
        content = {"empty": b"", "junk": b"\x80\x04\x95junk", "truncated": path.read_bytes()[:-3]}
        path.write_bytes(content[how])
    with pytest.raises(InputError) as caught:
        load_training_state(tmp_path / "checkpoint")
    assert "\n" not in str(caught.value)
    assert file in str(caught.value)


def test_a_missing_checkpoint_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere' does not exist\. Allowed: a run's folder or"):
        load_policy(tmp_path / "nowhere")
    with pytest.raises(InputError, match=rf"has no {POLICY_FILE}; give a run's folder"):
        load_policy(tmp_path)


# ------------------------------------------------------------------------------- failing writes


@contextmanager
def file_size_limit(num_bytes: int) -> Iterator[None]:
    """As a full disk: no file may grow beyond this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("fails", ["the first file", "the second file"])
def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path: Path, fails: str) -> None:
    folder = RunFolder(tmp_path)
    save_numbered(folder, 1)
    policy_size = (folder.checkpoint / POLICY_FILE).stat().st_size
    assert (folder.checkpoint / STATE_FILE).stat().st_size > policy_size
    with file_size_limit(100 if fails == "the first file" else policy_size):
        with pytest.raises(WriteFailed, match="the files written before are intact") as caught:
            save_numbered(folder, 2)
        assert "\n" not in str(caught.value)
    assert_holds(folder, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint"]
    save_numbered(folder, 2)
    assert_holds(folder, 2)


# --------------------------------------------------------------------------------------- kills


class Killed(BaseException):
    """Raised where a SIGKILL would hit; no code catches it, so the disk is left as after a kill."""


@pytest.mark.parametrize(
    ("operation", "nth", "survivor"),
    [
        ("write_bytes", 1, 1),  # before the policy file is whole
        ("write_bytes", 4, 1),  # before the last file, with the checksums, is whole
        ("rename", 1, 1),  # before the checkpoint of before the old one is dropped
        ("rename", 2, 1),  # before the old checkpoint is put aside
        ("rename", 3, 1),  # between the two renames: only checkpoint.old has the right name
        ("rename", 4, 2),  # never reached
    ],
)
def test_a_kill_in_the_middle_of_a_save_leaves_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, nth: int, survivor: int
) -> None:
    folder = RunFolder(tmp_path)
    save_numbered(folder, 0)
    save_numbered(folder, 1)
    num_calls = 0
    original = getattr(Path, operation)

    def killed_at_nth(self: Path, argument: Any) -> Any:
        nonlocal num_calls
        num_calls += 1
        if num_calls == nth:
            raise Killed
        return original(self, argument)

    with monkeypatch.context() as patch:
        patch.setattr(Path, operation, killed_at_nth)
        try:
            save_numbered(folder, 2)
            killed = False
        except Killed:
            killed = True
    assert killed == (survivor == 1)
    assert_holds(folder, survivor)
    # The next save cleans up.
    save_numbered(folder, 3)
    assert_holds(folder, 3)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint", "checkpoint.old"}
    shutil.rmtree(folder.checkpoint)
    assert_holds(folder, survivor)


def test_a_kill_before_the_old_checkpoint_is_deleted_leaves_the_new_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    save_numbered(folder, 1)
    folder.checkpoint.rename(tmp_path / "checkpoint.old")
    save_numbered(RunFolder(tmp_path / "other"), 2)
    (tmp_path / "other" / "checkpoint").rename(folder.checkpoint)
    assert_holds(folder, 2)
    assert find_policy(tmp_path) == folder.checkpoint / POLICY_FILE


def test_what_was_not_swapped_in_does_not_count(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    save_numbered(RunFolder(tmp_path / "other"), 2)
    (tmp_path / "other" / "checkpoint").rename(tmp_path / "checkpoint.new")
    assert folder.find_checkpoint() is None
    assert folder.saved_steps() == 0
    with pytest.raises(InputError, match=f"has no {POLICY_FILE}"):
        load_policy(tmp_path)
