"""Says in a few lines what came out: for the terminal and for Python's prompt."""

from __future__ import annotations

from collections.abc import Sequence

from thaw.report.verdict import Verdict

MOST_TRANSFERS = 12
"""A terminal shows no more of them; the page shows all."""


def summary(judged: Sequence[Verdict]) -> list[str]:
    """Return one to four lines per transfer: the verdict, which part, remarks, the next step.

    Which rule is the best was asked after looking, which part should keep learning before the runs.
    So the second can be decided where the first stays open. A gate that leaves a transfer without a
    verdict is a part of the verdict's own sentence.
    """
    lines = []
    for verdict in judged[:MOST_TRANSFERS]:
        lines.append(verdict.sentence)
        part = next((answer for answer in verdict.answers if answer.name == "which_part"), None)
        if part is not None and part.outcome != "gated":
            lines.append(f"  {part.question} {part.sentence} {part.details}")
        remarks = [gate.sentence for gate in verdict.gates if gate.sentence not in verdict.sentence]
        if remarks:
            lines.append(f"  but: {' '.join(remarks)}")
        if verdict.next_step:
            lines.append(f"  next: {verdict.next_step}")
    if len(judged) > MOST_TRANSFERS:
        lines.append(f"and {len(judged) - MOST_TRANSFERS} more on the page")
    return lines
