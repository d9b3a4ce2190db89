"""Policies and training states as safetensors files: no pickle, all shapes checked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from thaw.config.agent import AgentConfig, complete_agent
from thaw.config.errors import InputError
from thaw.config.run_spec import RunSpec
from thaw.config.strict import Config, Size, from_plain, to_plain
from thaw.config.trust import check_code, code_named_in
from thaw.files.atomic import encode_json, read_json
from thaw.files.policy_file import POLICY_FILE, find_policy
from thaw.files.run_folder import RunFolder
from thaw.policy.policy import Policy

STATE_FILE = "training_state.safetensors"
STATE_JSON = "training_state.json"

MAX_OBSERVATION_NUMBERS = 2**23
"""The most numbers in one observation; a phone's screen (1080x2400, three colors) fits."""

TORCH_SAVES = (b"PK\x03\x04", b"\x80\x02\x8a")
"""How files of ``torch.save`` begin: a zip, or the pickle of old versions. They are only told apart
by it, for the error; nothing is unpickled."""


class PolicyDescription(Config, frozen=True, kw_only=True):
    """What a policy file says about its policy: enough to build it again.

    Raises:
        InputError: A size is larger than thaw builds.
    """

    observation_shape: Annotated[tuple[Size, ...], msgspec.Meta(min_length=1, max_length=4)]
    num_actions: Size
    agent: AgentConfig

    def __post_init__(self) -> None:
        if math.prod(self.observation_shape) > MAX_OBSERVATION_NUMBERS:
            raise InputError(
                f"observation_shape is {list(self.observation_shape)}; an observation has at most "
                f"{MAX_OBSERVATION_NUMBERS:,} numbers"
            )


def save_checkpoint(
    folder: RunFolder,
    policy: Policy,
    state: Mapping[str, torch.Tensor] | None = None,
    counters: Mapping[str, object] | None = None,
) -> None:
    """Replace a run's checkpoint atomically.

    Args:
        folder: The run's folder.
        policy: Saved with the description that is needed to build it again.
        state: Tensors that the run needs to resume; None for a policy that does not train.
        counters: Numbers that the run needs to resume.

    Raises:
        WriteFailed: Disk full, no permission, and the like; the old checkpoint is intact.
    """
    files = _policy_files(policy)
    if state is not None:
        files[STATE_FILE] = save(_plain_tensors(state.items()))
        files[STATE_JSON] = encode_json(dict(counters or {}))
    folder.replace_checkpoint(files)


def save_milestone(folder: RunFolder, policy: Policy, step: int) -> None:
    """Keep a run's policy at a step, beside its checkpoint.

    Raises:
        WriteFailed: Disk full, no permission, and the like.
    """
    folder.milestones.keep(step, _policy_files(policy))


def _policy_files(policy: Policy) -> dict[str, bytes]:
    """Return the policy's file: its tensors, and the description needed to build it again."""
    description = PolicyDescription(
        observation_shape=policy.observation_shape,
        num_actions=policy.num_actions,
        agent=policy.config,
    )
    metadata = {"thaw": json.dumps(to_plain(description))}
    return {POLICY_FILE: save(_plain_tensors(policy.parts()), metadata)}


def load_training_state(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Load the training state from which a run resumes.

    Args:
        folder: The checkpoint folder.

    Returns:
        Tensors and counters as given to :func:`save_checkpoint`.

    Raises:
        InputError: A file is missing or broken.
    """
    return load_tensors(folder / STATE_FILE), read_json(folder / STATE_JSON)


def load_policy(
    path: str | Path,
    *,
    embedding: str | None = None,
    head: str | None = None,
    trust_code: bool = False,
) -> Policy:
    """Load a policy from a run's folder or its checkpoint folder, in evaluation mode.

    Args:
        path: The folder.
        embedding: A ``module:function`` that may be called if the file names it as the embedding
            of its policy. Built-in embeddings and those of timm need no permission.
        head: The same for the head.
        trust_code: Import and call any ``module:function`` that the file names.

    Raises:
        InputError: The file is missing or broken, was not written by thaw, or names a
            ``module:function`` without permission.
    """
    file = find_policy(path)
    description = read_description(file)
    if not trust_code:
        agent = description.agent
        words = [f"{part}={getattr(agent, part)!r}" for part in agent.code]
        how = f"pass {', '.join(words)} or trust_code=True"
        said = [f"agent.embedding={embedding}", f"agent.head={head}"]
        check_code(str(file), code_named_in(agent), said, how)
    return load_described(file, description)


def load_described(file: Path, description: PolicyDescription) -> Policy:
    """Build the policy that a file describes, and load its tensors, in evaluation mode.

    This calls a ``module:function`` that the description names: check first that it may be called
    (:func:`thaw.config.trust.check_code`).

    Raises:
        InputError: The file is broken or does not fit its description.
    """
    if description.agent.code:
        policy = Policy(description.observation_shape, description.num_actions, description.agent)
    else:
        policy = _outline(description).to_empty(device="cpu")
    load_tensors_into(policy, load_tensors(file), str(file))
    return policy.eval()


def read_description(file: Path) -> PolicyDescription:
    """Read a policy file's description, and check it against the tensors in the file.

    Nothing that the file names is imported or called, and no memory is allocated for the sizes
    that it gives. A part that is a ``module:function`` is not compared.

    Raises:
        InputError: The file is missing or broken, or was not written by thaw.
    """
    try:
        with cast(Any, safe_open)(file, framework="pt") as opened:  # it has no types
            text = (opened.metadata() or {})["thaw"]
            in_file = {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118
        plain = json.loads(text)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{file} is not a readable safetensors file: {error}") from None
    except (KeyError, ValueError, RecursionError):
        raise InputError(f"{file} was not written by thaw: its description is missing") from None
    if isinstance(plain, dict):
        plain["agent"] = complete_agent(plain.get("agent"))
    description = from_plain(plain, PolicyDescription, str(file))
    try:
        in_policy = _shapes(_outline(description).parts())
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    code = description.agent.code
    in_policy, in_file = (
        {name: shape for name, shape in shapes.items() if name.partition(".")[0] not in code}
        for shapes in (in_policy, in_file)
    )
    _check_shapes(in_policy, in_file, str(file))
    return description


def _outline(description: PolicyDescription) -> Policy:
    """Build a policy on the meta device: names and shapes, but no memory for the numbers.

    A ``module:function`` is not called; the policy has an MLP as embedding, or a linear head,
    instead.
    """
    agent, built_in = description.agent, {"embedding": "mlp", "head": "linear"}
    agent = msgspec.structs.replace(agent, **{part: built_in[part] for part in agent.code})
    with torch.device("meta"):
        return Policy(description.observation_shape, description.num_actions, agent)


def load_tensors_into(policy: Policy, tensors: Mapping[str, torch.Tensor], where: str) -> None:
    """Copy tensors into all parameters and buffers of a policy.

    ``load_state_dict`` would leave out buffers that an embedding declares non-persistent, and a
    frozen part must be restored completely.

    Args:
        policy: Changed in place.
        tensors: One for each parameter and buffer, by name.
        where: The file, for errors.

    Raises:
        InputError: Names or shapes differ.
    """
    in_policy = dict(policy.parts())
    _check_shapes(_shapes(in_policy.items()), _shapes(tensors.items()), where)
    with torch.no_grad():
        for name, tensor in in_policy.items():
            tensor.copy_(tensors[name])


def load_tensors(file: Path) -> dict[str, torch.Tensor]:
    """Load a safetensors file.

    Raises:
        InputError: The file is missing or broken.
    """
    try:
        return load_file(file)
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(
            f"{file} is not a readable safetensors file: {_how_to_convert(file) or error}"
        ) from None


def _how_to_convert(file: Path) -> str:
    """Say how to write a safetensors file in place of a file of ``torch.save``; "" for others."""
    try:
        with file.open("rb") as opened:
            start = opened.read(max(map(len, TORCH_SAVES)))
    except OSError:
        return ""
    if not start.startswith(TORCH_SAVES):
        return ""
    return (
        "it is a file of torch.save or another zip; write one in the program that has the module, "
        'with safetensors.torch.save_file(agent.state_dict(), "agent.safetensors")'
    )


def _shapes(tensors: Iterable[tuple[str, torch.Tensor]]) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in tensors}


def _check_shapes(
    in_policy: Mapping[str, list[int]], in_file: Mapping[str, list[int]], where: str
) -> None:
    """Check that a policy and a file have tensors of the same names and shapes.

    Raises:
        InputError: They differ.
    """
    for name in sorted(in_policy.keys() | in_file.keys()):
        if in_policy.get(name) != in_file.get(name):
            raise InputError(
                f"{where} does not fit its own description: '{name}' has shape {in_file.get(name)} "
                f"in the file and {in_policy.get(name)} in the network"
            )


def _plain_tensors(tensors: Any) -> dict[str, torch.Tensor]:
    """Return detached, contiguous copies on the CPU, as safetensors needs them."""
    return {name: t.detach().cpu().contiguous().clone() for name, t in tensors}


def origin_of(policy_file: Path) -> RunSpec | None:
    """Return the run whose folder holds a policy file; None for a file outside of any run.

    Raises:
        InputError: The run's run.json is broken or edited.
    """
    for folder in list(policy_file.parents)[:3]:  # a run, its checkpoint, or a milestone
        if (folder / "run.json").is_file():
            return RunFolder(folder).spec()
    return None
