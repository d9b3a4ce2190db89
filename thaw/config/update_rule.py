"""Update rules: which part of a policy comes from where, and which part trains."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from thaw.config.errors import InputError, nearest


@dataclass(frozen=True)
class PartRule:
    """Where the weights of one part of the policy come from, and whether it trains."""

    weights: Literal["source", "random"]
    trains: bool

    def __str__(self) -> str:
        return f"{self.weights}:{'trained' if self.trains else 'frozen'}"


class UpdateRule(str):
    """A :class:`PartRule` for each part, keyed by dotted prefix; the longest match wins.

    Written ``embedding=source:frozen,head=source:trained``. The parts ``embedding`` and ``head``
    are required, longer prefixes (``head.lstm=random:trained``) are optional. A name in
    :data:`NAMED_RULES` (the four formulations of Dean, Toyama, Precup 2022, section 3.3, and
    scratch) stands for its rule.
    """

    parts: dict[str, PartRule]

    def __new__(cls, text: str) -> Self:
        """Parse a name or a rule.

        Raises:
            InputError: Neither a known name nor a well-formed rule.
        """
        text = NAMED_RULES.get(text, text)
        if "=" not in text:
            raise InputError(
                f"unknown update rule '{text}'{nearest(text, NAMED_RULES)} Known: "
                f"{', '.join(NAMED_RULES)}, or one of your own like "
                "'embedding=source:frozen,head=source:trained'"
            )
        parts: dict[str, PartRule] = {}
        for item in text.replace(" ", "").split(","):
            match = re.fullmatch(r"([\w.]+)=(source|random):(trained|frozen)", item)
            if match is None or match[1] in parts:
                raise InputError(
                    f"'{item}' in update rule '{text}' is not PART=source|random:trained|frozen "
                    "with each part named once"
                )
            weights: Literal["source", "random"] = "source" if match[2] == "source" else "random"
            parts[match[1]] = PartRule(weights, match[3] == "trained")
        missing = [part for part in ("embedding", "head") if part not in parts]
        unknown = [part for part in parts if part.split(".")[0] not in ("embedding", "head")]
        if missing or unknown:
            raise InputError(
                f"update rule '{text}' must name the parts embedding and head (finer parts begin "
                f"with them): {'missing ' + missing[0] if missing else 'unknown ' + unknown[0]}"
            )
        rule = super().__new__(cls, ",".join(f"{key}={parts[key]}" for key in sorted(parts)))
        rule.parts = {key: parts[key] for key in sorted(parts)}
        return rule

    def of(self, parameter_name: str) -> PartRule:
        """Return the rule of a parameter or buffer, by the longest matching dotted prefix."""
        matching = [
            (len(prefix), part)
            for prefix, part in self.parts.items()
            if covers(prefix, parameter_name)
        ]
        return max(matching, key=lambda match: match[0])[1]

    @property
    def trains(self) -> bool:
        """Whether any part trains."""
        return any(part.trains for part in self.parts.values())

    @property
    def needs_source(self) -> bool:
        """Whether any weights come from a pretrained policy."""
        return any(part.weights == "source" for part in self.parts.values())


def covers(part: str, name: str) -> bool:
    """Return whether a part, given as a dotted prefix, contains a parameter or buffer."""
    return name == part or name.startswith(part + ".")


NAMED_RULES: Mapping[str, str] = {
    "scratch": "embedding=random:trained,head=random:trained",
    "update_all": "embedding=source:trained,head=source:trained",
    "freeze_embedding": "embedding=source:frozen,head=source:trained",
    "freeze_head": "embedding=source:trained,head=source:frozen",
    "freeze_all": "embedding=source:frozen,head=source:frozen",
}

CONDITIONS = ("random", *NAMED_RULES)
"""The six conditions of the paper, in the order of its tables."""
