"""A suite as data: transfers, conditions, seeds and budgets of one report.

Nothing here imports torch or an environment.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, ClassVar, Literal

import msgspec

from thaw.config.agent import AgentConfig
from thaw.config.errors import InputError, check_no_repeats, nearest
from thaw.config.flavor import Flavor
from thaw.config.milestones import NumMilestones, milestone_steps
from thaw.config.named_rules import NAMED_RULES
from thaw.config.racing import MOST_SEEDS, RacingConfig
from thaw.config.run_spec import EvaluationConfig, check_shares, split_environment
from thaw.config.strict import Config, Natural, Positive, Scalar
from thaw.config.update_rule import CONDITIONS, UpdateRule

NumSeeds = Annotated[int, msgspec.Meta(ge=1, le=MOST_SEEDS)]


def check_margin_and_bounds(margin: float | None, bounds: tuple[float, float] | None) -> None:
    """Check what a report knows about its returns.

    Raises:
        InputError: The margin is negative, or the lower bound is not below the upper one.
    """
    if margin is not None and not (math.isfinite(margin) and margin >= 0):
        raise InputError(f"margin is {margin:g}; it must be a number of at least 0")
    if bounds is None:
        return
    low, high = bounds
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(
            f"bounds are {low:g} and {high:g}; give the lowest possible return first, then the "
            "highest"
        )


class ReportConfig(Config, frozen=True, kw_only=True):
    """What the report shows; it changes no run."""

    normalize: Literal["none", "scratch"] = "none"
    """scratch: divide by training from scratch, as the paper's table 1 does."""
    paper: Literal["table1", "table2"] | None = None
    """The table of the paper that this suite repeats; the report then shows its numbers too."""
    num_bins: Positive = 100
    """Points of a learning curve."""
    margin: float | None = None
    """Two conditions whose true difference is smaller count as equal; in units of return. By
    default 5 % of the distance from random to scratch."""
    bounds: tuple[float, float] | None = None
    """The lowest and highest possible return, as [-1, 1]; intervals are cut there, and a verdict
    knows where the ceiling is."""
    threshold: float | None = None
    """A return, fixed before the runs; the report says when each condition first reached it."""

    def __post_init__(self) -> None:
        check_margin_and_bounds(self.margin, self.bounds)


class Transfer(Config, frozen=True, kw_only=True):
    """One transfer: a policy pretrained in ``source`` continues in ``target``."""

    source: Flavor
    target: Flavor


class Suite(Config, frozen=True, kw_only=True):
    """Transfers x conditions x seeds x budgets: everything that one report needs."""

    later: ClassVar[tuple[str, ...]] = (
        "source_checkpoint", "source_hashes", "milestones", "source_steps"
    )  # fmt: skip

    name: str
    transfers: Annotated[tuple[Transfer, ...], msgspec.Meta(min_length=1)]
    conditions: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = CONDITIONS
    update_rules: dict[str, UpdateRule] = msgspec.field(default_factory=dict)
    """Additional conditions, by name; a named rule that is not the paper's may be redefined."""
    seeds: NumSeeds | Annotated[tuple[Natural, ...], msgspec.Meta(min_length=1)] = 5
    """A count or a list; transfer seed i starts from pretraining seed i (point 20). A race takes
    the first seeds of a list, and replaces a count by the seeds of its last look."""
    racing: RacingConfig | None = None
    """Seeds are added in blocks, and only to conditions that may still be the best."""
    pretrain_steps: Positive | None = None
    """Agent decisions in the source flavor; None if there is a source_checkpoint."""
    source_checkpoint: str | None = None
    """In place of a pretraining, the folder of a policy's checkpoint. ``{seed}`` and ``{source}``
    in it stand for the seed and for the source flavor."""
    source_hashes: dict[str, str] = msgspec.field(default_factory=dict)
    """The hash of the policy in each of these folders, which thaw fills in."""
    milestones: NumMilestones | None = None
    """Keep so many policies of each pretraining, log-spaced from 1 % of its steps to all."""
    source_steps: Literal["final", "all"] | tuple[Positive, ...] = "final"
    """The milestones from which the conditions start, each in runs of its own. They always start
    from the final policy too."""
    transfer_steps: Positive
    """Agent decisions of every transfer and of scratch."""
    environment: dict[str, Scalar] = msgspec.field(default_factory=dict)
    """``num_envs`` and the options of the environments' family."""
    agent: AgentConfig = AgentConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    report: ReportConfig = ReportConfig()

    def __post_init__(self) -> None:
        self._check_pretraining()
        if not re.fullmatch(r"[\w.-]+", self.name):
            raise InputError(
                f"name '{self.name}' may contain only letters, digits and . _ -, as in 'my-suite'"
            )
        taken = sorted(set(self.update_rules) & {*CONDITIONS, "pretrain"})
        if taken:
            raise InputError(f"update rule '{taken[0]}' is a built-in name; choose another")
        for rule_name in self.update_rules:
            if not re.fullmatch(r"\w[\w.-]*", rule_name):
                raise InputError(
                    f"update rule '{rule_name}' may contain only letters, digits and . _ -"
                )
        allowed = [*CONDITIONS, *self.update_rules, *NAMED_RULES]
        for condition in self.conditions:
            if condition not in allowed:
                raise InputError(
                    f"unknown condition '{condition}'{nearest(condition, allowed)} "
                    f"Allowed: {', '.join(dict.fromkeys(allowed))}"
                )
        if self.is_raced:
            self._check_racers()
            msgspec.structs.force_setattr(self, "seeds", self._raced_seeds())
        self._check_source_steps()
        check_no_repeats("conditions", self.conditions)
        check_no_repeats("seeds", self.seed_list)
        check_no_repeats("transfers", [f"{t.source} -> {t.target}" for t in self.transfers])
        num_envs, _ = split_environment(self.environment)
        check_shares(self.agent, num_envs)

    def _check_pretraining(self) -> None:
        if self.source_checkpoint is None:
            if self.pretrain_steps is None:
                raise InputError("the key 'pretrain_steps' is missing")
            return
        msgspec.structs.force_setattr(self, "pretrain_steps", None)
        if self.milestones is not None:
            raise InputError(
                "milestones are policies of a pretraining, which source_checkpoint replaces; leave "
                "out one of them"
            )
        words = set(re.findall(r"\{.*?\}", self.source_checkpoint))
        if unknown := sorted(words - {"{seed}", "{source}"}):
            raise InputError(
                f"source_checkpoint has {unknown[0]}; allowed are {{seed}} and {{source}}"
            )
        sources = dict.fromkeys(str(transfer.source) for transfer in self.transfers)
        if len(sources) > 1 and "{source}" not in words:
            raise InputError(
                f"source_checkpoint is one policy for the sources {', '.join(sources)}; put "
                "{source} into its path"
            )

    def checkpoint_of(self, source: Flavor, seed: int) -> str | None:
        """Return the folder of the policy that replaces a pretraining; None without one."""
        if self.source_checkpoint is None:
            return None
        return self.source_checkpoint.replace("{seed}", str(seed)).replace("{source}", source)

    @property
    def is_raced(self) -> bool:
        """Whether runs are added in blocks: there is a race, and no seeds were added by hand."""
        return self.racing is not None and not self.racing.by_hand

    def _check_source_steps(self) -> None:
        kept = self.kept_steps
        if self.source_steps == "final":
            return
        if not kept:
            raise InputError(
                "source_steps needs milestones, as in milestones: 4; without them a pretraining "
                "keeps its final policy only"
            )
        for step in () if self.source_steps == "all" else self.source_steps:
            if step not in kept:
                raise InputError(
                    f"source_steps: no policy is kept at {step}; the milestones are "
                    f"{', '.join(map(str, kept))}"
                )
        if self.is_raced:
            raise InputError(
                "a race asks for more seeds by the final policy alone; leave out racing, or "
                "source_steps"
            )
        for condition in self.conditions:
            rule = self.rule(condition)
            if rule is not None and rule.optimizer == "source":
                raise InputError(
                    f"condition '{condition}' has optimizer=source, but milestones have weights "
                    "only; leave out the condition, or source_steps"
                )

    @property
    def kept_steps(self) -> tuple[int, ...]:
        """The steps at which a pretraining keeps its policy; the last is its end."""
        if self.milestones is None or self.pretrain_steps is None:
            return ()
        return milestone_steps(self.milestones, self.pretrain_steps)

    @property
    def earlier_steps(self) -> tuple[int, ...]:
        """The steps before the end of the pretraining from which conditions start too."""
        earlier, asked = self.kept_steps[:-1], self.source_steps
        if isinstance(asked, str):
            return earlier if asked == "all" else ()
        return tuple(step for step in earlier if step in asked)

    def _check_racers(self) -> None:
        rules = [self.rule(condition) for condition in self.conditions]
        if sum(rule is not None and rule.trains for rule in rules) < 2:
            raise InputError(
                "a race needs two conditions that train on the target; add some, or leave out "
                "racing"
            )

    def _raced_seeds(self) -> int | tuple[int, ...]:
        assert self.racing is not None
        most = self.racing.looks[-1]
        if isinstance(self.seeds, int):
            return most
        if len(self.seeds) < most:
            raise InputError(
                f"seeds are {len(self.seeds)}, but the race looks at {most} at last; list {most} "
                "or more, or give a count, which the race replaces"
            )
        check_no_repeats("seeds", self.seeds)
        return self.seeds[:most]

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds as a list."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    def rule(self, condition: str) -> UpdateRule | None:
        """Return the update rule of a condition; None for the uniform random policy."""
        if condition == "random":
            return None
        return self.update_rules.get(condition) or UpdateRule(condition)
