"""Checks a suite's environments and names before anything is written."""

from __future__ import annotations

import msgspec

from thaw.config.agent import check_network_names
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.run_spec import split_environment
from thaw.config.suite import Suite, Transfer
from thaw.envs.families import canonical_flavor, flavor_spaces
from thaw.envs.spaces import Spaces, check_same_actions


def canonical_suite(suite: Suite) -> Suite:
    """Write every environment of a suite by its one address, so that it is pretrained once.

    Raises:
        InputError: No such flavor, or two transfers that are the same one.
    """
    transfers = tuple(
        Transfer(source=canonical_flavor(t.source), target=canonical_flavor(t.target))
        for t in suite.transfers
    )
    return msgspec.structs.replace(suite, transfers=transfers)


def check_suite(suite: Suite) -> dict[Flavor, Spaces]:
    """Make every flavor of a suite once, and compare each source with its target.

    The network is checked only by its names, so this needs no torch.

    Returns:
        The spaces of each flavor.

    Raises:
        InputError: A flavor, an option, the embedding or the head is unknown, actions are not
            discrete, or a source and its target have different observations or actions.
    """
    check_network_names(suite.agent)
    spaces: dict[Flavor, Spaces] = {}
    _, options = split_environment(suite.environment)
    for transfer in suite.transfers:
        for flavor in (transfer.source, transfer.target):
            if flavor not in spaces:
                spaces[flavor] = flavor_spaces(flavor, options)
        source, target = spaces[transfer.source], spaces[transfer.target]
        if source.observations != target.observations:
            raise InputError(
                f"'{transfer.source}' has {source.observations}, but '{transfer.target}' has "
                f"{target.observations}; one policy must fit both, so give both the same options"
            )
        check_same_actions(transfer.source, source, transfer.target, target)
    return spaces
