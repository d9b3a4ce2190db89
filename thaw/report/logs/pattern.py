"""Which run a file belongs to: a pattern finds target, condition and seed in its path."""

from __future__ import annotations

import re
from typing import NamedTuple

from thaw.config.errors import InputError, nearest

FIELDS = ("source", "target", "condition", "seed")
REQUIRED = FIELDS[1:]


class RunName(NamedTuple):
    """What identifies a run, as in scores.csv."""

    source: str
    target: str
    condition: str
    seed: int

    def __str__(self) -> str:
        source = f"source '{self.source}', " if self.source else ""
        return f"{source}target '{self.target}', condition '{self.condition}', seed {self.seed}"


class Pattern:
    """A path with fields, such as ``{target}/{condition}/seed{seed}``; ``*`` stands for anything.

    A field lies within one segment of a path, and the seed is a whole number. The run's files may
    lie deeper.

    Args:
        text: As the user wrote it.
        fixed: Fields that are the same for all runs, and not in the pattern.

    Raises:
        InputError: A field is unknown, missing, or there twice.
    """

    def __init__(self, text: str, fixed: dict[str, str]) -> None:
        self.text = text
        self.fixed = fixed
        names = re.findall(r"\{(.*?)\}", text)
        for name in names:
            if name not in FIELDS:
                raise InputError(
                    f"--pattern '{text}' has the field {{{name}}}{nearest(name, FIELDS)} Allowed: "
                    "{target}, {condition}, {seed}, {source}; * stands for anything else"
                )
            if names.count(name) > 1 or name in fixed:
                raise InputError(f"--pattern '{text}': {name} is given twice; give it once")
        for name in REQUIRED:
            if name not in names and name not in fixed:
                option = f", or give --{name} NAME" if name != "seed" else ""
                raise InputError(
                    f"--pattern '{text}' has no field {{{name}}}; write it where a path has the "
                    f"run's {name}, as in '{{target}}/{{condition}}/seed{{seed}}'{option}"
                )
        pieces = re.split(r"(\{.*?\}|\*)", text.strip("/"))
        self._expression = re.compile("".join(map(_expression, pieces)) + r"(?:/|$)")

    def name(self, path: str) -> RunName | None:
        """Return the run of a path, which is relative to the folder that the user gave."""
        match = self._expression.match(path)
        if match is None:
            return None
        found = self.fixed | match.groupdict()
        return RunName(
            found.get("source", ""), found["target"], found["condition"], int(found["seed"])
        )


def _expression(piece: str) -> str:
    """Return the regular expression of a field, a star, or the text between them."""
    if piece == "*":
        return "[^/]*"
    if piece.startswith("{"):
        name = piece[1:-1]
        return rf"(?P<{name}>\d{{1,15}})" if name == "seed" else f"(?P<{name}>[^/]+)"
    return re.escape(piece)
