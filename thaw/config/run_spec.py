"""One run as data: everything that decides its result."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import msgspec

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError
from thaw.config.flavor import Flavor
from thaw.config.strict import Config, Natural, Positive, Scalar, to_plain
from thaw.config.update_rule import UpdateRule

RESULTS_VERSION = 4
"""Part of every run's hash; increased when a change of thaw's code changes results."""


class EvaluationConfig(Config, frozen=True, kw_only=True):
    """How a finished policy is evaluated, and which mean is its score."""

    episodes: Positive = 100
    """Episodes of every evaluation, and the window of the training score (Machado et al. 2018)."""
    actions: Literal["sampled", "greedy"] = "sampled"
    source: bool = True
    """Also score each transfer's final policy back on its source flavor (Dean et al., sec. 4)."""
    score: Literal["training", "evaluation"] = "training"
    """The source of a trained run's mean_return: its last training episodes, or a separate
    evaluation of the final policy (docs/reproducing.md, point 21). Both are always stored."""


NOT_OPTIONS = {
    "seed": "a run's seed decides all of its random numbers",
    "drawn_on": "observations are drawn on the run's device",
}
"""Arguments of ``make_env`` that are not options of an environment, and why."""

MAX_NUM_ENVS = 100_000
"""Environments of one run; more is a mistake in the file."""
DEFAULT_NUM_ENVS = 32
"""Unrolls of one batch (IMPALA, table G.1)."""
SIMILAR = 0.85
"""How alike two names are, from 0 to 1, where one is taken for a misspelling of the other.
Procgen's ``num_levels`` and ``num_envs`` are 0.78 alike, ``n_envs`` and ``num_envs`` 0.86."""


def check_environment_section(environment: Mapping[str, object]) -> None:
    """Check those keys of an ``environment`` section that have a meaning in every family.

    Raises:
        InputError: A reserved key is set, ``num_envs`` is out of range, or a key is a misspelt
            ``num_envs``.
    """
    # A family does not know num_envs: it would advise one of its own options. An option of the
    # user's own environment with such a name can still be set in the flavor's address.
    for name in difflib.get_close_matches("num_envs", environment, len(environment) or 1, SIMILAR):
        if name != "num_envs":
            raise InputError(
                f"unknown key '{name}' in environment; did you mean 'num_envs'? That is how many "
                "environments a run steps together"
            )
    for name, reason in NOT_OPTIONS.items():
        if name in environment:
            raise InputError(f"environment.{name} cannot be set: {reason}; leave it out")
    num_envs = environment.get("num_envs", DEFAULT_NUM_ENVS)
    is_number = isinstance(num_envs, int) and not isinstance(num_envs, bool)
    if not is_number or num_envs not in range(1, MAX_NUM_ENVS + 1):
        raise InputError(
            f"environment.num_envs is {num_envs!r}; it must be a whole number from 1 to "
            f"{MAX_NUM_ENVS:,}"
        )


def split_environment(environment: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Split an ``environment`` section.

    Returns:
        How many environments step together, and the options of their family.

    Raises:
        InputError: As from `check_environment_section`.
    """
    check_environment_section(environment)
    options = dict(environment)
    return options.pop("num_envs", DEFAULT_NUM_ENVS), options


def check_shares(agent: AgentConfig, num_envs: int) -> None:
    """Check that ``env_groups`` and ``actors`` fit ``num_envs``.

    Raises:
        InputError: There are more asynchronous actors than environments, or groups of different
            sizes, or asynchronous actors with groups.
    """
    if num_envs % agent.env_groups:
        raise InputError(
            f"agent.env_groups is {agent.env_groups} and environment.num_envs {num_envs}; all "
            "groups must have the same size: choose a divisor of num_envs"
        )
    if agent.clock == "asynchronous" and agent.env_groups > 1:
        raise InputError(
            f"agent.env_groups is {agent.env_groups} with the asynchronous clock, whose actors are "
            "already groups: set env_groups to 1, or use agent.actors"
        )
    if agent.clock == "asynchronous" and num_envs < agent.actors:
        raise InputError(
            f"agent.actors is {agent.actors} and environment.num_envs {num_envs}; each actor needs "
            f"an environment: set num_envs to at least {agent.actors}, or actors to at most "
            f"{num_envs}"
        )


def content_hash_of(plain: object) -> str:
    """Return the hash of a run's plain description, as it is or was written.

    A file of pretrained weights counts by its checksum: it may lie anywhere.
    """
    if isinstance(plain, dict) and isinstance(agent := plain.get("agent"), dict):
        if agent.get("embedding_sha256") is not None:
            agent = {key: agent[key] for key in agent if key != "embedding_weights"}
        plain = plain | {"agent": agent}
    text = msgspec.json.encode(plain, order="deterministic")
    return hashlib.sha256(text).hexdigest()[:16]


class RunSpec(Config, frozen=True, kw_only=True):
    """Everything that decides one run's result; its hash names the result."""

    later: ClassVar[tuple[str, ...]] = ("source_step", "milestones")

    condition: str
    """``pretrain``, or one of the suite's conditions."""
    flavor: Flavor
    """The flavor in which the run acts and learns."""
    source: Flavor | None = None
    """The flavor in which its weights were pretrained; None without pretraining."""
    source_hash: str | None = None
    """Names the pretrained policy, so that another pretraining is another run. In a suite it is the
    content hash of the pretraining's spec; in ``thaw transfer`` it is the hash of the policy file
    (16 hex digits of SHA-256 either way)."""
    update_rule: UpdateRule | None
    """None: the uniform random policy."""
    source_step: Positive | None = None
    """The step of the pretraining whose policy is the source, if it is not the last one."""
    seed: Natural
    steps: Natural
    """Agent decisions to learn from; 0 if nothing trains."""
    milestones: tuple[Positive, ...] = ()
    """The steps at which the run keeps its policy, rising."""
    environment: dict[str, Scalar] = msgspec.field(default_factory=dict)
    agent: AgentConfig = AgentConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    results_version: int = RESULTS_VERSION

    def __post_init__(self) -> None:
        check_shares(self.agent, self.num_envs)
        if self.update_rule is not None and self.update_rule.trains:
            self.update_rule.within(self.steps)
            if self.update_rule.teacher is not None and self.agent.clock == "asynchronous":
                raise InputError(
                    f"update rule '{self.update_rule}' has a teacher, who must see unrolls in "
                    "their order, and the asynchronous clock mixes them; use lockstep or overlapped"
                )

    @property
    def num_envs(self) -> int:
        """Environments stepped together; also the unrolls of one batch."""
        return split_environment(self.environment)[0]

    @property
    def environment_options(self) -> dict[str, Any]:
        """The environment section without ``num_envs``."""
        return split_environment(self.environment)[1]

    @property
    def content_hash(self) -> str:
        """Sixteen hex digits over all fields."""
        return content_hash_of(to_plain(self))

    def derived_seed(self, purpose: str) -> int:
        """Return a 63-bit seed for one purpose, independent between conditions and flavors."""
        text = f"{self.seed}|{self.condition}|{self.source}|{self.flavor}|{purpose}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
