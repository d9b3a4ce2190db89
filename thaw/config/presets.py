"""Sets of values for the agent, by name: ``agent: {preset: quick}``.

docs/environments.md says what each is for, and what was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from thaw.config.errors import InputError, nearest
from thaw.config.strict import override

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # IMPALA's values, for the paper's millions of steps: the defaults of AgentConfig.
    "paper": {},
    # Small pictures and a few hundred updates: a small network, and an optimizer that soon forgets
    # how it began (docs/reproducing.md, point 17).
    "quick": {
        "embedding": "impala_shallow",
        "lstm_size": 128,
        "fc_size": 128,
        "learning_rate": 2e-3,
        "rmsprop_decay": 0.9,
        "rmsprop_epsilon": 1e-5,
    },
    # Atari's games at 42x42 and some 100,000 decisions: as `quick`, with a step that shrinks, and
    # less entropy, since rewards are rare (docs/reproducing.md, point 17).
    "arcade": {
        "embedding": "impala_shallow",
        "lstm_size": 128,
        "fc_size": 128,
        "learning_rate": 2e-3,
        "learning_rate_schedule": "linear",
        "rmsprop_decay": 0.9,
        "rmsprop_epsilon": 1e-5,
        "entropy_cost": 0.002,
    },
    # Small grids of tiles with one reward at the end: a small network, and unrolls of an episode's
    # length.
    "grid": {
        "embedding": "mlp",
        "embedding_size": 64,
        "lstm_size": 64,
        "fc_size": 64,
        "unroll_length": 16,
        "discount": 0.95,
        "optimizer": "adam",
        "learning_rate": 1e-3,
    },
    # Vectors of numbers, returns of some hundreds: losses are sums over rewards, so that large
    # returns would drown the policy's gradient. Scaled rewards keep values near 1.
    "vector": {
        "embedding": "mlp",
        "embedding_size": 64,
        "lstm_size": 64,
        "fc_size": 64,
        "unroll_length": 16,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "reward_scale": 0.02,
        "reward_clip": None,
        "entropy_cost": 0.001,
    },
}

OF_FAMILY = {"gym": "vector", "minigrid": "grid"}
"""The preset of an agent that names none; of all other families it is ``paper``."""


def set_values(plain: dict[str, Any], items: Iterable[str]) -> None:
    """Apply ``dotted.key=value`` items to a run or suite; a preset replaces the whole agent.

    Raises:
        InputError: An item has another form.
    """
    for item in items:
        if item.startswith("agent.preset="):
            plain["agent"] = {}
        override(plain, item)


def expand_preset(plain: dict[str, Any], flavor: object) -> None:
    """Put the values of its preset into a run's or suite's agent, where it has none of its own.

    Args:
        plain: As parsed; its agent is completed in place.
        flavor: Whose family decides if the agent names no preset; anything else has none.

    Raises:
        InputError: There is no such preset.
    """
    agent = plain.get("agent", {})
    if not isinstance(agent, dict):
        return  # the strict reader says what is wrong
    family = str(flavor).partition("/")[0]
    name = agent.get("preset", OF_FAMILY.get(family, "paper"))
    if not isinstance(name, str) or name not in PRESETS:
        raise InputError(
            f"agent.preset: there is no '{name}'{nearest(str(name), PRESETS)} Allowed: "
            f"{', '.join(PRESETS)}"
        )
    own = {key: value for key, value in agent.items() if key != "preset"}
    plain["agent"] = {**PRESETS[name], **own}
