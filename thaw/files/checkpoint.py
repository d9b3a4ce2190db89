"""Policies and training states as safetensors files: no pickle, strict shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.strict import from_plain, to_plain
from thaw.files.atomic import encode_json, read_json
from thaw.files.run_folder import RunFolder
from thaw.policy.policy import Policy

POLICY_FILE = "policy.safetensors"

STATE_FILE = "training_state.safetensors"

STATE_JSON = "training_state.json"


def save_checkpoint(
    folder: RunFolder,
    policy: Policy,
    state: Mapping[str, torch.Tensor] | None = None,
    counters: Mapping[str, object] | None = None,
) -> None:
    """Replace a run's checkpoint, atomically.

    Args:
        folder: The run's folder.
        policy: Saved with what is needed to build it again.
        state: Tensors from which the run resumes; None for a policy that does not train.
        counters: Numbers from which the run resumes.

    Raises:
        WriteFailed: Disk full, no permission, and the like; the old checkpoint is intact.
    """
    description = {
        "observation_shape": list(policy.observation_shape),
        "num_actions": policy.num_actions,
        "agent": to_plain(policy.config),
    }
    files = {
        POLICY_FILE: save(_plain_tensors(policy.parts()), {"thaw": json.dumps(description)}),
    }
    if state is not None:
        files[STATE_FILE] = save(_plain_tensors(state.items()))
        files[STATE_JSON] = encode_json(dict(counters or {}))
    folder.replace_checkpoint(files)


def load_training_state(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Load what a run resumes from.

    Returns:
        Tensors and counters as given to :func:`save_checkpoint`.

    Raises:
        InputError: Missing or broken files.
    """
    return load_tensors(folder / STATE_FILE), read_json(folder / STATE_JSON)


def find_policy(path: str | Path) -> Path:
    """Return the policy file of a run's folder or of the folder that holds it.

    Raises:
        InputError: There is none.
    """
    root = Path(path)
    if not root.exists():
        raise InputError(f"checkpoint '{path}' does not exist")
    for folder in (root, RunFolder(root).find_checkpoint()):
        if folder is not None and (folder / POLICY_FILE).is_file():
            return folder / POLICY_FILE
    raise InputError(
        f"checkpoint '{path}' has no {POLICY_FILE}; give a run's folder or its checkpoint folder"
    )


def load_policy(path: str | Path) -> Policy:
    """Load a policy from a run's folder or its checkpoint folder, in evaluation mode.

    Raises:
        InputError: Missing or broken file, or one that thaw did not write.
    """
    file = find_policy(path)
    tensors = load_tensors(file)
    with cast(Any, safe_open)(file, framework="pt") as opened:  # it has no types
        metadata = opened.metadata() or {}
    try:
        description = json.loads(metadata["thaw"])
        shape, num_actions = description["observation_shape"], description["num_actions"]
    except (KeyError, ValueError):
        raise InputError(f"{file} was not written by thaw: its description is missing") from None
    config = from_plain(description["agent"], AgentConfig, str(file))
    policy = Policy(tuple(shape), num_actions, config)
    load_tensors_into(policy, tensors, str(file))
    return policy.eval()


def load_tensors_into(policy: Policy, tensors: Mapping[str, torch.Tensor], where: str) -> None:
    """Copy all parameters and buffers, strictly.

    Not ``load_state_dict``: that leaves out buffers which an embedding declares non-persistent,
    and a part that is frozen must come back whole.

    Raises:
        InputError: Names or shapes differ.
    """
    own = dict(policy.parts())
    for name in sorted(own.keys() | tensors.keys()):
        here, there = (
            list(parts[name].shape) if name in parts else None for parts in (own, tensors)
        )
        if here != there:
            raise InputError(
                f"{where} does not fit its own description: '{name}' has shape {there} in the "
                f"file and {here} in the network"
            )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def load_tensors(file: Path) -> dict[str, torch.Tensor]:
    """Load a safetensors file.

    Raises:
        InputError: Missing or broken file.
    """
    try:
        return load_file(file)
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(f"{file} is not a readable safetensors file: {error}") from None


def _plain_tensors(tensors: Any) -> dict[str, torch.Tensor]:
    """Detach and lay out tensors as safetensors wants them, in any memory format."""
    return {name: t.detach().cpu().contiguous().clone() for name, t in tensors}
