"""Policies that a suite takes in place of a pretraining: ``source_checkpoint``.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import Any

import msgspec

from thaw.config.agent import NETWORK_SETTINGS, AgentConfig, complete_agent
from thaw.config.errors import InputError
from thaw.config.presets import expand_preset
from thaw.config.strict import from_plain, to_plain
from thaw.config.suite import Suite
from thaw.files.policy_file import described, find_policy, hash_of


def find_source(checkpoint: str) -> Path:
    """Return the policy file of one of a suite's source checkpoints.

    Raises:
        InputError: There is none, or it is damaged; the message names the suite's key.
    """
    return find_policy(checkpoint, "source_checkpoint:")


def agent_of(checkpoint: str) -> AgentConfig:
    """Return the agent that a checkpoint describes. Nothing that it names is executed.

    Raises:
        InputError: There is no policy, or its file is broken.
    """
    file = find_source(checkpoint)
    return from_plain(complete_agent(described(file).get("agent")), AgentConfig, str(file))


def complete_from(plain: dict[str, Any], checkpoint: str, named: Set[str]) -> None:
    """Complete a suite's agent with that of a checkpoint, as ``thaw transfer`` does.

    Args:
        plain: The suite as written; its agent is completed in place. With a preset, only the
            network is the checkpoint's.
        checkpoint: A folder.
        named: The agent's settings that the user has written. What else a suite says of the
            network is a default, for which the checkpoint's stands.

    Raises:
        InputError: There is no such preset, or no such policy.
    """
    names = AgentConfig.__struct_fields__
    if "preset" in plain.get("agent", {}):
        expand_preset(plain, None)
        names = NETWORK_SETTINGS
    there = agent_of(checkpoint)
    own = {
        name: value
        for name, value in plain.get("agent", {}).items()
        if name in named or name not in NETWORK_SETTINGS
    }
    plain["agent"] = {name: to_plain(getattr(there, name)) for name in names} | own


def check_network(agent: AgentConfig, checkpoint: str) -> None:
    """Check that a suite's network is that of a checkpoint.

    Raises:
        InputError: It is not.
    """
    there = agent_of(checkpoint)
    for name in NETWORK_SETTINGS:
        here, said = getattr(agent, name), getattr(there, name)
        if here != said:
            raise InputError(
                f"source_checkpoint: '{checkpoint}' has agent.{name} {to_plain(said)}, and the "
                f"suite has {to_plain(here)}; leave agent.{name} out of the suite"
            )


def with_sources(suite: Suite) -> Suite:
    """Return a suite with the place and the hash of each policy that replaces a pretraining.

    Raises:
        InputError: A folder has no policy, or one with another network than the suite's.
    """
    if suite.source_checkpoint is None:
        return suite
    place = str(Path(suite.source_checkpoint).absolute())  # run-one may start elsewhere
    suite = msgspec.structs.replace(suite, source_checkpoint=place)
    hashes: dict[str, str] = {}
    for transfer in suite.transfers:
        for seed in suite.seed_list:
            checkpoint = suite.checkpoint_of(transfer.source, seed)
            assert checkpoint is not None
            if checkpoint not in hashes:
                check_network(suite.agent, checkpoint)
                hashes[checkpoint] = hash_of(find_source(checkpoint))
    return msgspec.structs.replace(suite, source_hashes=hashes)
