"""How numbers are written in sentences."""

from __future__ import annotations

import math

from thaw.report.statistics import CONFIDENCE, Estimate


def number(value: float) -> str:
    """Write three decimals below 10, one below 100, else a whole number; 0 has no sign."""
    decimals = 3 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{round(value, decimals) + 0.0:,.{decimals}f}"


def with_interval(value: float, low: float, high: float) -> str:
    """Write a number and its interval, as in ``0.210 [0.040, 0.380]``."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return number(value)
    return f"{number(value)} [{number(low)}, {number(high)}]"


def estimate_text(estimate: Estimate) -> str:
    """Write an estimate with its interval."""
    return with_interval(estimate.value, estimate.low, estimate.high)


def percent(share: float) -> str:
    """Write a share, as in ``99.25 %``."""
    return f"{100 * share:.4g} %"


def confidence_text(confidence: float) -> str:
    """Write the confidence of an interval where it is not the usual one, to add to a sentence."""
    return "" if confidence == CONFIDENCE else f", {percent(confidence)} interval"


def count(amount: int, word: str) -> str:
    """Write an amount with its word, as in ``1 seed`` and ``2 seeds``."""
    return f"{amount:,} {word}{'' if amount == 1 else 's'}"


def listed(words: list[str], joined: str = "and") -> str:
    """Write a list, as in ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {joined} {words[-1]}"


def duration(seconds: float) -> str:
    """Write a time as people do: ``19 s``, ``3 min 11 s``, ``2 h 5 min``, ``4 days 3 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if seconds >= 1 or seconds == 0 else f"{seconds:.2g} s"
    if whole < 3_600:
        return _two(whole, 60, "min", 1, "s")
    if whole < 172_800:
        return _two(whole, 3_600, "h", 60, "min")
    return _two(whole, 86_400, "days", 3_600, "h")


def _two(seconds: int, large: int, unit: str, small: int, rest_unit: str) -> str:
    rest = seconds % large // small
    return f"{seconds // large} {unit}" + (f" {rest} {rest_unit}" if rest else "")
