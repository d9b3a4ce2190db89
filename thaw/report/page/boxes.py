"""Writes the verdict of each transfer as a box: what must be said first, then the answer."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from thaw.report.answers import Answer
from thaw.report.background import Background
from thaw.report.spec import flavor_name, transfer_names
from thaw.report.verdict import Verdict

MOST_PICTURE_BYTES = 600_000
"""Of all pictures in one page."""
FALSE_SHARE = 20
"""One verdict in so many may be false, where no condition is better than another."""


def verdict_boxes(judged: Sequence[Verdict], background: Background) -> list[str]:
    """Return one box for each transfer, and before several of them how many may be false."""
    titles = transfer_names((verdict.source, verdict.target) for verdict in judged)
    pictures = _Pictures(background.pictures)
    lines = [_expected_false(len(judged))] if len(judged) > 1 else []
    return lines + [
        _box(verdict, titles[verdict.source, verdict.target], place, pictures)
        for place, verdict in enumerate(judged)
    ]


def tag(verdict: Verdict) -> tuple[str, str]:
    """Return the kind of a verdict, for the page's style and for a reader."""
    if verdict.is_blocked:
        return "blocked", "NO VERDICT"
    if verdict.decided:
        return "decided", "DECIDED"
    return ("equal", "EQUAL") if verdict.equal else ("open", "NOT DECIDED")


class _Pictures:
    """The pictures of flavors, as long as there is room for them in the page."""

    def __init__(self, pictures: Mapping[str, bytes]) -> None:
        self.pictures = pictures
        self.room = MOST_PICTURE_BYTES

    def pair(self, verdict: Verdict) -> str:
        """Return the source beside the target; nothing if a picture is not there."""
        addresses = (verdict.source, verdict.target)
        found = [self.pictures.get(address, b"") for address in addresses]
        if not all(found) or sum(map(len, found)) > self.room:
            return ""
        self.room -= sum(map(len, found))
        source, target = map(_picture, addresses, found, ("source", "target"))
        return f'<div class="pictures">{source}<span aria-hidden="true">→</span>{target}</div>'


def _picture(address: str, data: bytes, what: str) -> str:
    name = escape(flavor_name(address))
    link = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return (
        f'<figure><img src="{link}" alt="One screen of {name}"><figcaption>{what}: {name}'
        "</figcaption></figure>"
    )


def _expected_false(number: int) -> str:
    false = f"{number / FALSE_SHARE:.2g}"
    return (
        f'<p class="soft">Of {number} verdicts, expect up to {false} to be false if no condition '
        'is better than another. <a href="metrics.csv">metrics.csv</a> has p values that count '
        "all transfers (p_holm, Holm).</p>"
    )


def _box(verdict: Verdict, title: str, place: int, pictures: _Pictures) -> str:
    kind, text = tag(verdict)
    # The sentence of a blocked verdict begins with its first gate; the other gates follow it.
    gates = "".join(
        f'<p class="gate">{escape(gate.sentence)}</p>'
        for gate in verdict.gates
        if gate.sentence not in verdict.sentence
    )
    sentence = f'<p><span class="tag">{text}</span>{escape(verdict.sentence)}</p>'
    parts = [
        f'<h3 id="verdict-{place}">{escape(title)}</h3>',
        pictures.pair(verdict),
        f"{sentence}{gates}" if verdict.is_blocked else f"{gates}{sentence}",
        f'<p class="next">{escape(verdict.next_step)}</p>' if verdict.next_step else "",
        _answers(verdict.answers),
        f'<p class="soft">{escape(verdict.reading)}</p>' if verdict.reading else "",
    ]
    return (
        f'<section class="verdict {kind}" aria-labelledby="verdict-{place}">'
        f"{''.join(parts)}</section>"
    )


def _answers(answers: Sequence[Answer]) -> str:
    questions: dict[str, list[Answer]] = {}
    for answer in answers:
        if answer.outcome == "gated":  # the gates have said why there is no answer
            continue
        questions.setdefault(answer.question, []).append(answer)
    if not questions:
        return ""
    items = []
    for question, found in questions.items():
        sentences = "".join(
            f"<dd>{escape(s)}</dd>" for s in dict.fromkeys(a.sentence for a in found)
        )
        items.append(f"<dt>{escape(question)}</dt>{sentences}")
    details = "".join(
        f"<dt>{escape(question)}</dt>{''.join(f'<dd>{escape(a.details)}</dd>' for a in found)}"
        for question, found in questions.items()
        if any(answer.details for answer in found)
    )
    fold = f"<details><summary>The numbers</summary><dl>{details}</dl></details>" if details else ""
    return f'<dl class="answers">{"".join(items)}</dl>{fold}'
