"""The error for wrong input, and the hints in its messages; errors in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Literal

Extra = Literal[
    "androidenv",
    "atari",
    "envpool",
    "procgen",
    "ray",
    "sb3",
    "tensorboard",
    "timm",
    "video",
    "wandb",
]
"""The optional dependencies of pyproject.toml that an error can ask for."""


class InputError(ValueError):
    """The user's input was wrong: one line says what, what is allowed and how to fix it."""


def one_line(error: BaseException) -> str:
    """Return an error's type and message in one line."""
    return printable(" ".join(f"{type(error).__name__}: {error}".split()))


def printable(text: str) -> str:
    """Return a text without control characters, which could move a terminal's cursor or color it.

    Line ends and tabs stay.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


class NotFinite(FloatingPointError):
    """A reward, observation, loss, gradient norm or weight was nan or infinite; one line."""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest allowed word, or a full stop."""
    close = difflib.get_close_matches(word, list(allowed), n=1)
    return f"; did you mean '{close[0]}'?" if close else "."


class UnknownKey(InputError):
    """The input has a key that is not allowed.

    Args:
        message: The whole message.
        key: The last word of the key.
    """

    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class UnknownOption(UnknownKey):
    """An environment does not have an option.

    Args:
        where: Names the environment.
        option: Which one.
        allowed: The options that it has.
    """

    def __init__(self, where: str, option: str, allowed: Sequence[str]) -> None:
        super().__init__(
            f"{where} has no option '{option}'{nearest(option, allowed)} Allowed: "
            f"{', '.join(allowed)}",
            option,
        )


def install_hint(extra: Extra) -> str:
    """Return the command that installs one of thaw's extras."""
    return f"pip install 'thaw[{extra}]'"


def check_no_repeats(what: str, items: Iterable[object]) -> None:
    """Check that no item is there twice.

    Args:
        what: Names the items in the error.
        items: Must be hashable.

    Raises:
        InputError: An item is there twice; the message names it.
    """
    seen: set[object] = set()
    for item in items:
        if item in seen:
            raise InputError(f"{what}: '{item}' is there twice; name each once")
        seen.add(item)


def check_at_least(what: str, value: int | None, least: int) -> None:
    """Check a number; None means that it was not given.

    Raises:
        InputError: It is too small.
    """
    if value is not None and value < least:
        raise InputError(f"{what} is {value}; it must be at least {least}")


def check_above_zero(what: str, value: float) -> None:
    """Check a duration.

    Raises:
        InputError: It is 0, negative, or not a number.
    """
    if not value > 0:
        raise InputError(f"{what} is {value:g}; it must be above 0")
