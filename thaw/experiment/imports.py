"""Policies from elsewhere become checkpoint folders: ``thaw import``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.presets import expand_preset, set_values
from thaw.config.run_spec import split_environment
from thaw.config.strict import from_plain, to_plain
from thaw.config.trust import check_code, code_named_in
from thaw.envs.families import flavor_spaces
from thaw.envs.spaces import Spaces
from thaw.files.atomic import check_out, indented_json, write_files
from thaw.files.checkpoint import load_tensors_into, save_checkpoint
from thaw.files.from_sb3 import read_sb3
from thaw.files.from_torch import fill_policy
from thaw.files.run_folder import RunFolder
from thaw.policy import Policy
from thaw.training.build import check_same_spaces

IMPORT_FILE = "import.json"
"""Beside the checkpoint of a policy from elsewhere: which file it was."""


class Imported(NamedTuple):
    """A policy from elsewhere in its folder."""

    policy: Policy
    origin: dict[str, Any]
    """What import.json holds."""


def import_sb3(
    path: str | Path, out: str | Path, *, flavor: str | None = None, overrides: Iterable[str] = ()
) -> Imported:
    """Make a checkpoint folder of a policy that Stable-Baselines3 has saved. Nothing is unpickled.

    Args:
        path: The zip file of ``model.save``.
        out: A new folder.
        flavor: An environment that the policy must fit; it is made once.
        overrides: ``dotted.key=value`` items below agent (how it learns when it is moved) and
            environment (options of the flavor).

    Raises:
        InputError: The file is broken or holds another kind of policy, or the folder is not empty;
            nothing is written.
    """
    found = read_sb3(path)
    is_image = len(found.observation_shape) == 3
    # How it learns: as an agent of thaw does for such observations, with the discount it had.
    settings: dict[str, Any] = {"preset": "paper" if is_image else "vector"}
    if found.discount is not None:
        settings["discount"] = found.discount
    agent, options = _settings(settings, overrides, fixed=to_plain_network(found.network))
    policy = Policy(found.observation_shape, found.num_actions, agent)
    load_tensors_into(policy, found.tensors, str(path))
    if flavor is not None:
        check_same_spaces(policy, _spaces(flavor, options), str(path), Flavor(flavor))
    origin = {"library": "stable-baselines3", "version": found.version}
    return _written(policy, out, path, origin)


def import_torch(
    path: str | Path,
    out: str | Path,
    *,
    flavor: str,
    maps: Iterable[str],
    overrides: Iterable[str] = (),
) -> Imported:
    """Make a checkpoint folder of the weights of any PyTorch module.

    Args:
        path: A safetensors file.
        out: A new folder.
        flavor: Whose observations and actions the policy has; it is made once.
        maps: As :func:`thaw.files.from_torch.fill_policy` reads them.
        overrides: ``dotted.key=value`` items below agent (the network, and how it learns) and
            environment.

    Raises:
        InputError: The file, a map or a setting is wrong, or the folder is not empty; nothing is
            written.
    """
    agent, options = _settings({}, overrides, flavor=flavor)
    spaces = _spaces(flavor, options)
    policy = Policy(spaces.observation_shape, spaces.num_actions, agent)
    fill_policy(policy, path, maps)
    return _written(policy, out, path, {"library": "torch", "maps": list(maps)})


def to_plain_network(network: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a network as a file has them."""
    return {name: to_plain(value) for name, value in network.items()}


def _settings(
    settings: dict[str, Any],
    overrides: Iterable[str],
    *,
    flavor: str | None = None,
    fixed: dict[str, Any] | None = None,
) -> tuple[AgentConfig, dict[str, Any]]:
    """Return the agent and the environment's options.

    Args:
        settings: Of the agent, below the overrides.
        overrides: The user's.
        flavor: Decides the preset if nothing else does.
        fixed: Settings of the agent that the file decides.

    Raises:
        InputError: An override sets one of these, or something else than agent and environment.
    """
    plain: dict[str, Any] = {"agent": {}, "environment": {}}
    for item in overrides:
        key = item.partition("=")[0]
        if key.split(".")[0] not in plain:
            raise InputError(f"--set {item}: an import has agent.* and environment.*")
        if key.split(".")[1:2] and key.split(".")[1] in (fixed or {}):
            raise InputError(f"--set {item}: the file decides {key}; leave it out")
        set_values(plain, [item])
    plain["agent"] = settings | plain["agent"]
    expand_preset(plain, flavor)
    agent = from_plain(plain["agent"] | (fixed or {}), AgentConfig, "agent")
    check_code("the command", code_named_in(agent), overrides, "name it with --set")
    return agent, split_environment(plain["environment"])[1]


def _spaces(flavor: str, options: dict[str, Any]) -> Spaces:
    return flavor_spaces(Flavor(flavor), options)


def _written(policy: Policy, out: str | Path, path: str | Path, origin: dict[str, Any]) -> Imported:
    """Write a policy's folder.

    Raises:
        InputError: The folder is not empty.
    """
    folder = RunFolder(out)
    check_out(folder.path)
    if folder.path.is_dir() and any(folder.path.iterdir()):
        raise InputError(f"'{out}' is not empty; choose another --out, or delete that folder")
    if not all(torch.isfinite(tensor).all() for _, tensor in policy.parts()):
        raise InputError(f"'{path}' has weights that are nan or infinite; import another file")
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    origin = {"file": Path(path).name, "sha256": digest} | origin
    folder.path.mkdir(parents=True, exist_ok=True)
    write_files(folder.path, {IMPORT_FILE: indented_json(origin)})
    save_checkpoint(folder, policy)
    return Imported(policy, origin)
