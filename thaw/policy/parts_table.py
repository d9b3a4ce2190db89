"""The table of parts: what an update rule does with each part of a policy, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from thaw.config.update_rule import PartRule
from thaw.policy.two_parts import TwoParts


class PartRow(NamedTuple):
    """A part of a policy to which one rule applies."""

    part: str
    parameters: int
    """Numbers in its parameters; running statistics do not count."""
    rule: PartRule

    @property
    def weights(self) -> str:
        """Where its weights come from, in words."""
        fresh = self.rule.fresh
        return f"{1 - fresh:g} source + {fresh:g} random" if fresh else self.rule.weights


def part_rows(policy: TwoParts, rules: Mapping[str, PartRule]) -> list[PartRow]:
    """Return the parts of a policy, each as large as one rule reaches, in the policy's order.

    Args:
        policy: Its tensors' names and sizes count.
        rules: The rule of each tensor, as :meth:`UpdateRule.on` returns it.
    """
    sizes = {name: 0 for name, _ in policy.named_buffers()}
    sizes = {name: p.numel() for name, p in policy.named_parameters()} | sizes
    rows: list[PartRow] = []

    def add(prefix: str, names: Sequence[str]) -> None:
        found = {rules[name] for name in names}
        if prefix and len(found) == 1:
            rows.append(PartRow(prefix, sum(sizes[name] for name in names), found.pop()))
            return
        depth = len(prefix.split(".")) + 1 if prefix else 1
        below: dict[str, list[str]] = {}
        for name in names:
            below.setdefault(".".join(name.split(".")[:depth]), []).append(name)
        for part, inside in below.items():
            add(part, inside)

    add("", list(sizes))
    return rows


def sizes_of(policy: TwoParts) -> list[tuple[str, int]]:
    """Return the modules right below embedding and head, each with its number of parameters."""
    sizes: dict[str, int] = {}
    for name, parameter in policy.named_parameters():
        part = ".".join(name.split(".")[:2])
        sizes[part] = sizes.get(part, 0) + parameter.numel()
    return list(sizes.items())


def table_of(rows: Sequence[PartRow], learning_rate: float | None) -> str:
    """Write the rows as a table, and below it how many parameters train.

    Args:
        rows: Of :func:`part_rows`.
        learning_rate: The agent's, with which a run begins; where it is not known, the table
            says how many times it a part has.
    """
    cells = [("part", "parameters", "weights", "trains", "rate", "pull")]
    for row in rows:
        rate = f"x {row.rule.lr:g}" if learning_rate is None else f"{learning_rate * row.rule.lr:g}"
        rate = rate if row.rule.trains else "-"
        pull = f"{row.rule.pull:g}" if row.rule.pull else "-"
        cells.append((row.part, f"{row.parameters:,}", row.weights, row.rule.when, rate, pull))
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = []
    for line in cells:
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        padded[1] = line[1].rjust(widths[1])
        lines.append("  ".join(padded).rstrip())
    total = sum(row.parameters for row in rows)
    ever = sum(row.parameters for row in rows if row.rule.trains)
    first = sum(row.parameters for row in rows if row.rule.trains_at(0))
    later = f", {first:,} of them from the beginning" if first != ever else ""
    return "\n".join([*lines, "", f"{ever:,} of {total:,} parameters train{later}", ""])
