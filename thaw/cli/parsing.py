"""How commands are declared, and how tyro is asked to parse them; errors are one line."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import tyro

from thaw.config.errors import InputError, nearest

SuiteName = Annotated[str, tyro.conf.arg(metavar="SUITE")]

FlavorName = Annotated[str, tyro.conf.arg(metavar="FLAVOR")]

Folder = Annotated[Path, tyro.conf.arg(metavar="DIR")]

Set = Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="KEY=VALUE"),
                tyro.conf.UseAppendAction]  # fmt: skip

Number = Annotated[int | None, tyro.conf.arg(metavar="N")]

Device = Annotated[str, tyro.conf.arg(metavar="auto|cpu|cuda")]

StallSeconds = Annotated[float, tyro.conf.arg(metavar="SECONDS")]

TrustCode = Annotated[bool, tyro.conf.FlagCreatePairsOff]
WITH_TRUST = "repeat the command with --trust-code"

Json = Annotated[bool, tyro.conf.arg(name="json"), tyro.conf.FlagCreatePairsOff]

Commands = Mapping[str, Callable[..., int]]
"""The commands by name, in the order of the help."""


def parse_and_run(commands: Commands, arguments: list[str]) -> int:
    """Let tyro parse, its boxed complaints made one line, and run the command.

    Returns:
        The command's exit status; 0 for help.

    Raises:
        InputError: No such command or flag, or a value of the wrong type.
    """
    if arguments and not arguments[0].startswith("-") and arguments[0] not in commands:
        hint = f"{nearest(arguments[0], commands)} Allowed: {', '.join(commands)}"
        raise InputError(f"unknown command '{arguments[0]}'{hint}")
    boxes = io.StringIO()
    with contextlib.redirect_stderr(boxes):
        try:
            bound = _app(commands).cli(prog="thaw", args=arguments)
        except SystemExit as ended:
            if ended.code in (0, None):
                return 0
            raise InputError(_one_line(boxes.getvalue(), commands, arguments)) from None
    return int(bound())


def _app(commands: Commands) -> tyro.extras.SubcommandApp:
    """Declare the commands. Parsing only binds arguments, so its errors stay apart from theirs."""
    app = tyro.extras.SubcommandApp()
    for name, function in commands.items():
        app.command(name=name)(_binding(function))
    return app


def _binding(function: Callable[..., int]) -> Callable[..., Callable[[], int]]:
    @functools.wraps(function)
    def bind(*arguments: Any, **named: Any) -> Callable[[], int]:
        return functools.partial(function, *arguments, **named)

    return bind


def _one_line(boxes: str, commands: Commands, arguments: list[str]) -> str:
    """Take the words out of tyro's box: the complaint, what was meant, and where to read on."""
    lines = [line.strip("│╭╮╰╯─ ") for line in boxes.splitlines()[1:]]
    sections = [" ".join(words) for filled, words in itertools.groupby(lines, bool) if filled]
    complaint = sections[0].rstrip(".") if sections else "wrong arguments"
    complaint = re.sub(
        r"(?:no type matching .* could be instantiated from \['(.*)'\]"
        r"|invalid literal for int\(\) with base 10: '(.*)')$",
        lambda value: f"'{value[1] or value[2]}' is not a whole number",
        complaint,
    )
    word = re.match(r"Unrecognized options: (--[\w-]+)", complaint)
    command_name = arguments[0] if arguments and arguments[0] in commands else None
    if word and command_name:
        flags = _flags(commands, command_name)
        hint = f"{nearest(word[1], flags)} Allowed: {', '.join(flags)}"
        complaint = f"unknown option '{word[1]}' of thaw {command_name}{hint}"
    words = ["thaw", *([command_name] if command_name else []), "--help"]
    return f"{complaint}; see `{' '.join(words)}`"


def _flags(commands: Commands, command_name: str) -> list[str]:
    """Return the flags of a command, as its help lists them."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        _app(commands).cli(prog="thaw", args=[command_name, "--help"])
    return re.findall(r"^[│ ]{2}(--[\w-]+)", text.getvalue(), re.MULTILINE)
