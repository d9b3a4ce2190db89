"""``thaw rules``."""

from __future__ import annotations

from typing import Annotated

import tyro
from tyro.conf import Positional

from thaw.cli.output import print_json, prints_on_stderr
from thaw.cli.parsing import WITH_TRUST, Json, Number, Set, TrustCode
from thaw.config.errors import InputError
from thaw.config.named_rules import NAMED_RULES
from thaw.config.update_rule import UpdateRule


def rules(
    rule: Positional[Annotated[str | None, tyro.conf.arg(metavar="RULE")]] = None,
    *,
    place: Annotated[str | None, tyro.conf.arg(name="for", metavar="CHECKPOINT|FLAVOR")] = None,
    steps: Number = None,
    overrides: Set = (),
    trust_code: TrustCode = False,
    as_json: Json = False,
) -> int:
    """List the update rules, or show what one does with each part of a policy.

    Args:
        rule: A named rule, or one in words, as in embedding=source:frozen,head=random:trained.
        place: Show the rule's table of parts for this policy, or for the one of this flavor.
        steps: The run's steps: shares of it, as in @25%, become steps.
        overrides: As for `thaw train`: agent.* and environment.* of the flavor's policy.
        trust_code: Execute the code that the checkpoint names. Only for files that you trust.
        as_json: Print one JSON document.
    """
    if rule is None:
        if place is not None or steps is not None or overrides:
            raise InputError("--for, --steps and --set need a RULE; `thaw rules` lists them")
        if as_json:
            print_json({name: named._asdict() for name, named in NAMED_RULES.items()})
        else:
            print("\n".join(f"{name}\n    {_described(name)}" for name in NAMED_RULES))
        return 0
    if place is None:
        if overrides:
            raise InputError("--set needs --for FLAVOR, whose policy it changes")
        parsed = UpdateRule(rule) if steps is None else UpdateRule(rule).within(steps)
        said = NAMED_RULES[rule]._asdict() if rule in NAMED_RULES else {}
        if as_json:
            print_json({**said, "text": parsed})
        else:
            print(_described(rule, parsed).replace("\n    ", "\n"))
        return 0
    from thaw.experiment.rule_table import rule_table

    with prints_on_stderr():
        table = rule_table(
            rule, place, steps=steps, overrides=overrides, trust_code=trust_code, how=WITH_TRUST
        )
    if as_json:
        rows = [
            {
                "part": row.part,
                "parameters": row.parameters,
                "weights": row.weights,
                "trains": row.rule.when,
                "rate": table.agent.learning_rate * row.rule.lr if row.rule.trains else None,
                "pull": row.rule.pull,
            }
            for row in table.rows
        ]
        print_json({"rule": table.rule, "for": place, "parts": rows})
        return 0
    print(f"{table.rule}\n\n{table.text}", end="")
    return 0


def _described(rule: str, text: str | None = None) -> str:
    """Return a rule's text, and what is said of it if it has a name, in indented lines."""
    lines = [text or UpdateRule(rule)]
    if rule in NAMED_RULES:
        named = NAMED_RULES[rule]
        lines += [f"{named.what} {named.found} {named.when}", f"({named.origin})"]
    return "\n    ".join(lines)
