"""The types of the commands' options, and how tyro parses them; every error is one line.

The docstrings of commands are their help. tyro keeps a line break within the text of an option, so
that text is one line in the source.
"""

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

PolicyName = Annotated[str, tyro.conf.arg(metavar="CHECKPOINT|random")]

Folder = Annotated[Path, tyro.conf.arg(metavar="DIR")]

CsvFile = Annotated[Path | None, tyro.conf.arg(metavar="FILE.csv")]

Set = Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="KEY=VALUE"),
                tyro.conf.UseAppendAction]  # fmt: skip

Number = Annotated[int | None, tyro.conf.arg(metavar="N")]

Device = Annotated[str, tyro.conf.arg(metavar="auto|cpu|cuda")]

StallSeconds = Annotated[float, tyro.conf.arg(metavar="SECONDS")]

Switch = Annotated[bool, tyro.conf.FlagCreatePairsOff]

TrustCode = Switch

WITH_TRUST = "repeat the command with --trust-code"
"""What to type for a file that is trusted."""

Json = Annotated[bool, tyro.conf.arg(name="json"), tyro.conf.FlagCreatePairsOff]

Commands = Mapping[str, Callable[..., int]]
"""The commands by name, in the order of the help."""

DESCRIPTION = """\
When a trained policy meets a changed environment, which part should keep learning?
`thaw COMMAND --help` explains a command, `thaw --version` prints the version."""


def parse_and_run(commands: Commands, arguments: list[str]) -> int:
    """Parse the arguments and run the command that they name.

    Returns:
        The command's exit status; 0 for help.

    Raises:
        InputError: No such command or option, or a value of the wrong type.
    """
    if arguments and not arguments[0].startswith("-") and arguments[0] not in commands:
        hint = f"{nearest(arguments[0], commands)} Allowed: {', '.join(commands)}"
        raise InputError(f"unknown command '{arguments[0]}'{hint}")
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        try:
            command = _parse(commands, arguments)
        except SystemExit as ended:
            if ended.code in (0, None):
                return 0
            raise InputError(_one_line(errors.getvalue(), commands, arguments)) from None
    return command()


def _parse(commands: Commands, arguments: list[str]) -> Callable[[], int]:
    """Return the command with its arguments; it runs later, so its errors stay its own.

    Raises:
        SystemExit: tyro has printed a help (code 0), or an error in a box (code 2).
    """
    app = tyro.extras.SubcommandApp()
    for name, function in commands.items():
        app.command(name=name)(_binding(function))
    command: Callable[[], int] = app.cli(prog="thaw", description=DESCRIPTION, args=arguments)
    return command


def _binding(function: Callable[..., int]) -> Callable[..., Callable[[], int]]:
    """Return a function with the same parameters and help that only binds its arguments."""

    @functools.wraps(function)
    def bind(*arguments: Any, **named: Any) -> Callable[[], int]:
        return functools.partial(function, *arguments, **named)

    return bind


def _one_line(box: str, commands: Commands, arguments: list[str]) -> str:
    """Return tyro's error without its box: what was wrong, what is allowed, where to read more."""
    lines = [line.strip("│╭╮╰╯─ ") for line in box.splitlines()[1:]]
    paragraphs = [" ".join(group) for filled, group in itertools.groupby(lines, bool) if filled]
    error = paragraphs[0].rstrip(".") if paragraphs else "wrong arguments"
    error = re.sub(
        r"(?:no type matching .* could be instantiated from \['(.*)'\]"
        r"|invalid literal for int\(\) with base 10: '(.*)')$",
        lambda value: f"'{value[1] or value[2]}' is not a whole number",
        error,
    )
    command = [arguments[0]] if arguments and arguments[0] in commands else []
    if error.startswith("Missing from"):
        # Each option has a line of its own; what it means is indented further.
        needed = re.findall(r"^│ {5}(\S.*?) *│$", box.partition("For full helptext")[0], re.M)
        error = f"{' '.join(['thaw', *command])} needs {', '.join(needed)}"
    option = re.match(r"Unrecognized options: (--[\w-]+)", error)
    if option and command:
        allowed = _options(commands, command[0])
        hint = f"{nearest(option[1], allowed)} Allowed: {', '.join(allowed)}"
        error = f"unknown option '{option[1]}' of thaw {command[0]}{hint}"
    return f"{error}; see `{' '.join(['thaw', *command, '--help'])}`"


def _options(commands: Commands, command: str) -> list[str]:
    """Return the options of a command in the order of its help, from which they are read."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        _parse(commands, [command, "--help"])
    return re.findall(r"^[│ ]{2}(--[\w-]+)", text.getvalue(), re.MULTILINE)
