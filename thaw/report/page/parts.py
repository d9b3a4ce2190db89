"""Draws what each condition does with the two parts of a policy: a glossary beside the tables."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from thaw.config.errors import InputError
from thaw.config.update_rule import PartRule, UpdateRule
from thaw.report.spec import ReportSpec, condition_name

_SNOWFLAKE = "M0-7V7M-6-3.5L6 3.5M-6 3.5L6-3.5M-2-6L0-4L2-6M-2 6L0 4L2 6"
_FLAME = "M0-8C2-4 6-2 6 3A6 5.5 0 0 1-6 3C-6 0-4-2-3-4C-2-2-1-1 0-1C1-3 0-6 0-8Z"


def glossary(spec: ReportSpec, rules: Mapping[str, str]) -> str:
    """Return a list of the conditions whose update rule is known, each with its drawing.

    Args:
        spec: What was planned.
        rules: The rules of the suite's own conditions.
    """
    items = []
    for condition in spec.conditions:
        rule = _rule(condition, rules)
        if rule is None and condition != "random":
            continue
        drawing, words = _drawing(rule)
        name = escape(condition_name(condition))
        items.append(f"<li>{drawing}<div><b>{name}</b><br>{escape(words)}</div></li>")
    if not items:
        return ""
    key = (
        f'<p class="soft">A policy has two parts: the embedding turns what is seen into features, '
        f"the head turns features into actions. {_icon(_SNOWFLAKE, 'snow', 'Snowflake')} frozen, "
        f"{_icon(_FLAME, 'flame', 'Flame')} trained on the target. A filled box has the weights of "
        "the pretrained policy, an empty box starts from random weights.</p>"
    )
    return f'<div class="glossary"><h3>The conditions</h3>{key}<ul>{"".join(items)}</ul></div>'


def _rule(condition: str, rules: Mapping[str, str]) -> UpdateRule | None:
    try:
        return UpdateRule(rules.get(condition, condition))
    except InputError:  # no rule, or one of a later thaw
        return None


def _drawing(rule: UpdateRule | None) -> tuple[str, str]:
    """Return a drawing of both parts, and the same in words."""
    if rule is None:
        return _svg(_box(0, "no network", None, 136), "acts at random"), "Acts at random."
    parts = {name: rule.parts[name] for name in ("embedding", "head")}
    words = [f"{name} {_words(part)}" for name, part in parts.items()]
    words += [f"{name} {_words(part)}" for name, part in rule.parts.items() if name not in parts]
    text = f"{', '.join(words)}."
    arrow = '<path d="M66 17H74M71 14L74 17L71 20" class="line"/>'
    boxes = _box(0, "embedding", parts["embedding"], 64) + arrow
    boxes += _box(76, "head", parts["head"], 60)
    return _svg(boxes, text), text[:1].upper() + text[1:]


def _words(part: PartRule) -> str:
    start = "pretrained" if part.weights == "source" else "random"
    if part.fresh:
        start = f"{1 - part.fresh:g} pretrained plus {part.fresh:g} random"
    state = {"always": "trained", "never": "frozen"}.get(part.when, f"trained {part.when}")
    return f"{start} and {state}"


def _svg(inside: str, name: str) -> str:
    return (
        f'<svg class="parts" viewBox="-1 -1 138 36" width="138" height="36" role="img" '
        f'aria-label="{escape(name)}">{inside}</svg>'
    )


def _box(left: int, name: str, part: PartRule | None, width: int) -> str:
    filled = " filled" if part is not None and part.weights == "source" else ""
    box = f'<rect x="{left}" width="{width}" height="34" rx="4" class="box{filled}"/>'
    middle = left + width / 2
    if part is None:
        return f'{box}<text x="{middle:g}" y="21" text-anchor="middle">{name}</text>'
    icon, kind = (_FLAME, "flame") if part.trains else (_SNOWFLAKE, "snow")
    return (
        f'{box}<text x="{middle:g}" y="12" text-anchor="middle">{name}</text>'
        f'<path d="{icon}" class="{kind}" transform="translate({middle:g} 24)"/>'
    )


def _icon(path: str, kind: str, name: str) -> str:
    return (
        f'<svg class="parts" viewBox="-8 -9 16 18" width="14" height="16" role="img" '
        f'aria-label="{name}"><path d="{path}" class="{kind}"/></svg>'
    )
