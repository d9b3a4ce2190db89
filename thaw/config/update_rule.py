"""Update rules: which part of a policy comes from where, and when and how fast it trains."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, Self

from thaw.config.errors import InputError, nearest
from thaw.config.named_rules import NAMED_RULES, PAPER_RULES
from thaw.config.parts import ROOTS, Network, check_names, check_part, expand, reach, root_of
from thaw.config.strict import MAX_FLOAT, MAX_INT

CONDITIONS = ("random", *PAPER_RULES)
"""The six conditions of the paper, in the order of its tables."""

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
_ITEM = re.compile(
    rf"([^=]+)=(source|random)(?:~({_NUMBER}))?"
    r":(trained|frozen)(?:@(\d+(?:_\d+)*|\d{1,2}(?:\.\d{1,6})?%))?"
    rf"((?::(?:lr|pull)={_NUMBER})*)"
)


_TEACHER = re.compile(
    rf"teacher=({_NUMBER})(?::decay=(\d+(?:_\d+)*|\d{{1,3}}(?:\.\d{{1,6}})?%))?(?::floor=({_NUMBER}))?"
)


@dataclass(frozen=True)
class TeacherRule:
    """How strongly the source policy teaches: kickstarting."""

    weight: float
    """Of the divergence from the source policy, in the loss, when the run begins."""
    decay: int | Fraction = 0
    """Steps of the run, or a share of them, in which the weight falls linearly to the floor; 0: it
    stays."""
    floor: float = 0.0

    def __str__(self) -> str:
        decay = f":decay={_moment(self.decay)}" if self.decay else ""
        return f"{_number(self.weight)}{decay}" + (
            f":floor={_number(self.floor)}" if self.floor else ""
        )

    def weight_at(self, steps: int) -> float:
        """Return the weight in an update whose batch begins after ``steps`` decisions."""
        if not self.decay:
            return self.weight
        left = max(0.0, 1.0 - steps / float(self.decay))
        return self.floor + (self.weight - self.floor) * left


@dataclass(frozen=True)
class PartRule:
    """Where the weights of one part of the policy come from, and when and how fast it trains."""

    weights: Literal["source", "random"]
    state: Literal["trained", "frozen"]
    fresh: float = 0.0
    """Share of freshly drawn weights mixed into the source's: shrink and perturb."""
    at: int | Fraction = 0
    """Steps of the run, or a share of them below 1, at which ``state`` begins; until then the
    part is in the other state. 0: from the beginning."""
    lr: float = 1.0
    """Times the agent's learning rate."""
    pull: float = 0.0
    """``pull / 2 * |w - w_source|^2`` is added to the loss."""

    def __str__(self) -> str:
        fresh = f"~{_number(self.fresh)}" if self.fresh else ""
        at = f"@{_moment(self.at)}" if self.at else ""
        lr = f":lr={_number(self.lr)}" if self.lr != 1 else ""
        pull = f":pull={_number(self.pull)}" if self.pull else ""
        return f"{self.weights}{fresh}:{self.state}{at}{lr}{pull}"

    @property
    def trains(self) -> bool:
        """Whether the part trains at any time."""
        return self.state == "trained" or self.at != 0

    @property
    def when(self) -> str:
        """When the part trains, in words: never, from step 1,200 on, until 25% of the run."""
        begins = self.state == "trained"
        if not self.at:
            return "always" if begins else "never"
        share = isinstance(self.at, Fraction)
        moment = f"{_moment(self.at)} of the run" if share else f"step {self.at:,}"
        return f"from {moment} on" if begins else f"until {moment}"

    def trains_at(self, steps: int) -> bool:
        """Whether the part trains in an update whose batch begins after ``steps`` decisions."""
        return (self.state == "trained") == (steps >= self.at)


class UpdateRule(str):
    """A :class:`PartRule` for each part of a policy; the longest match wins.

    Written ``embedding=source:frozen,head=source:trained``, and in general
    ``PART=WEIGHTS:STATE[:lr=x][:pull=x]``; docs/rules.md explains each word. The parts
    ``embedding`` and ``head`` are required, finer parts (``head.lstm=random:trained``) are
    optional. ``optimizer=source`` and ``teacher=0.5`` are for the rule as a whole. A name in
    :data:`NAMED_RULES` stands for its rule. The text is canonical: equal rules are equal texts, and
    options that change nothing are left out.
    """

    parts: dict[str, PartRule]
    optimizer: Literal["fresh", "source"]
    """The state with which a part begins: new, or that of the source's optimizer."""
    teacher: TeacherRule | None

    def __new__(cls, text: str) -> Self:
        """Parse a name or a rule.

        Raises:
            InputError: Neither a known name nor a well-formed rule.
        """
        if text in NAMED_RULES:
            text = NAMED_RULES[text].text
        if "=" not in text:
            raise InputError(
                f"unknown update rule '{text}'{nearest(text, NAMED_RULES)} Known: "
                f"{', '.join(NAMED_RULES)}, or one of your own like "
                "'embedding=source:frozen,head=source:trained'"
            )
        parts: dict[str, PartRule] = {}
        optimizers, teachers = [], []
        for item in text.replace(" ", "").split(","):
            if item in ("optimizer=fresh", "optimizer=source"):
                optimizers.append(item)
                continue
            if item.startswith("teacher="):
                teachers.append(_teacher(item, f"'{item}' in update rule '{text}'"))
                continue
            match = _ITEM.fullmatch(item)
            if match is None or not check_part(match[1]) or match[1] in parts:
                raise InputError(
                    f"'{item}' in update rule '{text}' is not PART=source|random:trained|frozen "
                    "with each part named once; source~0.3, trained@STEP, frozen@25%, :lr=0.1, "
                    ":pull=0.1 and optimizer=source are allowed too (docs/rules.md)"
                )
            parts[match[1]] = _part_rule(match, f"'{item}' in update rule '{text}'")
        missing = [part for part in ROOTS if part not in parts]
        unknown = [part for part in parts if root_of(part) not in (*ROOTS, "*")]
        if missing or unknown:
            raise InputError(
                f"update rule '{text}' must name the parts embedding and head (finer parts begin "
                f"with them): {'missing ' + missing[0] if missing else 'unknown ' + unknown[0]}"
            )
        for what, given in (("optimizer", optimizers), ("teacher", teachers)):
            if len(given) > 1:
                raise InputError(f"update rule '{text}' names the {what} twice; give it once")
        keeps = optimizers == ["optimizer=source"]
        if keeps and not any(p.trains and p.weights == "source" for p in parts.values()):
            raise InputError(
                f"update rule '{text}': optimizer=source is for parts that train and whose weights "
                "are the source's, and there is none; leave it out"
            )
        items = [f"{key}={parts[key]}" for key in sorted(parts)] + optimizers * keeps
        teacher = teachers[0] if teachers and teachers[0].weight else None
        if teacher is not None and not any(part.trains for part in parts.values()):
            raise InputError(
                f"update rule '{text}' has a teacher, but nothing trains; leave it out"
            )
        items += [f"teacher={teacher}"] * (teacher is not None)
        rule = super().__new__(cls, ",".join(items))
        rule.parts = {key: parts[key] for key in sorted(parts)}
        rule.optimizer = "source" if keeps else "fresh"
        rule.teacher = teacher
        return rule

    def on(self, network: Network) -> dict[str, PartRule]:
        """Return the rule of each parameter and buffer of a network.

        The longest match wins: the part whose last word fits the segment of the name that lies
        furthest to the right; among those, the part with the most words, then the most stars.

        Raises:
            InputError: A part contains no tensor of the network, or two different parts of equal
                length contain the same tensor.
        """
        expanded: list[tuple[str, PartRule]] = []
        for key, part_rule in self.parts.items():
            try:
                for part in expand(key, network):
                    check_names(part, network)
                    expanded.append((part, part_rule))
            except InputError as error:
                raise InputError(f"update rule '{self}' {error}") from None
        return {name: self._longest(expanded, name) for name in network.tensors}

    def of(self, parameter_name: str) -> PartRule:
        """Return the rule of a parameter or buffer, by its name alone: without ``embedding[0]``."""
        return self._longest(list(self.parts.items()), parameter_name)

    def _longest(self, parts: list[tuple[str, PartRule]], name: str) -> PartRule:
        found = [(reach(part, name) or (-1, 0, 0), part, rule) for part, rule in parts]
        longest = max(length for length, _, _ in found)
        best = [(part, rule) for length, part, rule in found if length == longest]
        for part, rule in best:
            if rule != best[0][1]:
                raise InputError(
                    f"update rule '{self}': '{best[0][0]}' and '{part}' fit '{name}' equally well; "
                    "name it with more words"
                )
        return best[0][1]

    def within(self, steps: int) -> UpdateRule:
        """Return the rule of a run: a share of its steps becomes a number, rounded down.

        Args:
            steps: Of the run.

        Raises:
            InputError: A part begins or ends to train only after the run.
        """
        items = []
        for key, part in self.parts.items():
            at = _in_steps(part.at, steps)
            if at and at >= steps:
                raise InputError(
                    f"update rule '{self}': '{key}={part}' changes at step {at:,}, but the run has "
                    f"{steps:,} steps; give a step before its end, or a share of it, as in @25%"
                )
            items.append(f"{key}={replace(part, at=at)}")
        items.append(f"optimizer={self.optimizer}")
        if (teacher := self.teacher) is not None:
            decay = max(1, _in_steps(teacher.decay, steps)) if teacher.decay else 0
            items.append(f"teacher={replace(teacher, decay=decay)}")
        return UpdateRule(",".join(items))

    @property
    def trains(self) -> bool:
        """Whether any part trains, at any time."""
        return any(part.trains for part in self.parts.values())

    @property
    def needs_source(self) -> bool:
        """Whether any weights come from a pretrained policy, or that policy teaches."""
        parts = self.parts.values()
        return self.teacher is not None or any(part.weights == "source" for part in parts)


def _part_rule(match: re.Match[str], where: str) -> PartRule:
    """Read what stands after the ``=`` of a well-formed item.

    Raises:
        InputError: An option has no meaning there, or a number is out of range.
    """
    weights: Literal["source", "random"] = "source" if match[2] == "source" else "random"
    state: Literal["trained", "frozen"] = "trained" if match[4] == "trained" else "frozen"
    fresh, options = float(match[3] or 0), match[6].split(":")[1:]
    if fresh and (weights == "random" or fresh >= 1):
        raise InputError(
            f"{where}: after ~ stands the share of fresh weights in the source's, below 1, as in "
            "source~0.3; where all are fresh, say random"
        )
    at = _parse_moment(match[5], where)
    values = {"lr": 1.0, "pull": 0.0}
    for option in options:
        name, _, value = option.partition("=")
        if sum(other.startswith(name) for other in options) > 1:
            raise InputError(f"{where}: {name} is there twice; give it once")
        values[name] = float(value)
        if values[name] > MAX_FLOAT:
            raise InputError(f"{where}: {name} is {value}; it must be at most {MAX_FLOAT:g}")
    if values["lr"] == 0:
        raise InputError(f"{where}: a rate of 0 trains nothing; say frozen")
    rule = PartRule(weights, state, fresh, at, values["lr"], values["pull"])
    if not rule.trains and (rule.lr != 1 or rule.pull):
        raise InputError(f"{where}: a frozen part has neither lr nor pull; leave them out")
    if rule.pull and weights == "random":
        raise InputError(
            f"{where}: pull draws to the source's weights, and these are random; say source, or "
            "leave pull out"
        )
    return rule


def _teacher(item: str, where: str) -> TeacherRule:
    """Read the teacher of a rule.

    Raises:
        InputError: It has another form, or its numbers do not go together.
    """
    match = _TEACHER.fullmatch(item)
    if match is None:
        raise InputError(
            f"{where} is not teacher=WEIGHT[:decay=STEPS][:floor=x], as in "
            "teacher=0.5:decay=50%:floor=0.1"
        )
    rule = TeacherRule(float(match[1]), _parse_moment(match[2], where), float(match[3] or 0))
    if rule.weight > MAX_FLOAT or rule.floor > rule.weight:
        raise InputError(
            f"{where}: the weight is at most {MAX_FLOAT:g}, and the floor at most the weight"
        )
    if rule.decay > 1 and isinstance(rule.decay, Fraction):
        raise InputError(f"{where}: a share of the run is at most 100%; give steps for more")
    if rule.floor and not rule.decay:
        raise InputError(f"{where}: a floor needs a decay, as in teacher=0.5:decay=50%:floor=0.1")
    return rule


def _parse_moment(text: str | None, where: str) -> int | Fraction:
    """Read steps or a share of the run; 0 for neither.

    Raises:
        InputError: The number of steps is too large.
    """
    if not text:
        return 0
    if text.endswith("%"):
        return Fraction(text[:-1]) / 100 or 0
    digits = text.replace("_", "").lstrip("0") or "0"
    if len(digits) > len(str(MAX_INT)) or int(digits) > MAX_INT:
        raise InputError(f"{where}: step {text[:30]} is above {MAX_INT:,}")
    return int(digits)


def _moment(at: int | Fraction) -> str:
    """Write steps or a share of the run."""
    return f"{float(100 * at):.10g}%" if isinstance(at, Fraction) else str(at)


def _in_steps(at: int | Fraction, steps: int) -> int:
    """Return a moment in steps of a run."""
    return math.floor(at * steps) if isinstance(at, Fraction) else at


def _number(value: float) -> str:
    """Write a number in the one way that all equal numbers share."""
    return str(value).removesuffix(".0")
