"""Everything that decides a result, as frozen data that reads and writes YAML strictly.

Nothing here imports torch or an environment. What does *not* decide a result (device, workers,
folders, how often to save) is :class:`Runtime`, a tree of its own that is never hashed.
Numbers marked (IMPALA, table G.1) come from Espeholt et al. 2018, arXiv 1802.01561.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from thaw.plain import InputError, Scalar, check_no_repeats, nearest, to_plain
from thaw.words import CONDITIONS, Flavor, UpdateRule

RESULTS_VERSION = 2
"""Part of every run's hash; raised when a change of thaw's code moves results."""

Natural = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
PositiveFloat = Annotated[float, msgspec.Meta(gt=0)]
NonNegativeFloat = Annotated[float, msgspec.Meta(ge=0)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A strict node: unknown keys and wrong types are errors, never ignored."""


class AgentConfig(Config, frozen=True, kw_only=True):
    """The agent: network, loss and optimizer. Defaults: IMPALA, table G.1, unless noted."""

    embedding: str = "impala_deep"
    """Built-in name (impala_deep, impala_shallow; mlp for vectors) or ``module:function``."""
    embedding_size: Positive = 256
    """Width of the embedding's output (Dean et al., section 3.2)."""
    lstm_size: Positive = 256
    """Reproduces the published 1.6 M parameters (docs/reproducing.md, point 7)."""
    fc_size: Positive = 256
    """Width of the added fully connected layer behind the LSTM (point 6)."""
    last_action_input: bool = True
    """Feed the one-hot last action to the head (point 8)."""
    last_reward_input: bool = True
    """Feed the last reward, clipped to [-1, 1], to the head (point 8)."""

    clock: Literal["lockstep", "overlapped", "asynchronous"] = "lockstep"
    """lockstep: collect, then learn (policy lag 0). overlapped: both at once (lag exactly 1).
    asynchronous: actors in processes of their own, as IMPALA's; the lag is measured."""
    actors: Positive = 5
    """Processes that share the run's environments under the asynchronous clock (Dean et al.)."""
    env_groups: Positive = 1
    """Groups of environments that act on threads of their own, so that one group's emulators step
    while the network looks at another's pictures; they share num_envs evenly."""
    unroll_length: Positive = 20
    """Steps of one unroll; an update learns from ``num_envs`` unrolls."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the embedding; weights, head and losses stay float32. auto: bfloat16 where it
    is measured to be clearly faster, else float32; what it was stands in run.json."""

    discount: Fraction = 0.99
    baseline_cost: NonNegativeFloat = 0.5
    entropy_cost: NonNegativeFloat = 0.01
    reward_clip: PositiveFloat | None = 1.0
    """Rewards are clipped to [-reward_clip, reward_clip] for the loss; reports stay raw."""
    truncation: Literal["terminate", "bootstrap"] = "terminate"
    """Value behind a truncated step: 0 as in IMPALA's code (point 34), or the policy's own."""
    rho_bar: PositiveFloat | None = 1.0
    """Clip of the importance weights in the targets (IMPALA, eq. 1); null = no clip."""
    c_bar: PositiveFloat | None = 1.0
    """Clip of the trace coefficients (IMPALA, eq. 1); null = no clip."""
    pg_rho_bar: PositiveFloat | None = 1.0
    """Clip of the importance weights in the policy gradient; null = no clip."""
    lambda_: Fraction = 1.0
    """Multiplies the trace coefficients (IMPALA, remark 2)."""

    learning_rate: PositiveFloat = 6e-4
    learning_rate_schedule: Literal["linear", "constant"] = "linear"
    """linear: to 0 over this run's own steps, also after a transfer (point 3)."""
    rmsprop_decay: Fraction = 0.99
    """Not in table G.1; the IMPALA code's default (point 16)."""
    rmsprop_epsilon: PositiveFloat = 0.01
    """PyTorch's form, outside the root (point 17)."""
    rmsprop_momentum: NonNegativeFloat = 0.0
    max_gradient_norm: PositiveFloat = 40.0
    """Over what trains; frozen parts do not count (field lesson: they must not move the clip)."""


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


class ReportConfig(Config, frozen=True, kw_only=True):
    """What the report shows; changes no run."""

    normalize: Literal["none", "scratch"] = "none"
    """scratch: divide by training from scratch, as the paper's table 1 does."""
    paper: Literal["table1", "table2"] | None = None
    """Which table of the paper this suite repeats; its numbers then stand beside ours."""
    num_bins: Positive = 100
    """Points of a learning curve."""


class Transfer(Config, frozen=True, kw_only=True):
    """One move: a policy pretrained in ``source`` meets ``target``."""

    source: Flavor
    target: Flavor


class Suite(Config, frozen=True, kw_only=True):
    """Transfers x conditions x seeds x budgets: everything that one report needs."""

    name: str
    transfers: Annotated[tuple[Transfer, ...], msgspec.Meta(min_length=1)]
    conditions: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = CONDITIONS
    update_rules: dict[str, UpdateRule] = {}
    """Conditions of your own, by name."""
    seeds: Positive | Annotated[tuple[Natural, ...], msgspec.Meta(min_length=1)] = 5
    """A count or a list; transfer seed i starts from pretraining seed i (point 20)."""
    pretrain_steps: Positive
    """Agent decisions in the source flavor."""
    transfer_steps: Positive
    """Agent decisions of every transfer and of scratch."""
    environment: dict[str, Scalar] = {}
    """``num_envs`` and the options of the environments' family."""
    agent: AgentConfig = AgentConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    report: ReportConfig = ReportConfig()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+", self.name):
            raise InputError(f"name '{self.name}' may hold letters, digits and . _ - only")
        taken = sorted(set(self.update_rules) & {*CONDITIONS, "pretrain"})
        if taken:
            raise InputError(f"update rule '{taken[0]}' is a built-in name; choose another")
        for rule_name in self.update_rules:
            if not re.fullmatch(r"\w[\w.-]*", rule_name):
                raise InputError(f"update rule '{rule_name}' must be a plain word")
        allowed = [*CONDITIONS, *self.update_rules]
        for condition in self.conditions:
            if condition not in allowed:
                raise InputError(
                    f"unknown condition '{condition}'{nearest(condition, allowed)} "
                    f"Allowed: {', '.join(allowed)}"
                )
        check_no_repeats("conditions", self.conditions)
        check_no_repeats("seeds", self.seed_list)
        check_no_repeats("transfers", [f"{t.source} -> {t.target}" for t in self.transfers])
        check_environment(self.environment)
        check_shares(self.agent, num_envs_of(self.environment))

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds, spelt out."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    def rule(self, condition: str) -> UpdateRule | None:
        """Return the update rule of a condition; None for the uniform random policy."""
        if condition == "random":
            return None
        return self.update_rules.get(condition) or UpdateRule(condition)


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
    """Hash of the pretraining's own spec, so that another pretraining is another run."""
    update_rule: UpdateRule | None
    """None: the uniform random policy."""
    seed: Natural
    steps: Natural
    """Agent decisions to learn from; 0 when nothing trains."""
    environment: dict[str, Scalar] = {}
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


class Runtime(Config, frozen=True, kw_only=True):
    """What does not decide a result and is not hashed."""

    device: str = "cpu"
    num_threads: Positive = 1
    checkpoint_seconds: NonNegativeFloat = 60.0
    """A kill costs at most this much work."""
    actor_timeout_seconds: PositiveFloat = 300.0
    """An actor of the asynchronous clock that brings no unroll for so long, the time in which it
    starts included, is replaced."""
    ray_address: str | None = None
    """Ray cluster of those actors; None: the environment's RAY_ADDRESS, else this machine."""
