"""Types of a report's answers: gates, which speak first, and answers to the users' questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GateName = Literal["missing_runs", "few_seeds", "pretraining_failed", "nothing_learned", "ceiling"]
QuestionName = Literal["pretraining_helps", "zero_shot", "which_part", "forgetting"]


@dataclass(frozen=True)
class Gate:
    """Something that must be said before any verdict of a transfer.

    Attributes:
        name: What kind it is.
        sentence: What was found, with its numbers.
        blocks: Whether it leaves the transfer without a verdict.
    """

    name: GateName
    sentence: str
    blocks: bool = True


@dataclass(frozen=True)
class Answer:
    """The answer to one question about one transfer.

    Attributes:
        name: Names the question in files.
        question: For a reader, as in "Does the pretrained policy help at all?".
        outcome: ``open`` where the data do not decide; ``gated`` where a gate blocks.
        sentence: The answer in plain words.
        details: The numbers that it rests on; may be empty.
        first: The condition whose return counts positive.
        second: The condition whose return is subtracted; for ``forgetting`` ``pretrain``.
        difference: Mean return of the first minus that of the second; NaN if there is none.
        ci_low: Lower bound, NaN if there is no interval.
        ci_high: Upper bound, NaN in the same way.
        num_seeds: Seeds from which the difference was computed.
        paired: Whether runs were compared seed by seed.
    """

    name: QuestionName
    question: str
    outcome: Literal["yes", "no", "open", "gated"]
    sentence: str
    details: str
    first: str
    second: str
    difference: float
    ci_low: float
    ci_high: float
    num_seeds: int
    paired: bool
