"""One run as data: everything that decides its result."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.strict import Config, Natural, Positive, Scalar, to_plain
from thaw.config.update_rule import UpdateRule

RESULTS_VERSION = 2
"""Part of every run's hash; raised when a change of thaw's code moves results."""


class EvaluationConfig(Config, frozen=True, kw_only=True):
    """How a finished policy is scored."""

    episodes: Positive = 100
    """Episodes of every evaluation, and the window of the training score (Machado et al. 2018)."""
    actions: Literal["sampled", "greedy"] = "sampled"
    source: bool = True
    """Also score each transfer's final policy back on its source flavor (Dean et al., sec. 4)."""
    score: Literal["training", "evaluation"] = "training"
    """What a trained run's mean_return is: its last training episodes, or a separate evaluation
    of the final policy (docs/reproducing.md, point 21). Both are always stored."""


NOT_OPTIONS = {
    "seed": "a run's seed decides all of its random numbers",
    "drawn_on": "observations are drawn where the run's device is",
}
"""What callers of ``make_env`` say beside an environment's options."""


def check_environment(environment: Mapping[str, object]) -> None:
    """Check an ``environment`` section as far as that goes without the environment.

    Raises:
        InputError: It sets what is no option of an environment.
    """
    for name, reason in NOT_OPTIONS.items():
        if name in environment:
            raise InputError(f"environment.{name} cannot be set: {reason}; leave it out")


DEFAULT_NUM_ENVS = 32
"""Unrolls of one batch (IMPALA, table G.1)."""


def num_envs_of(environment: Mapping[str, object]) -> int:
    """Return how many environments an ``environment`` section steps together.

    Raises:
        InputError: Not a whole number of at least 1.
    """
    num_envs = environment.get("num_envs", DEFAULT_NUM_ENVS)
    if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
        raise InputError(f"num_envs is {num_envs!r}; it must be a whole number >= 1")
    return num_envs


def check_shares(agent: AgentConfig, num_envs: int) -> None:
    """Check that those who share the environments can.

    Raises:
        InputError: There are more asynchronous actors than environments, or groups of different
            sizes, or asynchronous actors with groups.
    """
    if num_envs % agent.env_groups:
        raise InputError(
            f"agent.env_groups is {agent.env_groups} and environment.num_envs {num_envs}; all "
            "groups have as many environments: choose a divisor of num_envs"
        )
    if agent.clock == "asynchronous" and agent.env_groups > 1:
        raise InputError(
            f"agent.env_groups is {agent.env_groups} with the asynchronous clock, whose actors are "
            "groups already: set env_groups to 1, or use agent.actors"
        )
    if agent.clock == "asynchronous" and num_envs < agent.actors:
        raise InputError(
            f"agent.actors is {agent.actors} and environment.num_envs {num_envs}; each actor needs "
            f"an environment: set num_envs to at least {agent.actors}, or actors to at most "
            f"{num_envs}"
        )


class RunSpec(Config, frozen=True, kw_only=True):
    """Everything that decides one run's result; its hash names the result."""

    condition: str
    """``pretrain``, or one of the suite's conditions."""
    flavor: Flavor
    """Where the run acts and learns."""
    source: Flavor | None = None
    """Where its weights were pretrained; None without pretraining."""
    source_hash: str | None = None
    """Names the pretrained policy, so that another pretraining is another run. In a suite it is the
    content hash of the pretraining's spec; in ``thaw transfer`` it is the hash of the policy file
    (16 hex digits of SHA-256 either way)."""
    update_rule: UpdateRule | None
    """None: the uniform random policy."""
    seed: Natural
    steps: Natural
    """Agent decisions to learn from; 0 when nothing trains."""
    environment: dict[str, Scalar] = msgspec.field(default_factory=dict)
    agent: AgentConfig = AgentConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    results_version: int = RESULTS_VERSION

    def __post_init__(self) -> None:
        check_environment(self.environment)
        check_shares(self.agent, num_envs_of(self.environment))

    @property
    def num_envs(self) -> int:
        """Environments stepped together; also the unrolls of one batch."""
        return num_envs_of(self.environment)

    @property
    def environment_options(self) -> dict[str, Any]:
        """The environment section without ``num_envs``."""
        return {key: value for key, value in self.environment.items() if key != "num_envs"}

    @property
    def content_hash(self) -> str:
        """Sixteen hex digits over all fields."""
        text = msgspec.json.encode(to_plain(self), order="deterministic")
        return hashlib.sha256(text).hexdigest()[:16]

    def derived_seed(self, purpose: str) -> int:
        """Return a 63-bit seed for one purpose, independent between conditions and flavors."""
        text = f"{self.seed}|{self.condition}|{self.source}|{self.flavor}|{purpose}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
